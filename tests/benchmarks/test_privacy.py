"""The attacks on embeddings, on data whose answer is known, and the tables of the benchmark."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import membership, privacy
from benchmarks.inverter import Inverter, InverterConfig, invert, nearest_frames, psnr, ssim

NETWORK = InverterConfig(steps=60, hidden=32, channels=16)


def frames(latents, size=16):
    """Return frames whose pixels are linear in two latents, [K, size, size, 3], 0 to 1."""
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    shown = 0.5 + 0.1 * (latents[:, :1, None] * across + latents[:, 1:2, None] * down)
    return np.clip(np.repeat(shown[..., None], 3, 3), 0, 1)


@pytest.fixture(scope="module")
def pairs():
    latents = np.random.default_rng(0).standard_normal((256, 4))
    return torch.from_numpy(latents), torch.from_numpy(frames(latents))


def test_psnr_and_ssim_of_a_frame_with_itself_are_the_best_and_fall_with_noise():
    rng = np.random.default_rng(1)
    truth = rng.random((3, 24, 24, 3))
    noisy = [truth + deviation * rng.standard_normal(truth.shape) for deviation in (0.01, 0.1)]

    assert ssim(truth, truth) == pytest.approx(1)
    assert psnr(noisy[0], truth) == pytest.approx([40] * 3, abs=0.5)
    assert psnr(noisy[1], truth) == pytest.approx([20] * 3, abs=0.5)
    assert (ssim(noisy[1], truth) < ssim(noisy[0], truth)).all()
    assert ssim(noisy[1], truth) == pytest.approx(ssim(truth, noisy[1]))


def test_ssim_of_two_flat_frames_compares_their_brightness():
    """Wang et al. 2004, equation 6: of constant frames only the first factor is left."""
    one, two = np.full((1, 16, 16, 3), 0.5), np.full((1, 16, 16, 3), 0.25)

    assert ssim(one, two) == pytest.approx([(2 * 0.125 + 1e-4) / (0.3125 + 1e-4)])


def test_an_inverter_finds_frames_that_follow_from_embeddings_and_none_in_noise(pairs):
    latents, shown = pairs
    truth = shown[192:].numpy()
    found, name = invert((latents[:192], shown[:192]), latents[192:], NETWORK, 0)
    blind, _ = invert((torch.randn(192, 4, generator=torch.Generator().manual_seed(2)), shown[:192]),
                      latents[192:], NETWORK, 0)  # fmt: skip
    mean = np.broadcast_to(shown[:192].mean(0).numpy(), truth.shape)

    assert name in ("network", "ridge")
    assert psnr(found, truth).mean() > psnr(mean, truth).mean() + 10
    assert psnr(blind, truth).mean() < psnr(mean, truth).mean() + 1


def test_an_inverter_starts_from_the_mean_frame_and_has_its_size():
    mean = torch.rand(3, 24, 24)
    assert Inverter(4, mean, NETWORK)(torch.zeros(2, 4)).shape == (2, 3, 24, 24)


def test_the_nearest_frame_of_a_leaked_embedding_is_its_own(pairs):
    latents, shown = pairs
    assert np.array_equal(nearest_frames((latents, shown), latents[5:9]), shown[5:9].numpy())


def test_auc_counts_pairs_and_ties_as_a_half():
    assert membership.auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert membership.auc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 0
    assert membership.auc(np.array([0.0, 2.0]), np.array([0.0, 2.0])) == 0.5
    assert membership.auc(np.array([1.0, 1.0]), np.array([0.0, 1.0, 2.0])) == 0.5


def process(seed, rate, ticks=1024, dim=4):
    """Return consecutive embeddings that are as predictable as a rate says, [ticks, dim]."""
    rng, rows = np.random.default_rng(seed), np.zeros((ticks, dim))
    for tick in range(1, ticks):
        rows[tick] = rate * rows[tick - 1] + np.sqrt(1 - rate**2) * rng.standard_normal(dim)
    return torch.from_numpy(rows)


def test_ticks_that_are_more_predictable_are_told_apart_and_equal_ones_are_not():
    apart = [membership.attack(process(seed, 0.9), process(seed + 10, 0.5)) for seed in range(2)]
    same = [membership.attack(process(seed, 0.7), process(seed + 10, 0.7)) for seed in range(2, 4)]
    found, null = membership.judge(apart), membership.judge(same)

    assert found["prediction error"]["low"] > 0.8
    assert found[membership.KNOWN]["low"] > 0.8
    assert all(null[name]["low"] < 0.53 and null[name]["high"] > 0.47 for name in null)
    assert all(each["low"] <= each["auc"] <= each["high"] for each in found.values())


def test_the_quick_benchmark_writes_what_the_page_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(privacy, "QUICK_MEMBERS", 192)
    monkeypatch.setattr(membership, "RESAMPLES", 20)
    monkeypatch.setattr(privacy, "RESAMPLES", 20)
    monkeypatch.setattr(privacy, "COMBINATIONS", ({"leaked": 64}, {}, {"noise": 1.0}))
    document = privacy.measure(
        privacy.QUICK, [200], privacy.QUICK_NETWORK, privacy.QUICK_MEMBERS, privacy.COMBINATIONS
    )
    lines = privacy.summarize(json.loads(json.dumps(document)))
    plain, noisy = document["rows"][1:]

    assert noisy["positions"] < plain["positions"]
    assert noisy["edge_r2"] < plain["edge_r2"]
    assert len([line for line in lines if line.startswith("| 64 |") or line.startswith("| 256 |")]) == 3
    assert any(line.startswith("| null: an untrained encoder | ") for line in lines)
    script = Path(__file__).resolve().parents[2] / "scripts" / "update_docs.py"
    spec = importlib.util.spec_from_file_location("update_docs", script)
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    monkeypatch.setattr(generator, "PRIVACY", tmp_path / "privacy.json")
    generator.PRIVACY.write_text(json.dumps(document))
    assert generator.privacy_block().splitlines()[: len(lines)] == lines

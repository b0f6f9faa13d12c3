import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.baselines import PairBaseline
from agents.models.losses import cosine_loss, covariance_loss, nt_xent_loss, variance_loss, vicreg_loss
from agents.models.settings import BASELINES, BaselineConfig, EncoderConfig

CONFIG = BaselineConfig(EncoderConfig(8, 4, 16, "fp32"), hidden=16, projection=6)
every_kind = pytest.mark.parametrize("kind", BASELINES)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def pairs(rng, count=64):
    """Two noisy views of a bright square at a random position, uint8 [N, 16, 16, 3] each."""
    frames = np.zeros((2, count, 16, 16, 3), np.uint8)
    for index, (row, column) in enumerate(rng.integers(0, 11, (count, 2))):
        frames[:, index, row : row + 6, column : column + 6] = 200
    return torch.from_numpy(frames + rng.integers(0, 40, frames.shape, dtype=np.uint8)).unbind()


def model(kind, seed=0, **changes):
    torch.manual_seed(seed)
    found = PairBaseline(kind, replace(CONFIG, **changes), 16)
    found.calibrate(pairs(np.random.default_rng(9))[0])
    return found


def plain_nt_xent(first, second, temperature):
    """The equation of NT-Xent, one pair of views at a time."""
    views = np.concatenate([first, second])
    count, total = len(first), 0.0

    def similarity(i, k):
        return views[i] @ views[k] / math.sqrt((views[i] @ views[i]) * (views[k] @ views[k]))

    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        others = sum(math.exp(similarity(i, k) / temperature) for k in range(2 * count) if k != i)
        total -= math.log(math.exp(similarity(i, partner) / temperature) / others)
    return total / (2 * count)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_nt_xent_equals_its_equation_in_numpy(count, temperature):
    first, second = normal(count, 5), normal(count, 5, seed=1)
    expected = plain_nt_xent(first.numpy(), second.numpy(), temperature)

    assert float(nt_xent_loss(first, second, temperature)) == pytest.approx(expected, abs=1e-9)


def test_nt_xent_ignores_scale_rotation_order_and_which_view_is_first():
    first, second = normal(6, 5), normal(6, 5, seed=1)
    plain = nt_xent_loss(first, second)
    order, rotation = torch.randperm(6, generator=generator()), torch.linalg.qr(normal(5, 5, seed=2)).Q

    for same in (
        (second, first),
        (first[order], second[order]),
        (3 * first, second / 7),
        (first @ rotation, second @ rotation),
    ):
        torch.testing.assert_close(nt_xent_loss(*same), plain)
    assert nt_xent_loss(first, first) < plain < nt_xent_loss(first, -first)


def test_nt_xent_of_equal_views_is_that_of_chance():
    assert float(nt_xent_loss(torch.ones(8, 3), torch.ones(8, 3))) == pytest.approx(math.log(15))


def test_the_cosine_loss_equals_its_equation_and_ignores_scale():
    first, second = normal(9, 4), normal(9, 4, seed=1)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    expected = np.mean(1 - np.einsum("nd,nd->n", first, second) / lengths)

    assert float(cosine_loss(first, second)) == pytest.approx(expected)
    assert float(cosine_loss(5 * first, second / 3)) == pytest.approx(expected)
    assert float(cosine_loss(first, first)) == pytest.approx(0)
    assert float(cosine_loss(first, -first)) == pytest.approx(2)


def test_vicreg_is_the_weighted_sum_of_its_three_terms():
    first, second = normal(20, 4), normal(20, 4, seed=1) / 2
    distance = ((first - second) ** 2).mean()
    hinge = (variance_loss(first) + variance_loss(second)) / 2
    redundancy = covariance_loss(first) + covariance_loss(second)

    torch.testing.assert_close(vicreg_loss(first, second), 25 * distance + 25 * hinge + redundancy)
    torch.testing.assert_close(vicreg_loss(first, second, 1, 2, 3), distance + 2 * hinge + 3 * redundancy)


@pytest.mark.parametrize("loss", [cosine_loss, nt_xent_loss, vicreg_loss])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_every_loss_of_pairs_has_a_finite_gradient_for_collapsed_latents(loss, value):
    first, second = (torch.full((10, 4), value, requires_grad=True) for _ in range(2))
    found = loss(first, second)
    found.backward()

    assert torch.isfinite(found)
    assert torch.isfinite(first.grad).all()
    assert torch.isfinite(second.grad).all()


@every_kind
def test_every_parameter_outside_the_target_network_gets_a_gradient(kind):
    found = model(kind)
    loss, terms = found.loss(*pairs(np.random.default_rng(0)), generator())
    loss.backward()
    without_gradient = {name for name, weight in found.named_parameters() if weight.grad is None}
    target = {name for name, _ in found.named_parameters() if name.startswith("target_")}

    assert without_gradient == target
    assert bool(target) == (kind == "byol")
    assert terms == {kind: loss.item()}
    assert all(weight.grad.any() for name, weight in found.named_parameters() if name.startswith("encoder"))


@every_kind
def test_the_loss_is_symmetric_in_the_two_views(kind):
    found, (first, second) = model(kind), pairs(np.random.default_rng(0))
    with torch.no_grad():
        forward, backward = (
            found.loss(*views, generator())[0] for views in ((first, second), (second, first))
        )

    torch.testing.assert_close(forward, backward, atol=1e-5, rtol=1e-4)


def test_the_byol_loss_is_two_minus_twice_the_cosine_summed_both_ways():
    found, (first, second) = model("byol").eval(), pairs(np.random.default_rng(0))
    with torch.no_grad():
        loss, _ = found.loss(first, second, generator())
        predictions = [found.predictor(found.projector(found.encode(view))) for view in (first, second)]
        targets = [found.target_projector(found.target_encoder(view)) for view in (second, first)]
    cosines = [
        (p * t).sum(1) / (p.norm(dim=1) * t.norm(dim=1)) for p, t in zip(predictions, targets, strict=True)
    ]

    assert loss.item() == pytest.approx(sum((2 - 2 * cosine).mean().item() for cosine in cosines), abs=1e-5)


@every_kind
def test_update_ema_moves_the_target_network_alone(kind):
    found = model(kind)
    with torch.no_grad():
        for name, weight in found.named_parameters():
            if not name.startswith("target_"):
                weight.add_(1.0)
    before = {name: weight.clone() for name, weight in found.named_parameters()}
    found.update_ema()

    for name, weight in found.named_parameters():
        online = before.get(name.removeprefix("target_"))
        torch.testing.assert_close(weight, 0.996 * before[name] + 0.004 * online, atol=1e-6, rtol=0)


@every_kind
def test_the_encoders_of_all_baselines_start_with_equal_weights(kind):
    ours, others = model(kind).encoder, model("simclr").encoder
    assert all(map(torch.equal, ours.state_dict().values(), others.state_dict().values()))


@every_kind
def test_training_brings_views_of_one_scene_together_relative_to_others(kind):
    """The distance between views in units of the variance over scenes."""
    found, rng = model(kind), np.random.default_rng(0)
    optimizer = torch.optim.Adam(found.parameters(), lr=2e-3)

    def relative_distance():
        with torch.no_grad():
            first, second = (found.encode(view) for view in pairs(np.random.default_rng(5)))
        return float((first - second).square().mean() / first.var(0).mean())

    before = relative_distance()
    for step in range(40):
        loss, _ = found.loss(*pairs(rng), generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.update_ema(0.9)

    assert relative_distance() < 0.5 * before


def test_unknown_kinds_and_unpaired_views_are_refused():
    with pytest.raises(ValueError, match="choose one of simclr, byol, vicreg"):
        PairBaseline("moco", CONFIG, 16)
    first, second = pairs(np.random.default_rng(0))
    for views in ((first, second[:-1]), (first[:1], second[:1])):
        with pytest.raises(ValueError, match="pairs of views"):
            model("simclr").loss(*views, generator())

"""Laws of time-or-jepa: its baselines, what is left without the state, and the match at equal state R2."""

import numpy as np
import pytest
import torch

from agents.models.checker import check_world_model
from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig
from alignment.fit import fit_procrustes, fit_ridge
from social_jepa.experiments.common.temporal_baselines import NextFrameAutoencoder, TemporalInfoNce
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.registry import build_settings
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.time_or_jepa.metrics import FINAL, gain_at_equal_state, make_metrics, make_notes
from social_jepa.experiments.time_or_jepa.run import EXPERIMENT, run
from social_jepa.experiments.time_or_jepa.scores import (
    CURVE,
    agreement,
    checkpoint_scores,
    curve,
    residuals,
    state_features,
)
from social_jepa.experiments.time_or_jepa.settings import FLAT, JEPAS, METHODS, TEMPORAL, Settings
from social_jepa.experiments.time_or_jepa.training import History, Latents, train_pair
from tests.support.stored_plots import stored_plots

SIZES = ModelConfig(dim=4, width=4, hidden=16)
TINY = build_settings(
    EXPERIMENT,
    True,
    [
        "setup.scene.frame_size=16",
        "setup.training.steps=9",
        "setup.training.segments=16",
        "setup.training.replay_ticks=256",
        "setup.training.core_eval_ticks=64",
        "setup.model.width=4",
        "setup.model.hidden=8",
        "setup.negotiation.pool_ticks=192",
        "setup.negotiation.anchors=64",
        "setup.negotiation.heldout=96",
        "checkpoints=[3, 9]",
        "flat.block=4",
        "flat.max_steps=12",
        "flat.decay=3",
        "own_ticks=128",
        "components=16",
    ],
)
POOL = 600


def discard(text):
    del text


def random_frames(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def normal(seed, rows=POOL, dim=3):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotated(parts, seed):
    """White latents with these independent parts, in other axes each."""
    pools = [torch.cat(pool, 1) for pool in zip(*parts, strict=True)]
    axes = torch.linalg.qr(normal(seed, pools[0].shape[1], pools[0].shape[1]))[0]
    return Latents(*(pool @ axes for pool in pools))


STATES = normal(1), normal(2)
SQUARES = tuple((state[:, :2].square() - 1) / 2**0.5 for state in STATES)
COMMON = normal(3, dim=2), normal(4, dim=2)  # of both agents, and no function of the state


def private(seed):
    return normal(seed, dim=2), normal(seed + 1, dim=2)


def scores_of(*agents):
    found = checkpoint_scores(agents, [STATES, STATES])
    return dict(zip(CURVE[1:], found, strict=True))


def test_agents_that_encode_the_state_alone_agree_and_nothing_is_left_without_it():
    scores = scores_of(rotated([STATES, private(10)], 20), rotated([STATES, private(12)], 21))

    assert scores["state"] > 0.99
    assert scores["free map"] == pytest.approx(3 / 5, abs=0.05)
    assert abs(scores["residual"]) < 0.05
    assert scores["residual share"] == pytest.approx(2 / 5, abs=0.05)
    assert abs(scores["null"]) < 0.1


def test_what_agents_share_beside_the_state_is_left_without_it():
    scores = scores_of(rotated([STATES, COMMON], 20), rotated([STATES, COMMON], 21))

    assert scores["rotation"] > 0.99
    assert scores["residual"] > 0.99
    assert scores["residual, degree 2"] > 0.95


def test_squares_of_the_state_are_left_by_the_linear_state_and_not_by_degree_2():
    scores = scores_of(
        rotated([STATES, SQUARES, private(10)], 20), rotated([STATES, SQUARES, private(12)], 21)
    )

    assert scores["residual"] == pytest.approx(0.5, abs=0.05)
    assert abs(scores["residual, degree 2"]) < 0.1


def test_residuals_are_uncorrelated_with_the_features_that_were_removed():
    latents = rotated([STATES, SQUARES], 20)
    for degree in (1, 2):
        left, features = residuals(latents, *STATES, degree).anchors, state_features(STATES[0], degree)
        products = (features - features.mean(0)).T @ left / POOL
        assert products.abs().max() < 0.03


def test_a_rotation_does_not_explain_latents_that_are_stretched():
    first = rotated([STATES], 20)
    second = Latents(*(pool * torch.tensor([1.0, 3.0, 9.0]) for pool in (first.anchors, first.heldout)))

    assert agreement([first, second], fit_ridge) > 0.99
    assert agreement([first, second], fit_procrustes) < 0.9


def test_histories_of_different_lengths_end_together():
    def history(steps):
        latents = [rotated([STATES, private(30 + step)], step) for step in steps]
        return History(tuple(steps), tuple(latents), STATES, 0.0, True)

    found = curve([history((2, 4, 6, 8)), history((2, 4, 20))])

    assert found[:, 0].tolist() == [2, 4, 14]
    assert found.shape == (3, len(CURVE))


def test_the_gain_is_the_difference_at_equal_state_and_not_at_equal_steps():
    states = np.array([0.2, 0.5, 0.8])
    slower = np.array([0.1, 0.3, 0.6])

    gain = gain_at_equal_state((states, states + 0.1), (slower, slower), 0.02)
    assert gain == pytest.approx(0.1)  # of the first two: 0.8 is beyond what the slower one reaches
    near = gain_at_equal_state((np.array([0.61]), np.array([0.7])), (slower, slower), 0.02)
    assert near == pytest.approx(0.1)


def test_without_a_common_state_there_is_no_gain():
    high, low = np.array([0.9, 0.95]), np.array([0.1, 0.2])

    assert np.isnan(gain_at_equal_state((high, high), (low, low), 0.02))
    assert np.isnan(gain_at_equal_state((np.full(2, np.nan), high), (low, low), 0.02))


@pytest.mark.parametrize("name", ["TemporalInfoNce", "NextFrameAutoencoder"])
def test_temporal_baselines_meet_the_contract_of_world_models(name):
    models = [build_world_model(TEMPORAL + name, SIZES, 16, (seed,)) for seed in range(2)]

    check_world_model(models[0], 16, 4, lambda: models[1])


def test_temporal_info_nce_is_low_where_consecutive_frames_are_equal_and_segments_differ():
    model = build_world_model(TEMPORAL + "TemporalInfoNce", SIZES, 16, (0,))
    assert isinstance(model, TemporalInfoNce)
    still = random_frames(6, 1, 16, 16, 3).expand(6, 4, 16, 16, 3)
    moving = random_frames(6, 4, 16, 16, 3)
    generator = torch.Generator()

    assert model.loss(still, generator)[0] < model.loss(moving, generator)[0]


def test_a_next_frame_autoencoder_is_scored_on_the_next_frame():
    model = build_world_model(TEMPORAL + "NextFrameAutoencoder", SIZES, 16, (0,))
    assert isinstance(model, NextFrameAutoencoder)
    frames = random_frames(3, 2, 16, 16, 3)
    model.calibrate(frames.flatten(0, 1))
    other = frames.clone()
    other[:, 0] = frames[:, 0].flip(0)
    generator = torch.Generator()
    with torch.no_grad():
        now, later = (model.encoder.normalize(frames[:, t], torch.float32) for t in (0, 1))
        errors = model.decoder(model.encoder.net(now)) - later

    torch.testing.assert_close(model.loss(frames, generator)[0], errors.square().mean(), rtol=1e-2, atol=1e-3)
    assert model.loss(other, generator)[0] != model.loss(frames, generator)[0]


@pytest.mark.parametrize(
    "change",
    [
        "checkpoints=[25, 100]",
        "checkpoints=[50, 25, 150]",
        "checkpoints=[]",
        "checkpoints=[1, 150]",
        "components=2",
        "own_ticks=10",
        "own_ticks=100000",
        "tolerance=0.0",
        "setup.negotiation.pool_ticks=100",
        "flat.block=0",
    ],
)
def test_settings_that_compare_nothing_are_refused(change):
    with pytest.raises(ValueError, match=change.partition("=")[0].rpartition(".")[2]):
        build_settings(EXPERIMENT, True, [change])


def test_methods_see_the_same_frames_and_agents_train_at_other_times():
    assert Settings().setup.train_offset(2) > Settings().setup.training.replay_ticks
    histories = [train_pair(name, 0, TINY, discard) for name in ("vicreg", "temporal-infonce")]

    for first, second in zip(*histories, strict=True):
        assert torch.equal(first.states[0], second.states[0])
        assert first.steps == second.steps == TINY.checkpoints
        assert not torch.equal(first.latents[0].heldout, second.latents[0].heldout)


@pytest.fixture(scope="module")
def tiny_results():
    return Results({(name, 0): run(name, 0, TINY, discard) for name in EXPERIMENT.conditions(TINY)}, [0])


def test_all_conditions_run_and_equal_arguments_give_equal_results(tiny_results):
    for name in ("ema", "autoencoder"):
        again, before = run(name, 0, TINY, discard), tiny_results.condition_results[name, 0]
        assert np.array_equal(again.arrays["curve"], before.arrays["curve"])
        assert again.flops == before.flops > 0

    for name, method in METHODS.items():
        steps = tiny_results.array(name, "curve")[:, 0].tolist()
        assert np.isfinite(tiny_results.array(name, "curve")).all()
        if not method.trains:
            assert steps == [0]
        elif name not in FLAT:
            assert steps == list(TINY.checkpoints)
        else:
            assert steps[:2] == list(TINY.checkpoints)
            assert steps[-1] == 15
    metrics = make_metrics(tiny_results, TINY)
    assert len({(metric.group, metric.name) for metric in metrics}) == len(metrics)
    assert len([metric for metric in metrics if metric.threshold]) == 3 * (len(JEPAS) + 1) + 1
    assert all(isinstance(note, str) for note in make_notes(tiny_results, TINY))
    for figure in stored_plots(EXPERIMENT, tiny_results, TINY).values():
        figure.canvas.draw()


def planted_results(gain, residual):
    """Results of three seeds in which JEPAs exceed temporal InfoNCE by a gain that differs between seeds."""
    found = {}
    for seed in (1, 2, 3):
        for name in METHODS:
            extra = gain.get(name, 0.0) + 0.01 * seed
            scores = {f"{score}, {step}": 0.2 + step / 1000 + (extra if score != "state" else 0.0)
                      for step in Settings().checkpoints
                      for score in ("state", "free map", "rotation")}  # fmt: skip
            scores |= dict.fromkeys([*FINAL, "null"], 0.5) | {
                "residual": residual.get(name, 0.5) + seed / 100
            }
            found[name, seed] = ConditionResult({key: Score.single(value) for key, value in scores.items()})
    return Results(found, (1, 2, 3))


def test_thresholds_follow_from_planted_curves_and_the_worst_jepa_decides():
    gain, residual = dict.fromkeys(JEPAS, 0.1) | {"ema": 0.02}, {"vicreg": 0.1}
    metrics = {metric.name: metric for metric in make_metrics(planted_results(gain, residual), Settings())}

    whitened = metrics["JEPA, whitened minus temporal InfoNCE at equal state R2, free map"]
    assert whitened.estimate.value == pytest.approx(0.1)
    assert whitened.met is True
    assert metrics["JEPA, EMA minus temporal InfoNCE at equal state R2, rotation"].met is False
    worst = metrics["worst JEPA minus temporal InfoNCE at equal state R2, free map"]
    assert worst.estimate.seeds == pytest.approx((0.02, 0.02, 0.02))
    assert worst.met is False
    assert metrics["JEPA, log-det residual agreement"].met is True
    assert metrics["worst JEPA residual agreement"].estimate.seeds == pytest.approx((0.11, 0.12, 0.13))

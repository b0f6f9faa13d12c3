from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage

from agents.common.streams import seeded
from env.gym.counting import transitions
from social_jepa.experiments.common import training_loop
from social_jepa.experiments.counting.probes import (
    clusters,
    discriminant,
    effective_rank_above,
    in_own_cluster,
    pair_accuracy,
    pairwise_correct,
    probe_scores,
    regression,
)
from social_jepa.experiments.counting.run import EXPERIMENT, _batch_loss, build_model, run
from social_jepa.experiments.counting.settings import Settings, conditions
from social_jepa.experiments.counting.targets import target_table
from social_jepa.experiments.framework.experiment import Results
from tests.support.stored_plots import stored_plots

TINY = Settings(
    steps=2, batch_size=4, dim=4, width=2, hidden=8, random_target_dim=4, frames_per_count=12
)  # fmt: skip
COUNTS = np.repeat(np.arange(9), 40)


def planted(rng, noise=0.05, dim=6):
    """Return latents along a parabola, one point for each count."""
    points = np.column_stack([np.arange(9), 0.2 * np.arange(9) ** 2, np.zeros((9, dim - 2))])
    return points[COUNTS] + noise * rng.normal(size=(len(COUNTS), dim))


def scores_of(sample, untrained=1.0):
    rng = np.random.default_rng(0)
    train, test = sample(rng), sample(rng)
    return probe_scores((train, COUNTS), (test, COUNTS), untrained, rng)[0]


def test_a_perfect_encoder_separates_every_count():
    scores = scores_of(planted)

    assert scores["clusters"].score == 9
    assert scores["cluster accuracy"].score > 0.95
    assert scores["separable pairs"].score == scores["separable pairs, with noise"].score == 36
    assert scores["minimum pair accuracy"].score == scores["accuracy"].score == 1
    assert scores["R2"].score > 0.95
    assert scores["accuracy, shuffled"].score < 0.3
    assert scores["R2, shuffled"].score < 0.2
    assert 1 < scores["effective rank above the floor"].score <= scores["effective rank"].score + 1e-9


def test_a_constant_encoder_has_scores_at_chance():
    scores = scores_of(lambda rng: np.ones((len(COUNTS), 6)))

    assert scores["clusters"].score == 1
    assert scores["separable pairs"].score == 0
    assert scores["mean pair accuracy"].score == pytest.approx(0.5)
    assert scores["accuracy"].score == pytest.approx(1 / 9)
    assert scores["effective rank"].score == scores["effective rank above the floor"].score == 0
    assert scores["relative spread"].score == 0


def test_latents_below_the_floor_score_only_without_noise():
    scores = scores_of(lambda rng: 1e-5 * planted(rng))

    assert scores["separable pairs"].score == 36
    assert scores["separable pairs, with noise"].score < 5
    assert scores["effective rank"].score > 1
    assert scores["effective rank above the floor"].score == 0


@pytest.mark.parametrize("shape", ["blob", "line", "sheet"])
def test_a_distribution_without_gaps_is_one_cluster(shape):
    rng = np.random.default_rng(0)
    points = {
        "blob": rng.normal(size=(900, 8)), "line": rng.uniform(size=(900, 1)),
        "sheet": rng.uniform(size=(900, 2)) * [10, 1],
    }[shape]  # fmt: skip
    assert clusters(points, 50).max() == 0


def test_clusters_of_different_widths_are_found_and_outliers_belong_to_none():
    rng = np.random.default_rng(0)
    wide = [np.array([30.0 * k, 0]) + 10**-k * rng.normal(size=(100, 2)) for k in range(4)]
    outliers = rng.uniform(-500, 500, size=(10, 2))
    labels = clusters(np.concatenate([*wide, outliers]), 50)

    assert set(labels[400:]) == {-1}
    assert labels.max() == 3
    for k in range(4):
        assert (labels[100 * k : 100 * k + 100] == labels[100 * k + 50]).mean() > 0.95


def test_a_cluster_is_assigned_its_most_frequent_count():
    labels, counts = np.array([0, 0, 0, 1, 1, -1]), np.array([5, 5, 2, 3, 3, 3])

    assert in_own_cluster(labels, counts).tolist() == [True, True, False, True, True, False]


def test_the_discriminant_does_not_depend_on_scale_and_slope():
    rng = np.random.default_rng(0)
    labels = np.repeat([3, 7], 200)
    latents = rng.normal(size=(400, 2)) * [1, 100] + np.where(labels == 3, 0, 8)[:, None] * [1, 0]

    assert (discriminant(latents, labels, latents) == labels).all()
    assert (discriminant(latents * 1e-9, labels, latents * 1e-9) == labels).all()
    assert regression(latents, latents @ [2.0, 1.0], latents) == pytest.approx(latents @ [2.0, 1.0], abs=0.1)


def test_pairs_with_equal_latents_are_at_chance_and_others_are_separated():
    rng = np.random.default_rng(0)
    counts = np.repeat([0, 1, 2], 200)
    latents = np.where(counts == 2, 9.0, 0.0)[:, None] + rng.normal(size=(600, 3))
    correct = pairwise_correct(latents, counts, latents, counts)
    pairs = pair_accuracy(correct, counts)

    assert np.isnan(correct[:200, 0]).all()
    assert not np.isnan(correct[:200, 1:]).any()
    assert pairs[0, 1] == pairs[1, 0] < 0.7
    assert pairs[0, 2] == pairs[1, 2] == 1


def test_a_floor_removes_directions_and_keeps_the_variances_of_the_others():
    latents = np.random.default_rng(0).normal(size=(5000, 4)) * [1, 1, 1e-3, 1e-3]

    assert effective_rank_above(latents, 1e-4) == pytest.approx(2, abs=0.01)
    assert effective_rank_above(latents, 1e-12) == pytest.approx(2, abs=0.01)
    assert effective_rank_above(latents, 10) == 0


def test_the_loss_of_three_heads_is_that_of_the_protocol_divided_by_the_weight_of_the_dynamics():
    settings = replace(
        TINY, dynamics_weight=4.0, reward_weight=10.0, termination_weight=1.0, value_weight=0.1
    )
    model = seeded([0], lambda: build_model("three-heads", settings))
    batch_loss = _batch_loss(settings, model, None)
    loss, terms = batch_loss(np.random.default_rng(3))
    batch = transitions(np.random.default_rng(3), settings.batch_size, settings.world)
    targets = target_table(settings.world, settings.discount)[batch.counts]
    errors = model.head(model.encode(torch.from_numpy(batch.frames))).detach().numpy() - targets

    assert terms["head"] == pytest.approx(np.square(errors).mean(0) @ [10, 1, 0.1], rel=1e-4)
    assert 4 * loss.item() == pytest.approx(4 * terms["dynamics"] + terms["head"], rel=1e-5)


def test_targets_depend_on_the_count_of_a_frame_alone():
    """Two batches with equal counts and other shapes, places and actions have equal targets."""
    seen = []
    for seed in (1, 2):
        model = seeded([0], lambda: build_model("three-heads-only", TINY))
        model.loss = lambda frames, actions, next_frames, targets: seen.append((frames, targets))
        _batch_loss(replace(TINY, batch_size=300), model, None)(np.random.default_rng(seed))
    table = target_table(TINY.world, TINY.discount)
    for frames, targets in seen:
        counts = [ndimage.label(frame[..., 0] > 128, np.ones((3, 3)))[1] for frame in frames.numpy()]
        np.testing.assert_allclose(targets.numpy(), table[counts], rtol=1e-6)
    assert not torch.equal(seen[0][0], seen[1][0])


@pytest.mark.parametrize(("condition", "terms", "weights"), [
    ("joint", {"dynamics", "head"}, [10, 0, 0]), ("reward-only", {"head"}, [10, 0, 0]),
    ("dynamics-only", {"dynamics"}, []), ("detached", {"dynamics", "head"}, [10, 0, 0]),
    ("three-heads", {"dynamics", "head"}, [10, 1, 0.1]), ("three-heads-only", {"head"}, [10, 1, 0.1]),
    ("random-target", {"dynamics", "head"}, [2.5] * 4),
])  # fmt: skip
def test_conditions_differ_in_terms_and_weights_and_begin_with_equal_encoders(condition, terms, weights):
    model, joint = (seeded([0], partial(build_model, name, TINY)) for name in (condition, "joint"))
    parts = {"dynamics": model.transition, "head": model.head}
    first = joint.encoder.state_dict()

    assert {name for name, part in parts.items() if part is not None} == terms
    if "head" in terms:
        np.testing.assert_allclose(model.target_weights, weights)
    assert all(torch.equal(value, first[name]) for name, value in model.encoder.state_dict().items())


@pytest.mark.parametrize("warmup", [0.1, 0.5])
def test_the_learning_rate_rises_over_the_warmup_and_then_falls_to_zero(warmup, monkeypatch):
    rates = []
    monkeypatch.setattr(training_loop, "set_lr", lambda optimizer, lr: rates.append(lr))
    run("joint", 0, replace(TINY, steps=20, warmup=warmup), lambda text: None)
    peak = round(20 * warmup)

    np.testing.assert_allclose(rates[:peak], TINY.learning_rate * np.arange(1, peak + 1) / peak)
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] < 0.05 * TINY.learning_rate


@pytest.mark.parametrize(("name", "value"), [
    ("shape", "star"), ("steps", 0), ("steps", 2.5), ("batch_size", 0), ("dim", 0), ("width", True),
    ("hidden", -1), ("random_target_dim", 0), ("frames_per_count", 3), ("learning_rate", 0.0),
    ("learning_rate", float("nan")), ("encoder_lr_multiplier", -0.3), ("dynamics_weight", 0.0),
    ("reward_weight", float("inf")), ("termination_weight", -1.0), ("value_weight", float("nan")),
    ("warmup", 1.5), ("discount", 1.01), ("discount", -0.1),
])  # fmt: skip
def test_a_setting_that_cannot_be_trained_or_scored_is_refused_with_its_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        replace(TINY, **{name: value})


def run_all(settings):
    return {(name, 3): run(name, 3, settings, lambda text: None) for name in conditions(settings)}


@pytest.fixture(scope="module")
def tiny():
    return run_all(TINY)


def test_equal_seeds_give_equal_results(tiny):
    again = run_all(TINY)
    for key, result in tiny.items():
        assert {name: score.score for name, score in result.scores.items()} == pytest.approx(
            {name: score.score for name, score in again[key].scores.items()}, nan_ok=True
        )
        assert all(np.array_equal(result.arrays[k], again[key].arrays[k], True) for k in result.arrays)


def test_a_head_without_gradient_leaves_the_encoder_of_dynamics_only(tiny):
    latents = tiny["dynamics-only", 3].arrays["latents"]

    assert np.abs(tiny["detached", 3].arrays["latents"] - latents).max() < 0.1  # gradients clipped jointly
    assert np.abs(tiny["joint", 3].arrays["latents"] - latents).max() > 1e-4
    assert tiny["untrained", 3].scores["relative spread"].score == pytest.approx(1)


def test_the_page_has_metrics_of_every_condition_and_draws_its_plots(tiny):
    results = Results(tiny, [3])
    table = EXPERIMENT.metrics(results, TINY)

    assert {metric.group for metric in table} >= {"thresholds", *conditions(TINY)}
    assert {metric.name: str(metric.threshold) for metric in table if metric.threshold} == {
        "joint: separable pairs of 36": ">= 35.5",
        "reward-only: separable pairs of 36": "<= 30",
        "reward-only minus joint: separable pairs": "< -3",
        "dynamics-only: effective rank above the floor": "< 1.5",
        "dynamics-only: spread relative to untrained": "< 0.01",
    }
    assert not any(metric.self_test for metric in table)
    assert sum(metric.group == "ink" for metric in table) == 4
    assert set(stored_plots(EXPERIMENT, results, TINY)) == {"latents", "pairs", "losses"}
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, TINY))

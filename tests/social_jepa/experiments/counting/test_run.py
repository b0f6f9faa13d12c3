import numpy as np
import pytest

from env.gym.counting import CountingConfig, transitions
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
from social_jepa.experiments.counting.run import EXPERIMENT, count_rewards, run
from social_jepa.experiments.counting.settings import Settings, conditions
from social_jepa.experiments.framework.experiment import Results
from tests.support.stored_plots import stored_plots

TINY = Settings(
    steps=2, batch_size=4, dim=4, width=2, hidden=8, random_target_dim=4, frames_per_count=12,
    other_head_weights=(0.0, 1.0),
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


def test_the_target_is_the_reward_of_the_frame_itself():
    world = CountingConfig()
    batch = transitions(np.random.default_rng(0), 300, world)

    assert np.array_equal(count_rewards(batch.counts, world), batch.counts == 4)
    assert np.array_equal(count_rewards(batch.next_counts, world), batch.rewards)


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


def test_a_head_without_weight_or_gradient_leaves_the_encoder_of_dynamics_only(tiny):
    latents = tiny["dynamics-only", 3].arrays["latents"]

    np.testing.assert_allclose(tiny["head-weight-0", 3].arrays["latents"], latents, atol=1e-5)
    assert np.abs(tiny["detached", 3].arrays["latents"] - latents).max() < 0.1  # gradients clipped jointly
    assert np.abs(tiny["joint", 3].arrays["latents"] - latents).max() > 1e-4
    assert tiny["untrained", 3].scores["relative spread"].score == pytest.approx(1)


def test_the_page_has_metrics_of_every_condition_and_draws_its_plots(tiny):
    results = Results(tiny, [3])
    table = EXPERIMENT.metrics(results, TINY)

    assert {metric.group for metric in table} >= {"thresholds", *conditions(TINY)}
    assert sum(metric.threshold is not None for metric in table) == 5
    assert [metric.name for metric in table if metric.self_test] == [
        "head-weight-0: largest distance of a latent from dynamics-only, relative to the untrained spread"
    ]
    assert set(stored_plots(EXPERIMENT, results, TINY)) == {"latents", "pairs", "losses"}
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, TINY))

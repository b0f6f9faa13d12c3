import numpy as np
import pytest

from env.gym.counting import CountingConfig, transitions
from social_jepa.experiments.counting.probes import (
    clusters,
    discriminant,
    floored_rank,
    own_cluster,
    pair_hits,
    pair_matrix,
    regression,
    scores,
)
from social_jepa.experiments.counting.run import EXPERIMENT, CountingSettings, parts, reward_of, run
from social_jepa.experiments.framework.experiment import Results

TINY = CountingSettings(
    steps=2, batch=4, dim=4, width=2, hidden=8, random_dim=4, frames=12, weights=(0.0, 1.0)
)
COUNTS = np.repeat(np.arange(9), 40)


def planted(rng, noise=0.05, dim=6):
    """Codes along a bent line, one place for each count."""
    places = np.column_stack([np.arange(9), 0.2 * np.arange(9) ** 2, np.zeros((9, dim - 2))])
    return places[COUNTS] + noise * rng.normal(size=(len(COUNTS), dim))


def scored(codes, untrained=1.0):
    rng = np.random.default_rng(0)
    train, test = codes(rng), codes(rng)
    return scores((train, COUNTS), (test, COUNTS), untrained, rng)[0]


def test_a_perfect_encoder_tells_every_count_apart():
    found = scored(planted)

    assert found["clusters"].score == 9
    assert found["own cluster"].score > 0.95
    assert found["pairs"].score == found["pairs, floored"].score == 36
    assert found["pair minimum"].score == found["accuracy"].score == 1
    assert found["r2"].score > 0.95
    assert found["accuracy, shuffled"].score < 0.3
    assert found["r2, shuffled"].score < 0.2
    assert 1 < found["rank, floored"].score <= found["rank"].score + 1e-9


def test_a_constant_encoder_tells_nothing():
    found = scored(lambda rng: np.ones((len(COUNTS), 6)))

    assert found["clusters"].score == 1
    assert found["pairs"].score == 0
    assert found["pair mean"].score == pytest.approx(0.5)
    assert found["accuracy"].score == pytest.approx(1 / 9)
    assert found["rank"].score == found["rank, floored"].score == found["spread"].score == 0


def test_codes_that_shrank_below_the_floor_keep_their_plain_scores_alone():
    found = scored(lambda rng: 1e-5 * planted(rng))

    assert found["pairs"].score == 36
    assert found["pairs, floored"].score < 5
    assert found["rank"].score > 1
    assert found["rank, floored"].score == 0


@pytest.mark.parametrize("shape", ["blob", "line", "sheet"])
def test_what_has_no_gaps_is_one_cluster(shape):
    rng = np.random.default_rng(0)
    drawn = {
        "blob": rng.normal(size=(900, 8)), "line": rng.uniform(size=(900, 1)),
        "sheet": rng.uniform(size=(900, 2)) * [10, 1],
    }[shape]  # fmt: skip
    assert clusters(drawn, 50).max() == 0


def test_clusters_of_different_widths_are_found_and_strays_belong_to_none():
    rng = np.random.default_rng(0)
    wide = [np.array([30.0 * k, 0]) + 10**-k * rng.normal(size=(100, 2)) for k in range(4)]
    strays = rng.uniform(-500, 500, size=(10, 2))
    labels = clusters(np.concatenate([*wide, strays]), 50)

    assert set(labels[400:]) == {-1}
    assert labels.max() == 3
    for k in range(4):
        assert (labels[100 * k : 100 * k + 100] == labels[100 * k + 50]).mean() > 0.95


def test_a_cluster_counts_for_the_count_that_most_of_it_has():
    labels, counts = np.array([0, 0, 0, 1, 1, -1]), np.array([5, 5, 2, 3, 3, 3])

    assert own_cluster(labels, counts).tolist() == [True, True, False, True, True, False]


def test_the_discriminant_sees_through_scale_and_slope():
    rng = np.random.default_rng(0)
    labels = np.repeat([3, 7], 200)
    codes = rng.normal(size=(400, 2)) * [1, 100] + np.where(labels == 3, 0, 8)[:, None] * [1, 0]

    assert (discriminant(codes, labels, codes) == labels).all()
    assert (discriminant(codes * 1e-9, labels, codes * 1e-9) == labels).all()
    assert regression(codes, codes @ [2.0, 1.0], codes) == pytest.approx(codes @ [2.0, 1.0], abs=0.1)


def test_pairs_that_share_codes_are_guessed_and_the_others_told():
    rng = np.random.default_rng(0)
    counts = np.repeat([0, 1, 2], 200)
    codes = np.where(counts == 2, 9.0, 0.0)[:, None] + rng.normal(size=(600, 3))
    hits = pair_hits(codes, counts, codes, counts)
    pairs = pair_matrix(hits, counts)

    assert np.isnan(hits[:200, 0]).all()
    assert not np.isnan(hits[:200, 1:]).any()
    assert pairs[0, 1] == pairs[1, 0] < 0.7
    assert pairs[0, 2] == pairs[1, 2] == 1


def test_a_floor_takes_directions_and_not_their_sizes():
    codes = np.random.default_rng(0).normal(size=(5000, 4)) * [1, 1, 1e-3, 1e-3]

    assert floored_rank(codes, 1e-4) == pytest.approx(2, abs=0.01)
    assert floored_rank(codes, 1e-12) == pytest.approx(2, abs=0.01)
    assert floored_rank(codes, 10) == 0


def test_p_is_the_reward_of_the_frame_itself():
    world = CountingConfig()
    drawn = transitions(np.random.default_rng(0), 300, world)

    assert np.array_equal(reward_of(drawn.counts, world), drawn.counts == 4)
    assert np.array_equal(reward_of(drawn.next_counts, world), drawn.rewards)


def outcomes(settings):
    return {(part, 3): run(part, 3, settings, lambda text: None) for part in parts(settings)}


@pytest.fixture(scope="module")
def tiny():
    return outcomes(TINY)


def test_equal_seeds_give_equal_outcomes(tiny):
    again = outcomes(TINY)
    for key, outcome in tiny.items():
        assert {k: m.score for k, m in outcome.measures.items()} == pytest.approx(
            {k: m.score for k, m in again[key].scores.items()}, nan_ok=True
        )
        assert all(np.array_equal(outcome.arrays[k], again[key].arrays[k], True) for k in outcome.arrays)


def test_a_head_without_weight_or_without_gradient_leaves_dynamics_alone(tiny):
    alone = tiny["dynamics-only", 3].arrays["all codes"]

    np.testing.assert_allclose(tiny["weight-0", 3].arrays["all codes"], alone, atol=1e-5)
    assert np.abs(tiny["detached", 3].arrays["all codes"] - alone).max() < 0.1  # clipped with its head
    assert np.abs(tiny["joint", 3].arrays["all codes"] - alone).max() > 1e-4
    assert tiny["untrained", 3].measures["spread"].score == pytest.approx(1)


def test_the_page_names_every_part_and_draws(tiny):
    results = Results(tiny, [3])
    lines = EXPERIMENT.metrics(results, TINY)

    assert {line.group for line in lines} >= {"goals", *parts(TINY)}
    assert sum(line.threshold is not None for line in lines) == 5
    assert set(EXPERIMENT.plots(results, TINY)) == {"latents", "pairs", "losses"}
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, TINY))

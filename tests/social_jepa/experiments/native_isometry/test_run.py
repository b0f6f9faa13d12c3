"""Laws of native-isometry: planted maps between raw latents are measured exactly, in any axes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from alignment.raw_map import raw_metric
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.registry import build_settings
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.native_isometry.metrics import make_metrics, make_notes
from social_jepa.experiments.native_isometry.run import EXPERIMENT, run, train_pair
from social_jepa.experiments.native_isometry.scores import RawLatents, budget_scores, isometry_scores
from social_jepa.experiments.native_isometry.settings import METHODS, OBJECTIVES, UNTRAINED, Settings
from tests.support.stored_plots import stored_plots

TINY = build_settings(
    EXPERIMENT,
    True,
    [
        "setup.scene.frame_size=16",
        "setup.training.steps=8",
        "setup.training.stage_steps=4",
        "setup.training.segments=16",
        "setup.training.replay_ticks=256",
        "setup.training.core_eval_ticks=128",
        "setup.model.width=4",
        "setup.model.hidden=8",
        "setup.negotiation.pool_ticks=192",
        "setup.negotiation.anchors=64",
        "setup.negotiation.heldout=96",
        "max_pairs=128",
    ],
)


def discard(text):
    del text


def owned(pools, seed):
    """Raw latents as their owner keeps them: white coordinates in axes of its own, and the metric."""
    rng = np.random.default_rng([seed, 5])
    raw = torch.from_numpy(pools[0])
    factor = torch.linalg.cholesky(torch.cov(raw.T))
    rotation = torch.from_numpy(np.linalg.qr(rng.standard_normal((raw.shape[1],) * 2))[0])
    transform = torch.linalg.inv(factor).T @ rotation
    return RawLatents(
        *((torch.from_numpy(rows) - raw.mean(0)) @ transform for rows in pools), raw_metric(transform)
    )


def planted(matrix, private=0, noise=0.0, rows=512, axes=(0, 1)):
    """Two agents: the raw latents of the second are those of the first times a matrix, and private ones."""
    rng = np.random.default_rng(3)
    dim = len(matrix)
    scale = np.array([2.0, 1.0, 0.5])[:dim]
    pools = [rng.standard_normal((rows, dim)) * scale for _ in range(2)]

    def more(shared):
        dirty = shared + noise * rng.standard_normal(shared.shape)
        return np.hstack([dirty, rng.standard_normal((rows, private))])

    first = [more(rows) for rows in pools]
    second = [more(rows @ matrix + 7.0) for rows in pools]
    return [owned(first, axes[0]), owned(second, axes[1])]


ROTATION = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]


def test_a_similarity_transform_is_found_whatever_axes_the_owners_choose():
    for axes in ((0, 1), (2, 3)):
        scores = isometry_scores(planted(3.0 * ROTATION, axes=axes), 512, 4)

        assert scores["R2"].score == pytest.approx(1)
        assert scores["share"].score == pytest.approx(1)
        assert scores["kappa"].score == pytest.approx(1)
        assert scores["strong kappa"].score == pytest.approx(1)
        assert scores["s_max"].score == pytest.approx((3 + 1 / 3) / 2)  # the mean of both directions
        assert scores["strong directions"].score == 3
        assert abs(scores["shifted R2"].score) < 0.1


def test_a_map_that_stretches_is_no_isometry_though_its_fit_is_perfect():
    scores = isometry_scores(planted(np.diag([1.0, 2.0, 4.0]) @ ROTATION), 512, 4)

    assert scores["R2"].score == pytest.approx(1)
    assert scores["kappa"].score == pytest.approx(4)
    assert scores["strong kappa"].score == pytest.approx(4)
    assert scores["share"].score < 0.95


def test_private_directions_spoil_the_condition_number_of_all_and_not_that_of_strong_ones():
    scores = isometry_scores(planted(ROTATION, private=2), 512, 4)

    assert scores["strong directions"].score == 3
    assert scores["strong kappa"].score == pytest.approx(1, abs=0.05)
    assert scores["kappa"].score > 10


def test_unrelated_latents_have_no_strong_direction_and_explain_nothing():
    first, second = planted(ROTATION)
    scores = isometry_scores([first, second.rolled()], 512, 4)

    assert scores["strong directions"].score == 0
    assert np.isnan(scores["strong kappa"].score)
    assert abs(scores["R2"].score) < 0.1


def test_w_is_exact_from_one_more_pair_than_dimensions_and_singular_from_fewer():
    scores = budget_scores(planted(2.0 * ROTATION), (1, 2, 4, 64), 0)

    assert scores["R2, 4"].score == pytest.approx(1, abs=1e-4)
    assert scores["kappa, 64"].score == pytest.approx(1, abs=1e-4)
    assert scores["similarity R2, 4"].score == pytest.approx(1, abs=1e-4)
    assert scores["R2, 2"].score < 0.9
    assert scores["kappa, 2"].score > 1e3


def test_latents_are_the_same_after_a_round_trip_through_arrays():
    latents = planted(ROTATION)[0]
    again = RawLatents.read(latents.arrays("first"), "first")

    for name, value in vars(latents).items():
        torch.testing.assert_close(getattr(again, name), value.float())


@pytest.mark.parametrize("change", ["max_pairs=100", "max_pairs=512", "max_pairs=4"])
def test_settings_that_compare_nothing_are_refused(change):
    with pytest.raises(ValueError, match="max_pairs"):
        build_settings(EXPERIMENT, True, [change])


def test_the_pool_must_be_long_enough_for_the_null():
    with pytest.raises(ValueError, match="pool_ticks"):
        build_settings(EXPERIMENT, True, ["setup.negotiation.pool_ticks=128", "max_pairs=64"])


def test_the_agents_of_a_run_train_at_other_times_with_the_settings_of_a_run():
    setup, plain = Settings().setup, type(Settings().setup)()

    assert setup.train_offset(2) > setup.training.replay_ticks
    assert replace(setup, training=plain.training, negotiation=plain.negotiation) == plain
    assert replace(setup.training, own_ticks=False) == plain.training


def planted_scores(r2, share=0.97, kappa=1.2):
    values = dict.fromkeys(("R2", "shifted R2", "shifted similarity R2"), r2) | {
        "similarity R2": share * r2, "share": share, "kappa": 9.0, "strong kappa": kappa, "s_max": 1.0,
        "s_min": 0.1, "strong directions": 3.0, "strong share": share, "strong R2": r2,
    }  # fmt: skip
    values |= {f"{name}, {pairs}": 0.5 for name in ("R2", "similarity R2", "kappa", "s_max", "s_min")
               for pairs in Settings().pair_counts}  # fmt: skip
    return {name: Score.single(value) for name, value in values.items()}


def planted_results(**changed):
    """Results of three seeds; the agents of each seed are related, and those of two seeds are not."""
    found = {}
    for seed in (1, 2, 3):
        for name in METHODS:
            r2 = 0.1 if name in UNTRAINED else 0.9
            rng = np.random.default_rng(seed)
            pools = [rng.standard_normal((256, 3)) for _ in range(2)]
            arrays = owned(pools, 0).arrays("first") | owned(pools, 1).arrays("second")
            scores = planted_scores(r2) | changed.get(name, {}).get(seed, {})
            found[name, seed] = ConditionResult(scores, arrays)
    return Results(found, (1, 2, 3))


def by_name(results):
    return {metric.name: metric for metric in make_metrics(results, Settings())}


def test_thresholds_follow_from_planted_scores_and_the_worst_objective_decides():
    stretched = {seed: planted_scores(0.9, kappa=1.8) for seed in (1, 2, 3)}
    unequal = {1: planted_scores(0.9, share=0.90), 2: planted_scores(0.9, share=0.99)}
    metrics = by_name(planted_results(vicreg=stretched, ema=unequal))

    assert metrics["log-det: share of R2 kept by a similarity transform"].met is True
    assert metrics["VICReg: kappa of W, strong directions"].met is False
    assert metrics["EMA: share of R2 kept by a similarity transform"].met is None
    assert metrics["worst objective: kappa of W, strong directions"].estimate.seeds == (1.8, 1.8, 1.8)
    assert metrics["worst objective: share of R2 kept by a similarity transform"].estimate.seeds == (
        0.90, 0.97, 0.97,
    )  # fmt: skip
    gain = metrics["worst objective: R2 of a similarity transform minus the better baseline"]
    assert gain.estimate.seeds == pytest.approx((0.81 - 0.097, 0.873 - 0.097, 0.873 - 0.097))


def test_what_an_untrained_network_reaches_does_not_pass_for_an_isometry():
    as_good = {seed: planted_scores(0.95) for seed in (1, 2, 3)}
    metrics = by_name(planted_results(**{"pixel-pca": as_good}))

    assert metrics["log-det: share of R2 kept by a similarity transform"].met is True
    assert metrics["log-det: R2 of a similarity transform minus the better baseline"].met is False


def test_agents_of_another_world_are_the_null_and_need_two_seeds():
    results = planted_results()
    metrics = by_name(results)
    alone = Results({key: found for key, found in results.condition_results.items() if key[1] == 1}, (1,))

    for method in OBJECTIVES.values():
        assert abs(metrics[f"{method.title}: R2 of W, another world"].estimate.value) < 0.1
    assert not [name for name in by_name(alone) if "another world" in name]


@pytest.fixture(scope="module")
def tiny_results():
    return Results({(name, 0): run(name, 0, TINY, discard) for name in EXPERIMENT.conditions(TINY)}, [0])


def test_all_conditions_run_and_equal_arguments_give_equal_results(tiny_results):
    again, before = run("vicreg", 0, TINY, discard), tiny_results.condition_results["vicreg", 0]
    for key, array in again.arrays.items():
        assert np.array_equal(array, before.arrays[key])
    for key, score in again.scores.items():
        assert np.array_equal(score.values, before.scores[key].values)

    assert tiny_results.condition_results["untrained", 0].flops == 0 < before.flops
    metrics = make_metrics(tiny_results, TINY)
    assert len({(metric.group, metric.name) for metric in metrics}) == len(metrics)
    assert len([metric for metric in metrics if metric.threshold]) == 3 * (len(OBJECTIVES) + 1)
    assert all(isinstance(note, str) for note in make_notes(tiny_results, TINY))
    for figure in stored_plots(EXPERIMENT, tiny_results, TINY).values():
        figure.canvas.draw()


def test_raw_latents_are_those_that_the_encoder_emits():
    agents = train_pair(METHODS["log-det"], TINY.setup, 0, discard)
    latents = RawLatents.of(agents[0])
    back = torch.linalg.pinv(agents[0].basis.transform.double())
    raw = latents.heldout.double() @ back

    white = latents.heldout.double()
    lengths = (white @ latents.metric.double() * white).sum(1)
    torch.testing.assert_close(lengths, raw.square().sum(1), rtol=1e-4, atol=1e-6)

"""Laws of the experiment one-moment."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from agents.training.settings import TrainingConfig
from env.scene import SceneConfig
from social_jepa.experiments.common.similarity_baselines import METHODS as BASELINES
from social_jepa.experiments.common.similarity_baselines import TICA, UNTRAINED, baseline_name
from social_jepa.experiments.common.trained_agents import AgentSetup, ring_poses, untrained_agent
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.one_moment import methods
from social_jepa.experiments.one_moment.agents import (
    FoundAxes,
    baseline_models,
    encode_all,
    find_axes,
    fresh_ticks,
    moment_ticks,
)
from social_jepa.experiments.one_moment.metrics import make_metrics, make_notes
from social_jepa.experiments.one_moment.run import EXPERIMENT, run
from social_jepa.experiments.one_moment.scores import (
    METHODS,
    SKEWNESS,
    heldout_r2,
    moment_scores,
    null_name,
    pair_scores,
    unpaired_scores,
)
from social_jepa.experiments.one_moment.settings import Settings
from tests.support.stored_plots import stored_plots

TINY = Settings(
    setup=AgentSetup(
        scene=SceneConfig(renderer="toy", frame_size=16, objects=1),
        model=ModelConfig(dim=3, width=4, hidden=8),
        training=TrainingConfig(
            steps=3, segments=8, replay_ticks=256, core_eval_ticks=64, own_ticks=True
        ),
        negotiation=NegotiationConfig(pool_ticks=128, anchors=16, heldout=32),
    ),
    spacings=(0.05, 0.0), distinct_spacing=0.05, axis_ticks=512, moments=(1, 4), draws=3,
)  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def discard(text):
    del text


def planted(rng, factors=4, noise=0.1, moments=64):
    """Two agents whose axes are the same independent factors with other signs, observed with noise."""
    flips = [np.ones(factors), rng.choice((-1.0, 1.0), factors)]
    truth = rng.standard_normal((moments, 4, factors)), rng.standard_normal((512, factors))
    spectrum = np.linspace(0.8, 0.6, factors)
    skewness = np.zeros((factors,) * 3)
    pair = []
    for signs in flips:
        noisy = [(rows + noise * rng.standard_normal(rows.shape)) * signs for rows in truth]
        pair.append(FoundAxes(spectrum, skewness, *noisy))
    return pair


def leading(axes, count):
    """The axes of an agent that found only the first `count` of them."""
    return FoundAxes(
        axes.spectrum[:count], axes.skewness[:count, :count, :count], axes.moments[..., :count],
        axes.heldout[:, :count],
    )  # fmt: skip


def test_planted_signs_and_permutations_are_recovered_from_few_pairs(rng):
    x = rng.standard_normal((4, 6))
    flips = np.diag([1.0, -1, -1, 1, -1, 1])
    swapped = flips[:, [1, 0, 2, 3, 5, 4]]
    spectrum = np.linspace(0.71, 0.7, 6)
    assert np.array_equal(methods.signs(x, x @ flips), flips)
    assert np.array_equal(methods.signed_permutation(x, x @ swapped, spectrum, spectrum), swapped)
    y = rng.standard_normal((9, 6))
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    assert np.allclose(methods.orthogonal_map(y, y @ rotation), rotation)


def test_an_orthogonal_map_drops_the_directions_that_few_pairs_leave_undetermined(rng):
    x, rotation = rng.standard_normal((4, 6)), np.linalg.qr(rng.standard_normal((6, 6)))[0]
    seen = np.linalg.pinv(x) @ x  # projection on the directions of the four pairs

    assert np.allclose(methods.orthogonal_map(x, x @ rotation), seen @ rotation)
    assert np.allclose(methods.orthogonal_map(np.zeros((4, 6)), x), 0)


def test_dropping_and_shrinking_directions_explains_more_than_completing_them_by_any(rng):
    scores = {"completed": [], "dropped": [], "shrunk": []}
    for _ in range(200):
        first, second = planted(rng, factors=6, noise=0.3, moments=2)
        x, y = first.moments[0], second.moments[0]
        u, _, vt = np.linalg.svd(x.T @ y)
        maps = u @ vt, methods.orthogonal_map(x, y), methods.shrunk_orthogonal_map(x, y)
        for found, weight in zip(scores.values(), maps, strict=True):
            found.append(heldout_r2(weight, first, second, 6).score)

    completed, dropped, shrunk = map(np.mean, scores.values())
    assert completed + 0.2 < dropped < shrunk - 0.01


def test_on_one_axis_a_shrunk_orthogonal_map_is_a_shrunk_sign(rng):
    x, y = rng.standard_normal((2, 4, 1))
    assert np.allclose(methods.shrunk_orthogonal_map(x, y), methods.shrunk_signs(x, y))


def test_spectra_alone_determine_the_permutation_if_pairs_are_uninformative():
    tiny = np.full((1, 3), 1e-9)
    spectra = np.array([[0.8, 0.7, 0.6], [0.7, 0.6, 0.8]])
    order = np.abs(methods.signed_permutation(tiny, tiny, *spectra))
    assert np.array_equal(order.argmax(1), [2, 0, 1])


def test_a_shrunk_sign_is_a_sign_if_it_is_certain_and_zero_if_it_is_not():
    found = np.diag(methods.shrunk_signs(np.array([[2.0, -2.0, 0.0]]), np.array([[2.0, 2.0, 1.0]])))
    assert np.allclose(found, [methods.CORRELATION, -methods.CORRELATION, 0.0])


def test_skewness_determines_the_signs_of_skewed_axes_and_not_of_symmetric_ones(rng):
    flips = np.array([1.0, -1, 1, -1])

    def skewness(rows):
        return np.einsum("na,nb,nc->abc", rows, rows, rows) / len(rows)

    skewed = rng.exponential(size=(2, 3000, 4)) - 1
    assert np.array_equal(methods.skewness_signs(skewness(skewed[0]), skewness(skewed[1] * flips)), flips)
    right = []
    for _ in range(100):
        x, y = rng.standard_normal((2, 300, 4))
        right.append(np.array_equal(methods.skewness_signs(skewness(x), skewness(y * flips)), flips))
    assert np.mean(right) < 0.25  # 1 of 16 by chance


@pytest.mark.parametrize(("source", "target"), [(4, 4), (3, 4), (4, 3), (2, 4), (4, 0), (0, 4)])
def test_a_factor_that_one_agent_did_not_find_counts_as_unexplained(rng, source, target):
    first, second = planted(rng, noise=0.0)
    pair = [leading(first, source), leading(second, target)]
    scores = moment_scores(pair, 0, replace(TINY, setup=replace(TINY.setup, scene=SceneConfig(objects=2))))

    found = min(source, target) / 4
    assert scores["signs, 4"].score == pytest.approx(found, abs=0.02)
    assert all(f"{name}, {count}" in scores for name in METHODS for count in TINY.moments)


def test_axes_beyond_the_factors_have_to_be_explained_as_well(rng):
    first, second = planted(rng, factors=5, noise=0.0)
    weight = methods.signs(first.moments[0], second.moments[0])
    assert heldout_r2(weight, first, second, 4).score == pytest.approx(1)
    assert heldout_r2(weight[:4], leading(first, 4), second, 4).score == pytest.approx(0.8, abs=0.02)


def test_one_moment_is_enough_for_signs_and_not_for_an_orthogonal_map_or_moments_of_other_times(rng):
    settings = replace(TINY, setup=replace(TINY.setup, scene=SceneConfig(objects=3)), draws=20)
    scores = pair_scores(planted(rng, factors=6), 0, settings)

    for name in ("signs", "shrunk signs", "permutation"):
        assert scores[f"{name}, 1"].score > 0.95
        assert scores[null_name(f"{name}, 4")].score < 0.1
    assert scores["orthogonal map, 1"].score < 0.8 < scores["orthogonal map, 4"].score
    assert scores["exact cores"].score == 1
    assert pair_scores(planted(rng, factors=5), 0, settings)["exact cores"].score == 0


def test_the_null_shifts_the_moments_of_one_agent_and_changes_nothing_else(rng):
    _, second = planted(rng)
    shifted, half = second.shifted(), len(second.moments) // 2
    assert np.array_equal(shifted.moments, np.concatenate([second.moments[half:], second.moments[:half]]))
    assert shifted.heldout is second.heldout
    assert shifted.spectrum is second.spectrum


def test_the_null_scores_what_its_moments_give_on_held_out_ticks_that_are_paired(rng):
    """If moments recur after half of their range, the shifted ones give the right signs, which then score."""
    settings = replace(TINY, setup=replace(TINY.setup, scene=SceneConfig(objects=2)))
    recurring = [replace(axes, moments=np.tile(axes.moments, (2, 1, 1))) for axes in planted(rng)]
    scores = pair_scores(recurring, 0, settings)
    assert scores[null_name("signs, 4")].score == scores["signs, 4"].score > 0.95


def test_the_null_without_moments_is_a_mean_over_random_signs(rng):
    settings = replace(TINY, setup=replace(TINY.setup, scene=SceneConfig(objects=2)), draws=300)
    scores = unpaired_scores(planted(rng), 0, settings)
    assert abs(scores[null_name(SKEWNESS)].score + 1) < 0.2  # one draw of signs gives 1, -1, -3 ...
    assert scores[SKEWNESS].values.shape == scores[null_name(SKEWNESS)].values.shape


def test_axes_are_found_on_ticks_that_nothing_else_uses_and_moments_are_four_ticks_apart_in_time():
    setup = TINY.setup_of(0.05)
    used: list[set[int]] = []
    for index in range(2):
        with untrained_agent(setup, 100, index, ring_poses(setup, 2)) as agent:
            agent.train()
            fresh = fresh_ticks(agent, setup, TINY.axis_ticks)
            moments = moment_ticks(agent, TINY.moment_distance(0.05))
            trained = {
                *agent.trainer.replay_buffer.ticks,
                *agent.ticks.core_eval(agent.trainer.seen_stop).ravel(),
            }
            used += [set(fresh.tolist()), trained]
    used += [set(moments.ravel().tolist()), set(agent.ticks.heldout)]

    assert len(fresh) == TINY.axis_ticks
    assert sum(map(len, used)) == len(set.union(*used))
    assert np.array_equal(moments - moments[:, :1], np.tile(np.arange(4), (len(moments), 1)))
    assert (np.diff(moments[:, 0]) - 3 > setup.scene.decorrelation_ticks).all()
    assert len(moments) == TINY.available_moments(0.05)
    assert agent.ticks.fit.start <= moments.min() <= moments.max() < agent.ticks.fit.stop


def test_models_encode_the_same_frames_and_baselines_are_fitted_without_training():
    setup = TINY.setup_of(0.05)
    with untrained_agent(setup, 100, 0, ring_poses(setup, 2)) as agent:
        agent.train()
        models = {"trained": agent.model, **baseline_models(agent)}
        ticks = np.arange(600)
        latents = encode_all(agent, models, ticks)
        for name, model in models.items():
            assert torch.equal(latents[name], agent.encode_ticks(ticks, model))
        fresh = agent.build_model()
    assert list(models) == ["trained", *BASELINES]
    assert models[TICA].fitted
    weights = dict(models[UNTRAINED].named_parameters())
    assert all(torch.equal(weight, weights[name]) for name, weight in fresh.named_parameters())


def test_found_axes_are_the_core_sorted_by_autocorrelation_and_the_number_is_found(rng):
    ticks, rates = 4096, np.array([0.8, 0.65, 0.0, 0.0])
    factors = rng.standard_normal((ticks, 4))
    for tick in range(1, ticks):
        factors[tick] = rates * factors[tick - 1] + np.sqrt(1 - rates**2) * factors[tick]
    latents = torch.from_numpy(factors @ np.linalg.qr(rng.standard_normal((4, 4)))[0])
    axes = find_axes(torch.cat([latents, latents[:8], latents]), ticks, 2, None)

    assert axes.dim == 2
    assert axes.spectrum == pytest.approx(rates[:2], abs=0.05)
    correlations = np.abs(np.corrcoef(axes.heldout.T, factors.T)[:2, 2:])
    assert np.array_equal(correlations.argmax(1), [0, 1])
    assert correlations.max(1).min() > 0.98
    assert np.array_equal(axes.moments.reshape(8, 2), axes.heldout[:8])
    assert find_axes(torch.cat([latents, latents[:8]]), ticks, 2, 3).dim == 3


def test_invalid_settings_are_rejected():
    other = replace(TINY.setup, training=replace(TINY.setup.training, own_ticks=False))
    for invalid, text in (({"spacings": (0.0, 0.05)}, "spacings"), ({"moments": (2, 4)}, "moments"),
                          ({"distinct_spacing": 0.04}, "distinct_spacing"), ({"draws": 0}, "draws"),
                          ({"moments": (1, 99)}, "pool_ticks"), ({"axis_ticks": 1}, "axis_ticks"),
                          ({"setup": other}, "own_ticks")):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            replace(TINY, **invalid)


def test_autocorrelations_decrease_by_the_spacing_about_their_mean():
    assert Settings().autocorrelations(0.05) == (0.825, 0.775, 0.725, 0.675, 0.625, 0.575)
    assert TINY.autocorrelations(0.0) == (0.7, 0.7)


def test_the_smallest_distinct_autocorrelation_exceeds_the_square_of_the_largest_and_others_do_not():
    full = Settings()
    found = {spacing: full.autocorrelations(spacing) for spacing in full.spacings}
    margins = {spacing: values[-1] - values[0] ** 2 for spacing, values in found.items()}
    assert margins[full.distinct_spacing] > 2 * full.distinct_spacing
    assert margins[0.05] < 0


def test_a_tiny_run_is_reproducible_and_fills_every_metric_note_and_plot():
    outcomes = {(condition, 0): run(condition, 0, TINY, discard) for condition in TINY.conditions}
    first = TINY.conditions[0]
    again = run(first, 0, TINY, discard)
    for name, score in again.scores.items():
        assert np.array_equal(score.values, outcomes[first, 0].scores[name].values), name
    results = Results(outcomes, [0])
    table = make_metrics(results, TINY)

    assert all(np.isfinite(metric.estimate.value) for metric in table)
    assert [metric.group for metric in table if metric.threshold] == ["threshold"]
    assert len({(metric.group, metric.name) for metric in table}) == len(table)
    assert table[0].untrained == results.mean(first, baseline_name(UNTRAINED, "signs, 1"))
    assert table[0].baseline == results.mean(first, "orthogonal map, 1")
    best = max(table[0].untrained, table[0].pixel_pca, table[0].tica)
    assert table[1].estimate.value == pytest.approx(table[0].estimate.value - best)
    assert all(isinstance(note, str) for note in make_notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()

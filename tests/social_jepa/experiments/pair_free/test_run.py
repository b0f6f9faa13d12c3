from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from agents.training.settings import TrainingConfig
from alignment.anchors import AnchorSet
from alignment.core import autocorrelations
from env.scene import SceneConfig
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.pair_free import axes, methods
from social_jepa.experiments.pair_free.metrics import CONTROL_R2, control_note, metrics, notes
from social_jepa.experiments.pair_free.run import EXPERIMENT, run
from social_jepa.experiments.pair_free.scores import METHODS, _anchor_rows, control_score, unpaired_scores
from social_jepa.experiments.pair_free.settings import Settings
from tests.support.stored_plots import stored_plots

TINY = Settings(
    setup=AgentSetup(
        scene=SceneConfig(renderer="toy", frame_size=16, objects=1),
        model=ModelConfig(dim=3, width=4, hidden=8),
        training=TrainingConfig(steps=3, segments=8, replay_ticks=64, core_eval_ticks=64),
        negotiation=NegotiationConfig(pool_ticks=64, anchors=16, heldout=32),
    ),
    spacings=(0.05, 0.0), distinct_spacing=0.05, anchors=(1, 4), draws=3, candidates=16, restarts=1,
)  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_planted_signs_and_permutations_are_recovered_from_few_anchors(rng):
    x = rng.standard_normal((4, 6))
    flips = np.diag([1.0, -1, -1, 1, -1, 1])
    swapped = flips[:, [1, 0, 2, 3, 5, 4]]
    spectrum = np.linspace(0.75, 0.65, 6)
    assert np.array_equal(methods.signs(x, x @ flips), flips)
    assert np.array_equal(methods.signed_permutation(x, x @ swapped, spectrum, spectrum), swapped)
    rotation, y = methods.procrustes(*rng.standard_normal((2, 64, 6))), rng.standard_normal((9, 6))
    assert np.allclose(methods.procrustes(y, y @ rotation), rotation)


def test_spectra_alone_determine_the_permutation_if_anchors_are_uninformative():
    tiny = np.full((1, 3), 1e-9)
    spectra = np.array([[0.8, 0.7, 0.6], [0.7, 0.6, 0.8]])
    order = np.abs(methods.signed_permutation(tiny, tiny, *spectra))
    assert np.array_equal(order.argmax(1), [2, 0, 1])


def test_a_shrunk_sign_is_a_sign_if_it_is_certain_and_zero_if_it_is_not():
    found = np.diag(methods.shrunk(np.array([[2.0, -2.0, 0.0]]), np.array([[2.0, 2.0, 1.0]])))
    assert np.allclose(found, [methods.CORRELATION, -methods.CORRELATION, 0.0])


def test_a_sign_from_one_anchor_is_wrong_with_the_predicted_probability(rng):
    c = 0.95
    x = rng.standard_normal((20000, 1))
    y = c * x + np.sqrt(1 - c**2) * rng.standard_normal(x.shape)
    wrong = np.mean([methods.signs(a[None], b[None])[0, 0] < 0 for a, b in zip(x, y, strict=True)])
    assert abs(wrong - np.arccos(c) / np.pi) < 0.01


def test_third_moments_determine_the_signs_of_skewed_axes_and_not_of_symmetric_ones(rng):
    flips = np.array([1.0, -1, 1, -1])
    skewed = rng.exponential(size=(2, 3000, 4)) - 1
    assert np.array_equal(np.diag(methods.moment_signs(skewed[0], skewed[1] * flips)), flips)
    right = []
    for _ in range(100):
        x, y = rng.standard_normal((2, 300, 4))
        right.append(np.array_equal(np.diag(methods.moment_signs(x, y * flips)), flips))
    assert np.mean(right) < 0.25  # 1 of 16 by chance


def test_point_clouds_are_matched_if_they_have_a_shape_and_not_if_they_are_round(rng):
    assert control_score(2, 0, 8).score > 0.85
    rotation = methods.procrustes(*rng.standard_normal((2, 64, 4)))
    x, y = rng.standard_normal((2, 300, 4))
    found = methods.match_clouds(x, y @ rotation, rng, restarts=2)
    assert np.allclose(found @ found.T, np.eye(4))
    assert np.square(x @ found - x @ rotation).sum() > 0.2 * np.square(x).sum()


@pytest.mark.parametrize("planted", [9, 12])
def test_point_clouds_of_six_axes_are_matched_for_different_numbers_of_planted_clusters(planted):
    assert control_score(6, 100, 6, planted=planted).score > CONTROL_R2


def test_cluster_centers_are_matched_by_their_distances_alone(rng):
    centers, order = rng.standard_normal((8, 4)), rng.permutation(8)
    rotated = (centers @ methods.random_rotation(4, rng))[order]
    assert np.array_equal(order[methods._match_centers(centers, rotated, 16, rng)], np.arange(8))


def test_a_random_rotation_is_orthogonal_and_uniformly_distributed(rng):
    rotations = np.array([methods.random_rotation(3, rng) for _ in range(4000)])
    assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3))
    assert np.abs(rotations.mean(0)).max() < 0.05
    assert np.allclose(np.square(rotations).mean(0), 1 / 3, atol=0.03)
    assert 0.45 < (np.linalg.det(rotations) > 0).mean() < 0.55


def test_nulls_without_anchors_are_means_over_random_maps(rng):
    def embeddings():
        return AnchorSet(tuple(range(64)), torch.from_numpy(rng.standard_normal((64, 2))).float(), 2)

    agent = SimpleNamespace(anchors=embeddings(), heldout=embeddings())
    scores = unpaired_scores([agent, agent], 0, replace(TINY, draws=300))
    for name in ("third moments", "point clouds"):
        assert abs(scores[f"{name}, 0, null"].score + 1) < 0.2  # one draw of signs gives 1, -1 or -3
    assert scores["third moments, 0"].values.shape == scores["third moments, 0, null"].values.shape


def test_later_axes_are_found_like_those_of_a_run_and_on_ticks_that_the_agent_has_not_seen():
    with untrained_agent(TINY.setup, 100, 0, ring_poses(TINY.setup, 1)) as agent:
        trained = trained_agent(agent, train_agent(agent, lambda text: None))
        seen, encoded = agent.trainer.replay_buffer.ticks, []
        again, _ = agent.find_axes(agent.axis_ticks, seen.stop)
        encode = agent.encode_ticks
        agent.encode_ticks = lambda ticks: encoded.append(ticks) or encode(ticks)
        later = axes.with_later_axes(agent, trained)
        expected = autocorrelations(encode(encoded[1]).unflatten(0, (-1, 2)), later.basis)

    for name in ("mean", "transform", "spectrum"):
        assert torch.equal(getattr(again, name), getattr(trained.basis, name))
    assert len(encoded[0]) == len(seen)
    assert min(encoded[0]) >= agent.core_eval_ticks(seen.stop).max() + agent.gap
    assert (min(encoded[1]), len(encoded[1])) == (
        max(encoded[0]) + 1 + agent.gap,
        agent.spec.training.core_eval_ticks,
    )
    assert torch.allclose(later.basis.spectrum, expected)
    for part in expected.split([later.basis.core_dim, len(expected) - later.basis.core_dim]):
        assert torch.equal(part, part.sort(descending=True).values)
    assert not torch.equal(later.anchors.vectors, trained.anchors.vectors)


def test_null_anchors_are_never_pairs_and_all_methods_use_the_same_random_anchors():
    x = np.random.default_rng(0).standard_normal((64, 2))
    drawn = list(_anchor_rows(x, 0, TINY))
    assert len(drawn) == TINY.draws * len(TINY.anchors) * len(METHODS)
    assert all((rows != unpaired).all() for *_, rows, unpaired in drawn)
    rows_of = {(method, count): rows for method, count, rows, _ in drawn}
    assert np.array_equal(rows_of["signs", 4], rows_of["procrustes", 4])
    selected, random = (
        [np.abs(x[rows]).min() for name, count, rows, _ in drawn if (name, count) == (method, 1)]
        for method in ("selected", "signs")
    )
    assert np.mean(selected) > np.mean(random)


def test_invalid_settings_are_rejected():
    for invalid, text in (({"spacings": (0.0, 0.05)}, "spacings"), ({"anchors": (2, 4)}, "anchors"),
                        ({"candidates": 65}, "candidates"), ({"distinct_spacing": 0.04}, "distinct_spacing"),
                        ({"draws": 0}, "draws")):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            replace(TINY, **invalid)


def test_autocorrelations_decrease_by_the_spacing_about_their_mean():
    assert Settings().autocorrelations(0.05) == (0.825, 0.775, 0.725, 0.675, 0.625, 0.575)
    assert TINY.autocorrelations(0.0) == (0.7, 0.7)


def test_distinct_autocorrelations_exceed_the_square_of_the_largest_by_more_than_their_spacing():
    full = Settings()
    found = {spacing: full.autocorrelations(spacing) for spacing in full.spacings}
    margins = {spacing: values[-1] - values[0] ** 2 for spacing, values in found.items()}
    assert margins[full.distinct_spacing] > 2 * full.distinct_spacing
    assert margins[0.03] < 0.03
    assert margins[0.05] < 0
    for spacing, margin in margins.items():
        assert margin == pytest.approx(0.21 - 6 * spacing - 6.25 * spacing**2)


@pytest.mark.parametrize(("score", "text"), [(0.9, "the matching finds it"), (0.3, "prove nothing")])
def test_the_note_on_the_control_depends_on_its_outcome(score, text):
    result = ConditionResult({"control, 0": Score.single(score)}, {})
    assert text in control_note(Results({(TINY.conditions[-1], 100): result}, [100]), TINY)


def test_a_tiny_run_is_reproducible_and_fills_every_metric_note_and_plot():
    outcomes = {(condition, 0): run(condition, 0, TINY, lambda text: None) for condition in TINY.conditions}
    again = run(TINY.conditions[0], 0, TINY, lambda text: None)
    for name, score in again.scores.items():
        assert np.array_equal(score.values, outcomes[TINY.conditions[0], 0].scores[name].values), name
    results = Results(outcomes, [0])
    table = metrics(results, TINY)

    assert all(np.isfinite(metric.estimate.value) for metric in table)
    assert [metric.group for metric in table if metric.threshold] == ["thresholds"] * 2
    assert all(isinstance(note, str) for note in notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()

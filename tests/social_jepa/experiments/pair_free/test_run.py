from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.protocol.settings import NegotiationConfig
from agents.settings import ModelConfig, TrainingConfig
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
from social_jepa.experiments.pair_free import metrics as figures
from social_jepa.experiments.pair_free import run as pair_free

TINY = pair_free.Settings(
    upbringing=AgentSetup(
        scene=SceneConfig(renderer="toy", frame_size=16, objects=1),
        model=ModelConfig(dim=3, width=4, hidden=8),
        training=TrainingConfig(steps=3, segments=8, replay_ticks=64, core_eval_ticks=64),
        negotiation=NegotiationConfig(pool_ticks=64, anchors=16, heldout=32),
    ),
    spacings=(0.05, 0.0), distinct=0.05, anchors=(1, 4), draws=3, choice=16, restarts=1,
)  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_signs_and_permutations_that_were_planted_are_found_from_few_anchors(rng):
    x = rng.standard_normal((4, 6))
    flips = np.diag([1.0, -1, -1, 1, -1, 1])
    swapped = flips[:, [1, 0, 2, 3, 5, 4]]
    rates = np.linspace(0.75, 0.65, 6)
    assert np.array_equal(methods.signs(x, x @ flips), flips)
    assert np.array_equal(methods.assigned(x, x @ swapped, rates, rates), swapped)
    turn, y = methods.procrustes(*rng.standard_normal((2, 64, 6))), rng.standard_normal((9, 6))
    assert np.allclose(methods.procrustes(y, y @ turn), turn)


def test_spectra_alone_name_the_axes_where_anchors_say_nothing():
    silent = np.full((1, 3), 1e-9)
    order = np.abs(methods.assigned(silent, silent, np.array([0.8, 0.7, 0.6]), np.array([0.7, 0.6, 0.8])))
    assert np.array_equal(order.argmax(1), [2, 0, 1])


def test_a_hedged_sign_is_a_sign_where_it_is_sure_and_nothing_where_it_is_not():
    found = np.diag(methods.hedged(np.array([[2.0, -2.0, 0.0]]), np.array([[2.0, 2.0, 1.0]])))
    assert np.allclose(found, [methods.CORRELATION, -methods.CORRELATION, 0.0])


def test_a_sign_from_one_anchor_fails_as_often_as_theory_says(rng):
    c = 0.95
    x = rng.standard_normal((20000, 1))
    y = c * x + np.sqrt(1 - c**2) * rng.standard_normal(x.shape)
    wrong = np.mean([methods.signs(a[None], b[None])[0, 0] < 0 for a, b in zip(x, y, strict=True)])
    assert abs(wrong - np.arccos(c) / np.pi) < 0.01


def test_third_moments_tell_the_signs_of_skewed_axes_and_not_of_symmetric_ones(rng):
    flips = np.array([1.0, -1, 1, -1])
    skewed = rng.exponential(size=(2, 3000, 4)) - 1
    assert np.array_equal(np.diag(methods.moment_signs(skewed[0], skewed[1] * flips)), flips)
    right = []
    for _ in range(100):
        x, y = rng.standard_normal((2, 300, 4))
        right.append(np.array_equal(np.diag(methods.moment_signs(x, y * flips)), flips))
    assert np.mean(right) < 0.25  # 1 of 16 by chance


def test_clouds_are_matched_where_shapes_tell_and_not_where_they_are_round(rng):
    assert pair_free.control(2, 0, 8).score > 0.85
    turn = methods.procrustes(*rng.standard_normal((2, 64, 4)))
    x, y = rng.standard_normal((2, 300, 4))
    found = methods.match_clouds(x, y @ turn, rng, restarts=2)
    assert np.allclose(found @ found.T, np.eye(4))
    assert np.square(x @ found - x @ turn).sum() > 0.2 * np.square(x).sum()


@pytest.mark.parametrize("planted", [9, 12])
def test_clouds_of_six_axes_are_matched_whatever_number_of_clusters_was_planted(planted):
    assert pair_free.control(6, 100, 6, planted=planted).score > figures.FOUND


def test_centres_are_matched_by_their_distances_alone(rng):
    centres, order = rng.standard_normal((8, 4)), rng.permutation(8)
    turned = (centres @ methods.random_turn(4, rng))[order]
    assert np.array_equal(order[methods._matched(centres, turned, 16, rng)], np.arange(8))


def test_a_random_turn_is_orthogonal_and_prefers_no_direction(rng):
    turns = np.array([methods.random_turn(3, rng) for _ in range(4000)])
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3))
    assert np.abs(turns.mean(0)).max() < 0.05
    assert np.allclose(np.square(turns).mean(0), 1 / 3, atol=0.03)
    assert 0.45 < (np.linalg.det(turns) > 0).mean() < 0.55


def test_nulls_without_anchors_are_what_chance_gives_and_not_one_draw_of_it(rng):
    def shown():
        return AnchorSet(tuple(range(64)), torch.from_numpy(rng.standard_normal((64, 2))).float(), 2)

    twin = SimpleNamespace(anchors=shown(), heldout=shown())  # of itself: a draw of signs gives 1, -1 or -3
    found = pair_free.of_nothing([twin, twin], 0, replace(TINY, draws=300))
    for name in ("moments", "clouds"):
        assert abs(found[f"{name}, 0, null"].score + 1) < 0.2
    assert found["moments, 0"].values.shape == found["moments, 0, null"].values.shape


def test_later_axes_are_found_as_an_agent_finds_its_own_and_on_ticks_it_has_not_seen():
    with untrained_agent(TINY.upbringing, 100, 0, ring_poses(TINY.upbringing, 1)) as agent:
        stranger = trained_agent(agent, train_agent(agent, lambda text: None))
        seen, asked = agent.trainer.replay_buffer.ticks, []
        again, _ = agent.find_axes(seen)
        encode = agent.encode_ticks
        agent.encode_ticks = lambda ticks: asked.append(ticks) or encode(ticks)
        later = axes.with_later_axes(agent, stranger)
        ranked = autocorrelations(encode(asked[1]), later.basis)

    for name in ("mean", "transform", "spectrum"):
        assert torch.equal(getattr(again, name), getattr(stranger.basis, name))
    assert len(asked[0]) == len(seen)
    assert min(asked[0]) >= seen.stop + agent.gap + agent.spec.training.core_eval_ticks + agent.gap
    assert (min(asked[1]), len(asked[1])) == (
        max(asked[0]) + 1 + agent.gap,
        agent.spec.training.core_eval_ticks,
    )
    assert torch.allclose(later.basis.spectrum, ranked)
    assert torch.equal(ranked, ranked.sort(descending=True).values)
    assert not torch.equal(later.anchors.vectors, stranger.anchors.vectors)


def test_null_anchors_are_never_pairs_and_methods_see_the_same_random_ones():
    x = np.random.default_rng(0).standard_normal((64, 2))
    drawn = list(pair_free._rows(x, 0, TINY))
    assert len(drawn) == TINY.draws * len(TINY.anchors) * len(pair_free.METHODS)
    assert all((rows != wrong).all() for *_, rows, wrong in drawn)
    same = {(method, count): rows for method, count, rows, _ in drawn}
    assert np.array_equal(same["signs", 4], same["procrustes", 4])
    clear, others = (
        [np.abs(x[rows]).min() for name, count, rows, _ in drawn if (name, count) == (method, 1)]
        for method in ("chosen", "signs")
    )
    assert np.mean(clear) > np.mean(others)


def test_hostile_settings_are_refused():
    for wrong, text in (({"spacings": (0.0, 0.05)}, "spacings"), ({"anchors": (2, 4)}, "anchors"),
                        ({"choice": 65}, "choice"), ({"distinct": 0.04}, "distinct"),
                        ({"draws": 0}, "draws")):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            replace(TINY, **wrong)


def test_rates_fall_by_the_spacing_about_their_middle():
    assert pair_free.Settings().rates(0.05) == (0.825, 0.775, 0.725, 0.675, 0.625, 0.575)
    assert TINY.rates(0.0) == (0.7, 0.7)


def test_distinct_rates_stand_above_the_square_of_the_largest_by_more_than_their_distance():
    full = pair_free.Settings()
    margins = {spacing: full.rates(spacing)[-1] - full.rates(spacing)[0] ** 2 for spacing in full.spacings}
    assert margins[full.distinct] > 2 * full.distinct
    assert margins[0.03] < 0.03
    assert margins[0.05] < 0
    for spacing, margin in margins.items():
        assert margin == pytest.approx(0.21 - 6 * spacing - 6.25 * spacing**2)


@pytest.mark.parametrize(("score", "text"), [(0.9, "the matcher finds it"), (0.3, "prove nothing")])
def test_the_note_on_the_control_says_what_came_out(score, text):
    outcome = ConditionResult({"control, 0": Score.single(score)}, {})
    assert text in figures._control(Results({(TINY.parts[-1], 100): outcome}, [100]), TINY)


def test_a_tiny_run_gives_every_figure_and_stays_the_same():
    outcomes = {(part, 0): pair_free.run(part, 0, TINY, lambda text: None) for part in TINY.parts}
    again = pair_free.run(TINY.parts[0], 0, TINY, lambda text: None)
    for name, measure in again.scores.items():
        assert np.array_equal(measure.values, outcomes[TINY.parts[0], 0].scores[name].values), name
    results = Results(outcomes, [0])
    found = pair_free.figures(results, TINY)

    assert all(np.isfinite(figure.estimate.value) for figure in found)
    assert [figure.group for figure in found if figure.threshold] == ["goals"] * 2
    assert all(isinstance(note, str) for note in pair_free.notes(results, TINY))
    for picture in pair_free.pictures(results, TINY).values():
        picture.canvas.draw()

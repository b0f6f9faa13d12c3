"""Laws of borrowed predictors and borrowed goals."""

import numpy as np
import pytest
import torch

from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from env.camera import RingConfig, ring_pose
from env.scene import Scene, SceneConfig
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.dynamics import run as dynamics
from social_jepa.experiments.dynamics.predictors import (
    Diary,
    Trial,
    linear_predictor,
    perceptron_predictor,
    push_axes,
    roll_out,
    through,
)
from social_jepa.experiments.dynamics.scores import AHEAD, ARMS, MAPS, borrowing
from social_jepa.experiments.dynamics.steering import (
    Episodes,
    SteeringConfig,
    at_random,
    distances,
    knowing,
    steer,
)
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.figure_io import MAX_FULL_COLOR_BYTES, draw_png

SCENE = Scene(SceneConfig(renderer="toy", frame_size=16, objects=2), 100)
FELT = 4
TRAINED, SCORED = range(2000, 3000), range(400)


def silent(text):
    del text


def turn_of(seed):
    draws = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(FELT, FELT, generator=draws, dtype=torch.float64))[0]


def planted(index, noise=0.0):
    """An agent whose core is the true state, turned, with noise of its own."""
    draws = torch.Generator().manual_seed(50 + index)

    def codes(ticks):
        state = torch.from_numpy(SCENE.factors(np.array(ticks))) @ turn_of(index)
        return state + noise * torch.randn(state.shape, generator=draws, dtype=torch.float64)

    def anchors(ticks):
        return AnchorSet(tuple(ticks), codes(ticks), FELT)

    basis = CoreBasis(torch.zeros(FELT), torch.eye(FELT), torch.full((FELT,), 0.7), FELT)
    stranger = TrainedAgent(
        f"agent-{index}", torch.nn.Identity(), basis, anchors(range(500, 756)), anchors(SCORED), SCENE, 0, 0.0
    )
    return Diary(stranger, ring_pose(index, RingConfig()), TRAINED, codes(TRAINED), codes(SCORED))


def test_a_planted_rotation_carries_predictors_and_nothing_else_does():
    lender, borrower = planted(0, 0.1), planted(1, 0.1)
    maps = dynamics.maps_between(lender, borrower, 0, 64)
    lent, own = (linear_predictor(diary, FELT) for diary in (lender, borrower))
    found = borrowing(borrower, maps, {"linear": (lent, own, FELT)}, 10, 4)
    assert found["linear: own, 10"].score > 0.97
    ratios = {name: 1 - found[f"linear: excess of {name}, {AHEAD}"].score for name in MAPS}
    assert ratios["borrowed"] == pytest.approx(1, abs=0.1)
    assert min(ratios["no map"], ratios["shuffled map"]) > 10
    assert found[f"linear: shuffled map, {AHEAD}"].score < 0.3
    assert found[f"copy, {AHEAD}"].score < 0


def test_without_pushes_a_predictor_travels_through_any_rotation():
    lender, borrower = planted(0), planted(1)
    maps = dynamics.maps_between(lender, borrower, 0, 64)
    lent, own = (linear_predictor(diary, 0) for diary in (lender, borrower))
    found = borrowing(borrower, maps, {"passive": (lent, own, 0)}, AHEAD, 4)
    assert found["passive: own, 1"].score == pytest.approx(0.49, abs=0.06)
    for name in MAPS:
        assert found[f"passive: excess of {name}, 1"].score == pytest.approx(0, abs=0.03)


def test_noiseless_codes_are_predicted_exactly_and_pushes_move_what_they_move():
    diary = planted(0)
    predict = linear_predictor(diary, FELT)
    trial = Trial.of(diary, 6, 4)
    assert float(trial.errors(predict, FELT).max()) < 1e-3
    axes = push_axes(linear_predictor(diary, 2), FELT, 2)
    assert torch.allclose(axes.T @ axes, torch.eye(2, dtype=torch.float64))
    assert float((turn_of(0)[:2] @ axes).norm()) == pytest.approx(2**0.5, abs=0.02)


def test_there_and_back_through_a_map_is_what_the_lender_says():
    lender, borrower = planted(0), planted(1)
    edge = dynamics.maps_between(lender, borrower, 0, 64)["borrowed"]
    predict = linear_predictor(lender, FELT)
    pushes = torch.zeros(5, 3, FELT, dtype=torch.float64)
    here = roll_out(through(predict, edge), edge(lender.heldout[:5]), pushes)
    assert torch.allclose(here, edge(roll_out(predict, lender.heldout[:5], pushes)))


def test_a_perceptron_learns_and_equal_seeds_learn_alike():
    diary = planted(0)
    trial = Trial.of(diary, 5, 4)
    errors = [
        trial.errors(perceptron_predictor(diary, FELT, 16, steps, 0, silent)[0], FELT).mean()
        for steps in (150, 150, 1)
    ]
    assert errors[0] == errors[1] < 0.2 * errors[2]


def test_the_scenes_own_pushes_steer_along_the_scenes_own_path():
    starts = np.array([3, 70, 500])
    episodes = Episodes(SCENE, starts, 1.0)
    for ahead in range(5):
        episodes.step(SCENE.actions(starts + ahead)[:, :2])
    assert np.allclose(episodes.steered, SCENE.factors(starts + 5)[:, :2])
    assert (episodes.ticks == starts + 5).all()


def test_who_knows_the_state_arrives_and_who_pushes_at_random_does_not():
    config = SteeringConfig(population=60)
    starts, goals = np.arange(0, 120, 4), SCENE.factors(np.arange(1000, 1120, 4))[:, :2]
    ended = []
    for act in (knowing(goals, config), at_random):
        path = steer(Episodes(SCENE, starts, config.strength), act, 8, torch.Generator().manual_seed(0))
        ended.append(distances(path, goals, SCENE.config)[-1])
    assert (ended[0] < config.threshold).mean() > 0.9
    assert (ended[1] < config.threshold).mean() < 0.3


@pytest.mark.parametrize(
    "typed",
    [
        "trained=0", "trained=1", "trained=-5", "longest=4", "steering.episodes=3000", "steering.elite=1",
        "steering.elite=101", "steering.strength=0", "steering.threshold=0", "steering.ticks=0",
        "steering.horizon=0",
    ],
)  # fmt: skip
def test_settings_that_measure_nothing_are_refused(typed):
    with pytest.raises(ValueError, match=typed.split("=")[0].split(".")[-1]):
        build_config(dynamics.Settings, {}, [typed])


def test_both_pairs_of_cameras_run_and_equal_seeds_give_equal_outcomes():
    typed = [
        "upbringing.training.steps=80", "upbringing.training.replay_ticks=1024",
        "upbringing.training.core_eval_ticks=256", "trained=512", "steps=20", "hidden=8",
        "steering.episodes=10", "steering.population=20", "steering.ticks=3", "steering.horizon=3",
    ]  # fmt: skip
    settings = build_config(dynamics.Settings, dynamics.EXPERIMENT.quick, typed)
    parts = dynamics.parts_of(settings)
    outcomes = {(part, 100): dynamics.run(part, 100, settings, silent) for part in parts}
    again = dynamics.run(parts[0], 100, settings, silent)
    for name, measure in again.scores.items():
        assert np.array_equal(measure.values, outcomes[parts[0], 100].scores[name].values), name
    results = Results(outcomes, [100])
    figures = dynamics.EXPERIMENT.metrics(results, settings)
    assert [figure.group for figure in figures if figure.threshold] == ["goals"] * 4
    assert len({figure.name for figure in figures}) == len(figures) <= 40
    assert all(np.isfinite(figure.estimate.value) for figure in figures)
    assert {f"distance: {arm}" for arm in ARMS} <= set(again.arrays)
    assert all(dynamics.EXPERIMENT.notes(results, settings))
    for picture in dynamics.EXPERIMENT.plots(results, settings).values():
        assert len(draw_png(picture)) < MAX_FULL_COLOR_BYTES

"""Laws of the plan-transfer experiment: predictors and goals of a peer."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.training.settings import TrainingConfig
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from env.camera import RingConfig, ring_pose
from env.renderers.build import share_renderer
from env.scene import Scene, SceneConfig
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.core_predictors import (
    CoreRecording,
    action_directions,
    linear_predictor,
    roll_out,
)
from social_jepa.experiments.common.pairs import edge_r2
from social_jepa.experiments.common.planning import (
    MIN_PLOT_DISTANCE,
    Episodes,
    PlanningConfig,
    average_directions,
    draw_episodes,
    goal_distances,
    planning_scores,
    random_policy,
    run_policy,
    true_state_policy,
)
from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name
from social_jepa.experiments.common.trained_agents import AgentSetup, TrainedAgent
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.figure_io import MAX_FULL_COLOR_BYTES, draw_png
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.plan_transfer.predictors import (
    HeldoutWindows,
    map_predictor,
    perceptron_predictor,
)
from social_jepa.experiments.plan_transfer.run import EXPERIMENT, run
from social_jepa.experiments.plan_transfer.scores import MAPS, POLICIES, make_maps, prediction_scores
from social_jepa.experiments.plan_transfer.settings import THRESHOLD_HORIZON, Settings
from tests.support.stored_plots import stored_plots

SCENE = Scene(SceneConfig(renderer="toy", frame_size=16, objects=2), 100)
ACTION_DIM = 4
TRAINED, HELDOUT = range(2000, 3000), range(400)


def discard(text):
    del text


def rotation_of(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(ACTION_DIM, ACTION_DIM, generator=generator, dtype=torch.float64))[0]


def planted_recording(index, noise=0.0):
    """The recording of an agent whose core is the true state, rotated, with independent noise."""
    generator = torch.Generator().manual_seed(50 + index)

    def latents(ticks):
        state = torch.from_numpy(SCENE.factors(np.array(ticks))) @ rotation_of(index)
        return state + noise * torch.randn(state.shape, generator=generator, dtype=torch.float64)

    def anchors(ticks):
        return AnchorSet(tuple(ticks), latents(ticks), ACTION_DIM)

    basis = CoreBasis(
        torch.zeros(ACTION_DIM),
        torch.eye(ACTION_DIM),
        torch.full((ACTION_DIM,), 0.7),
        ACTION_DIM,
        torch.zeros(ACTION_DIM),
        0.1,
    )
    agent = TrainedAgent(
        f"agent-{index}",
        torch.nn.Identity(),
        basis,
        anchors(range(500, 756)),
        anchors(HELDOUT),
        SCENE,
        0,
        0.0,
    )
    pose = ring_pose(index, RingConfig())
    return CoreRecording(agent, pose, TRAINED, latents(TRAINED), latents(HELDOUT))


def test_only_the_fitted_map_transfers_a_predictor_across_a_planted_rotation():
    peer, receiver = planted_recording(0, 0.1), planted_recording(1, 0.1)
    maps = make_maps(peer, receiver, 0, 64)
    theirs, own = (linear_predictor(each, ACTION_DIM) for each in (peer, receiver))
    found = prediction_scores(receiver, maps, {"linear": (theirs, own, ACTION_DIM)}, 10, 4)
    assert found["linear: own, 10"].score > 0.97
    ratios = {
        name: 1 - found[f"linear: 1 - error ratio of {name}, {THRESHOLD_HORIZON}"].score for name in MAPS
    }
    assert ratios["fitted map"] == pytest.approx(1, abs=0.1)
    assert min(ratios["no map"], ratios["shifted map"]) > 10
    assert found[f"linear: shifted map, {THRESHOLD_HORIZON}"].score < 0.3
    assert found[f"copy, {THRESHOLD_HORIZON}"].score < 0


def test_the_null_is_an_orthogonal_map_of_other_times():
    peer, receiver = planted_recording(0), planted_recording(1)
    maps = make_maps(peer, receiver, 0, 64)

    for name in ("fitted map", "shifted map"):
        weight = maps[name].weight
        assert torch.allclose(weight.T @ weight, torch.eye(ACTION_DIM, dtype=torch.float64))
    assert edge_r2(maps["fitted map"], peer.agent, receiver.agent).score > 0.99
    assert edge_r2(maps["shifted map"], peer.agent, receiver.agent).score < 0


def test_the_scored_agents_train_at_other_times_with_the_settings_of_a_run():
    settings = Settings()

    for condition, degrees in zip(settings.conditions, settings.separations, strict=True):
        setup = settings.setup_of(condition)
        assert setup.ring.separation == degrees
        assert setup.train_offset(1) >= setup.training.replay_ticks
    assert settings.setup == AgentSetup(training=TrainingConfig(own_ticks=True))
    assert EXPERIMENT.seeds == range(1000, 1008)


def test_the_notes_name_what_meets_a_bound_without_learning():
    """Of all values beside the thresholds, pixel PCA alone has no more error with the peer's predictor."""
    settings = Settings()

    class Scores(dict):
        def __missing__(self, name):
            lost = name.startswith("pixel PCA") and "error ratio" in name
            return Score.single(-0.05 if lost else -1.0 if "error ratio" in name else 0.5)

    scores = Scores({baseline_name(name, "own goal"): Score.single(0.0) for name in METHODS})
    found = {(condition, 7): ConditionResult(scores) for condition in settings.conditions}
    metrics = EXPERIMENT.metrics(Results(found, [7]), settings)
    note = EXPERIMENT.notes(Results(found, [7]), settings)[0]

    assert note.count("pixel PCA 1.050") == 2
    assert note.count(": none") == 2
    success = next(metric for metric in metrics if metric.name.endswith("peer's goal / own goal"))
    assert np.isnan([success.untrained, success.pixel_pca, success.tica]).all()


def test_without_actions_a_predictor_transfers_through_any_rotation():
    peer, receiver = planted_recording(0), planted_recording(1)
    maps = make_maps(peer, receiver, 0, 64)
    theirs, own = (linear_predictor(each, 0) for each in (peer, receiver))
    found = prediction_scores(receiver, maps, {"passive": (theirs, own, 0)}, THRESHOLD_HORIZON, 4)
    assert found["passive: own, 1"].score == pytest.approx(0.49, abs=0.06)
    for name in MAPS:
        assert found[f"passive: 1 - error ratio of {name}, 1"].score == pytest.approx(0, abs=0.03)


def test_noiseless_latents_are_predicted_exactly_and_action_directions_are_found():
    recording = planted_recording(0)
    predict = linear_predictor(recording, ACTION_DIM)
    windows = HeldoutWindows.cut(recording, 6, 4)
    assert float(windows.errors(predict, ACTION_DIM).max()) < 1e-3
    directions = action_directions(linear_predictor(recording, 2), ACTION_DIM, 2)
    assert torch.allclose(directions.T @ directions, torch.eye(2, dtype=torch.float64))
    assert float((rotation_of(0)[:2] @ directions).norm()) == pytest.approx(2**0.5, abs=0.02)


def test_a_factor_that_the_core_lacks_is_unexplained_and_axes_beyond_the_factors_do_not_count():
    whole = planted_recording(0)
    noise = torch.randn(len(HELDOUT), 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def cut(heldout):
        return HeldoutWindows.cut(replace(whole, heldout=heldout), 6, 4)

    def r2(windows, explained):
        """R2 if the leading axes are predicted exactly and all others not at all."""
        deviations = (windows.later - windows.later.mean(1, keepdim=True)).square()
        errors = torch.cat([0 * deviations[..., :explained], deviations[..., explained:]], -1)
        return windows.scores("x", errors)["x, 5"].score

    assert r2(cut(whole.heldout), ACTION_DIM) == 1
    for found in (1, 3):
        assert r2(cut(whole.heldout[:, :found]), found) == pytest.approx(found / ACTION_DIM)
        assert r2(cut(whole.heldout[:, :found]), 0) == pytest.approx(0)
    assert r2(cut(torch.cat([whole.heldout, noise], 1)), ACTION_DIM) == 1


def test_agents_that_found_one_of_four_factors_have_no_more_r2_than_a_baseline_that_found_all():
    def r2(found):
        states = planted_recording(0)
        core = replace(states, latents=states.latents[:, :found], heldout=states.heldout[:, :found])
        predict = linear_predictor(core, ACTION_DIM)
        windows = HeldoutWindows.cut(core, THRESHOLD_HORIZON, 4)
        return windows.scores("x", windows.errors(predict, ACTION_DIM))[f"x, {THRESHOLD_HORIZON}"].score

    assert r2(1) == pytest.approx(0.25, abs=0.01)
    assert r2(ACTION_DIM) > 0.99


def test_a_mapped_predictor_gives_the_mapped_predictions_of_the_peer():
    peer, receiver = planted_recording(0), planted_recording(1)
    edge = make_maps(peer, receiver, 0, 64)["fitted map"]
    predict = linear_predictor(peer, ACTION_DIM)
    actions = torch.zeros(5, 3, ACTION_DIM, dtype=torch.float64)
    mapped = roll_out(map_predictor(predict, edge), edge(peer.heldout[:5]), actions)
    assert torch.allclose(mapped, edge(roll_out(predict, peer.heldout[:5], actions)))


def test_a_perceptron_learns_and_equal_seeds_give_equal_errors():
    recording = planted_recording(0)
    windows = HeldoutWindows.cut(recording, 5, 4)
    errors = [
        windows.errors(
            perceptron_predictor(recording, ACTION_DIM, 16, steps, 0, discard)[0], ACTION_DIM
        ).mean()
        for steps in (150, 150, 1)
    ]
    assert errors[0] == errors[1] < 0.2 * errors[2]


def test_the_scenes_own_actions_reproduce_the_scenes_own_path():
    starts = np.array([3, 70, 500])
    episodes = Episodes(SCENE, starts, 1.0)
    for ahead in range(5):
        episodes.step(SCENE.actions(starts + ahead)[:, :2])
    assert np.allclose(episodes.steered, SCENE.factors(starts + 5)[:, :2])
    assert (episodes.ticks == starts + 5).all()


def test_the_true_state_policy_reaches_goals_and_the_random_policy_does_not():
    config = PlanningConfig(population=60)
    starts, goals = np.arange(0, 120, 4), SCENE.factors(np.arange(1000, 1120, 4))[:, :2]
    final = []
    for policy in (true_state_policy(goals, config), random_policy):
        episodes = Episodes(SCENE, starts, config.strength)
        path = run_policy(episodes, policy, 8, torch.Generator().manual_seed(0))
        final.append(goal_distances(path, goals, SCENE)[-1])
    assert (final[0] < config.success_distance).mean() > 0.9
    assert (final[1] < config.success_distance).mean() < 0.3


def test_planning_scores_plot_the_first_episode_that_starts_far_from_its_goal_and_average_directions():
    peer, receiver, config = planted_recording(0), planted_recording(1), PlanningConfig(8, ticks=3)
    drawn = draw_episodes(np.random.default_rng(4), len(HELDOUT), config)
    given = []

    def policies(goals, renderer):
        given.append(goals)
        del renderer
        targets = SCENE.factors(goals)[:, :2]
        return {"own goal": true_state_policy(targets, config), "random": random_policy}

    found = planning_scores(
        peer, receiver, policies, config, np.random.default_rng(4), [7, 43], ("own goal", "not run")
    )
    scores, arrays = found
    positions = (SCENE.unit_positions(SCENE.factors(ticks)[:, :2]) for ticks in drawn)
    distances = np.linalg.norm(np.subtract(*positions), axis=-1)
    first = int(np.flatnonzero(distances > MIN_PLOT_DISTANCE)[0])

    assert np.array_equal(given[0], drawn[1])
    assert first > 0  # or else it is not known that one was chosen
    with closing(share_renderer(SCENE.config)) as renderer:
        start, goal = (Episodes(SCENE, ticks[[first]], 1.0) for ticks in drawn)
        assert np.array_equal(arrays["frames: own goal"][:1], start.render(renderer, receiver))
        assert np.array_equal(arrays["own goal frame"], goal.render(renderer, receiver))
        assert np.array_equal(arrays["peer's goal frame"], goal.render(renderer, peer))
    assert len(arrays["frames: own goal"]) == config.ticks + 1
    assert "frames: random" not in arrays
    assert arrays["distance: random"][0] == pytest.approx(distances.mean())
    assert scores["distance: own goal"].score == pytest.approx(arrays["distance: own goal"][-1])

    doubled = {name: 2 * array for name, array in arrays.items()}
    mean_scores, mean = average_directions([found, (scores, doubled)])
    assert np.allclose(mean["distance: random"], 1.5 * arrays["distance: random"])
    assert mean["own goal frame"] is arrays["own goal frame"]
    assert mean_scores["random"].score == scores["random"].score


@pytest.mark.parametrize(
    "override",
    [
        "fit_ticks=0", "fit_ticks=1", "fit_ticks=-5", "fit_ticks=49153", "setup.training.replay_ticks=8191",
        "max_horizon=4", "planning.episodes=3000",
        "planning.elite=1", "planning.elite=101", "planning.strength=0", "planning.success_distance=0",
        "planning.ticks=0", "planning.horizon=0",
    ],
)  # fmt: skip
def test_settings_that_measure_nothing_are_refused(override):
    with pytest.raises(ValueError, match=override.split("=")[0].split(".")[-1]):
        build_config(Settings, {}, [override])


def test_both_pairs_of_cameras_run_and_equal_seeds_give_equal_scores():
    overrides = [
        "setup.training.steps=80", "setup.training.replay_ticks=1024",
        "setup.training.core_eval_ticks=256", "fit_ticks=512", "steps=20", "hidden=8",
        "planning.episodes=10", "planning.population=20", "planning.ticks=3", "planning.horizon=3",
    ]  # fmt: skip
    settings = build_config(Settings, EXPERIMENT.quick, overrides)
    conditions = settings.conditions
    found = {(condition, 100): run(condition, 100, settings, discard) for condition in conditions}
    again = run(conditions[0], 100, settings, discard)
    for name, score in again.scores.items():
        assert np.array_equal(score.values, found[conditions[0], 100].scores[name].values), name
    results = Results(found, [100])
    metrics = EXPERIMENT.metrics(results, settings)
    assert [metric.group for metric in metrics if metric.threshold] == ["thresholds"] * 8
    assert len({metric.name for metric in metrics}) == len(metrics) <= 44
    assert all(np.isfinite(metric.estimate.value) for metric in metrics)
    assert {f"distance: {policy}" for policy in POLICIES} <= set(again.arrays)
    assert all(EXPERIMENT.notes(results, settings))
    for figure in stored_plots(EXPERIMENT, results, settings).values():
        assert len(draw_png(figure)) < MAX_FULL_COLOR_BYTES

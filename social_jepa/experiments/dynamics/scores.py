"""Scores of an agent that uses the predictor or the goals of a peer."""

from collections.abc import Mapping

import numpy as np
import torch

from alignment.linear_map import LinearMap
from env.renderer import Renderer
from env.renderers.build import share_renderer
from social_jepa.experiments.dynamics.planning import (
    STEERED,
    Episodes,
    Policy,
    goal_distances,
    planning_policy,
    random_policy,
    run_policy,
    true_state_policy,
)
from social_jepa.experiments.dynamics.predictors import (
    CoreRecording,
    HeldoutWindows,
    Predict,
    linear_predictor,
    map_predictor,
)
from social_jepa.experiments.dynamics.settings import DynamicsStream, PlanningConfig
from social_jepa.experiments.framework.score import Score

MAPS = ("fitted map", "no map", "shuffled map")
PREDICTORS = ("linear", "perceptron", "passive")
POLICIES = (
    "own goal", "peer's goal", "peer's predictor", "goal, no map", "goal, shuffled map",
    "predictor, shuffled map", "random", "true state",
)  # fmt: skip
MIN_PLOT_DISTANCE = 0.8  # least distance from start to goal of the plotted episode


def prediction_scores(
    receiver: CoreRecording, maps: Mapping[str, LinearMap],
    predictors: Mapping[str, tuple[Predict, Predict, int]], max_horizon: int, stride: int,
) -> dict[str, Score]:  # fmt: skip
    """Return the R2 of predictions of the receiver's core, by predictor, map and horizon.

    Args:
        receiver: Agent whose core is predicted.
        maps: From the peer's core to the receiver's, by MAPS.
        predictors: By PREDICTORS, the peer's predictor, the receiver's, and the number of actions they take.
        max_horizon: Largest number of ticks ahead.
        stride: Ticks from one start to the next.

    Returns:
        R2 as "PREDICTOR: MAP, k", "PREDICTOR: own, k" and "copy, k"; and as "PREDICTOR: 1 - error ratio of
        MAP, k" one minus the ratio of squared errors to those of the receiver's own predictor.
    """
    windows = HeldoutWindows.cut(receiver, max_horizon, stride)
    scores = windows.scores("copy", (windows.first - windows.later).square().sum(-1))
    for kind, (peer, own, action_dim) in predictors.items():
        own_errors = windows.errors(own, action_dim)
        scores |= windows.scores(f"{kind}: own", own_errors)
        for name, edge in maps.items():
            errors = windows.errors(map_predictor(peer, edge), action_dim)
            scores |= windows.scores(f"{kind}: {name}", errors)
            for ahead in range(max_horizon):
                score = Score(errors[ahead].numpy(), own_errors[ahead].numpy())
                scores[f"{kind}: 1 - error ratio of {name}, {ahead + 1}"] = score
    return scores


def planning_scores(
    peer: CoreRecording, receiver: CoreRecording, maps: Mapping[str, LinearMap], config: PlanningConfig,
    seed: int,
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:  # fmt: skip
    """Run episodes in which the receiver plans towards its own goals or the peer's.

    Returns:
        (success by POLICIES, "distance: POLICY" at the end, and as "1 - success ratio of POLICY" one minus
        the ratio of success to that with the receiver's own goal; arrays of the plots).
    """
    scene = receiver.agent.scene
    rng = DynamicsStream.EPISODES.rng(seed)
    drawn = rng.permutation(len(receiver.heldout) - config.ticks)
    starts, goals = drawn[: 2 * config.episodes].reshape(2, -1)
    renderer = share_renderer(scene.config)
    policies = make_policies(peer, receiver, maps, goals, config, renderer)
    paths = {}
    for name in POLICIES:
        generator = torch.Generator().manual_seed(int(DynamicsStream.PLANS.rng(seed).integers(2**62)))
        episodes = Episodes(scene, starts, config.strength)
        paths[name] = run_policy(episodes, policies[name], config.ticks, generator)
    targets = scene.factors(goals)[:, :STEERED]
    distances = {name: goal_distances(path, targets, scene) for name, path in paths.items()}
    plotted = int((distances["own goal"][0] > MIN_PLOT_DISTANCE).argmax())  # chosen by its start alone
    arrays = {f"distance: {name}": found.mean(1) for name, found in distances.items()}
    one_path = {name: path[:, plotted] for name, path in paths.items()}
    arrays |= _episode_frames(peer, receiver, renderer, goals[plotted], starts[plotted], one_path)
    renderer.close()
    successes = {
        name: (found[-1] < config.success_distance).astype(float) for name, found in distances.items()
    }
    scores = {name: Score.mean(success) for name, success in successes.items()}
    scores |= {f"distance: {name}": Score.mean(found[-1]) for name, found in distances.items()}
    own = successes["own goal"]
    scores |= {f"1 - success ratio of {name}": Score(found, own) for name, found in successes.items()}
    return scores, arrays


def make_policies(
    peer: CoreRecording, receiver: CoreRecording, maps: Mapping[str, LinearMap], goals: np.ndarray,
    config: PlanningConfig, renderer: Renderer,
) -> dict[str, Policy]:  # fmt: skip
    """Return the receiver's policy by POLICIES, with goals at these ticks."""
    own, borrowed = (linear_predictor(recording, STEERED) for recording in (receiver, peer))
    scene, rows = receiver.agent.scene, torch.from_numpy(goals)
    own_goals, peer_goals = receiver.heldout[rows], peer.heldout[rows]
    edge, shuffled = maps["fitted map"], maps["shuffled map"]
    plans = {
        "own goal": (own, own_goals),
        "peer's goal": (own, edge(peer_goals)),
        "peer's predictor": (map_predictor(borrowed, edge), own_goals),
        "goal, no map": (own, maps["no map"](peer_goals)),
        "goal, shuffled map": (own, shuffled(peer_goals)),
        "predictor, shuffled map": (map_predictor(borrowed, shuffled), own_goals),
    }
    policies = {
        name: planning_policy(receiver, renderer, predict, targets, config)
        for name, (predict, targets) in plans.items()
    }
    true_goals = scene.factors(goals)[:, :STEERED]
    return policies | {"random": random_policy, "true state": true_state_policy(true_goals, config)}


def _episode_frames(
    peer: CoreRecording, receiver: CoreRecording, renderer: Renderer, goal: int, start: int,
    paths: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return frames of one episode: its goal from both cameras, and the receiver's views."""
    scene = receiver.agent.scene
    at_goal = Episodes(scene, np.array([goal]), 1.0)
    arrays = {
        "peer's goal frame": at_goal.render(renderer, peer),
        "own goal frame": at_goal.render(renderer, receiver),
    }
    for name in ("own goal", "peer's goal", "goal, no map"):
        path = paths[name]
        episode = Episodes(scene, start + np.arange(len(path)), 1.0)
        episode.steered = path
        arrays[f"frames: {name}"] = episode.render(renderer, receiver)
    return arrays

"""Scores of an agent that uses the predictor or the goals of a peer."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch

from alignment.linear_map import LinearMap
from env.renderer import Renderer
from social_jepa.experiments.common.core_predictors import CoreRecording, Predict, linear_predictor
from social_jepa.experiments.common.pairs import edge_r2, fit_edge, fit_shifted
from social_jepa.experiments.common.planning import (
    STEERED,
    PlanningConfig,
    Policy,
    average_directions,
    planning_policy,
    planning_scores,
    random_policy,
    true_state_policy,
)
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.plan_transfer.predictors import HeldoutWindows, map_predictor
from social_jepa.experiments.plan_transfer.settings import PlanTransferStream, Settings

MAPS = ("fitted map", "no map", "shifted map")
PREDICTORS = ("linear", "perceptron", "passive")
POLICIES = (
    "own goal", "peer's goal", "peer's predictor", "goal, no map", "goal, shifted map",
    "predictor, shifted map", "random", "true state",
)  # fmt: skip
BASELINE_POLICIES = ("own goal", "peer's goal")  # those of agents that learn nothing
PLOTTED = ("own goal", "peer's goal", "goal, no map")  # policies of the plotted episode
Predictors = Mapping[str, tuple[Predict, int]]  # by PREDICTORS: a predictor, and the number of its actions


def pair_scores(
    recordings: Sequence[CoreRecording], predictors: Sequence[Predictors], settings: Settings, seed: int,
    policies: Sequence[str] = POLICIES,
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:  # fmt: skip
    """Return the scores of two agents, each with the predictor and the goals of the other.

    Args:
        recordings: The two agents.
        predictors: Predictors of each.
        settings: Settings of the run.
        seed: Seed of the choice of anchors, of the episodes and of the plans.
        policies: Those of POLICIES that episodes are run with, "own goal" among them.

    Returns:
        (mean scores of both directions, those of `prediction_scores`, `planning_scores` and the R2 of each
        map on the receiver's own axes as "map: MAP"; arrays of the plots).
    """
    directions, setup, config = [], settings.setup, settings.planning
    for i, j in ((0, 1), (1, 0)):
        peer, receiver = recordings[i], recordings[j]
        maps = make_maps(peer, receiver, seed, setup.negotiation.anchors)
        both = {
            kind: (predict, predictors[j][kind][0], dim) for kind, (predict, dim) in predictors[i].items()
        }
        predicted = prediction_scores(receiver, maps, both, settings.max_horizon, setup.stride)
        make = partial(make_policies, peer, receiver, maps, config, policies)
        rng, words = PlanTransferStream.EPISODES.rng(seed), [seed, PlanTransferStream.PLANS]
        planned, arrays = planning_scores(peer, receiver, make, config, rng, words, PLOTTED)
        mapped = {f"map: {name}": edge_r2(edge, peer.agent, receiver.agent) for name, edge in maps.items()}
        directions.append((predicted | planned | mapped, arrays))
    return average_directions(directions)


def make_maps(peer: CoreRecording, receiver: CoreRecording, seed: int, anchors: int) -> dict[str, LinearMap]:
    """Return by MAPS the map from a peer's core to a receiver's, and its controls."""
    source, target = peer.agent, receiver.agent
    identity = torch.eye(source.core_dim, target.core_dim, dtype=torch.float64)
    unmapped = LinearMap(identity, torch.zeros(target.core_dim, dtype=torch.float64))
    fitted, shifted = (fit(source, target, anchors, seed) for fit in (fit_edge, fit_shifted))
    return dict(zip(MAPS, (fitted, unmapped, shifted), strict=True))


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
        R2 of all factors as "PREDICTOR: MAP, k", "PREDICTOR: own, k" and "copy, k"; and as "PREDICTOR: 1 -
        error ratio of MAP, k" one minus the ratio of squared errors, on all axes of the receiver, to those of
        its own predictor.
    """
    windows = HeldoutWindows.cut(receiver, max_horizon, stride)
    scores = windows.scores("copy", (windows.first - windows.later).square())
    for kind, (peer, own, action_dim) in predictors.items():
        own_errors = windows.errors(own, action_dim)
        scores |= windows.scores(f"{kind}: own", own_errors)
        for name, edge in maps.items():
            errors = windows.errors(map_predictor(peer, edge), action_dim)
            scores |= windows.scores(f"{kind}: {name}", errors)
            sums = zip(errors.sum(-1).numpy(), own_errors.sum(-1).numpy(), strict=True)
            for ahead, pair in enumerate(sums, 1):
                scores[f"{kind}: 1 - error ratio of {name}, {ahead}"] = Score(*pair)
    return scores


def make_policies(
    peer: CoreRecording, receiver: CoreRecording, maps: Mapping[str, LinearMap], config: PlanningConfig,
    names: Sequence[str], goals: np.ndarray, renderer: Renderer,
) -> dict[str, Policy]:  # fmt: skip
    """Return the receiver's policies of these names, of POLICIES, with goals at these held-out ticks."""
    own, borrowed = (linear_predictor(recording, STEERED) for recording in (receiver, peer))
    scene, rows = receiver.agent.scene, torch.from_numpy(goals)
    own_goals, peer_goals = receiver.heldout[rows], peer.heldout[rows]
    edge, shifted = maps["fitted map"], maps["shifted map"]
    plans = {
        "own goal": (own, own_goals),
        "peer's goal": (own, edge(peer_goals)),
        "peer's predictor": (map_predictor(borrowed, edge), own_goals),
        "goal, no map": (own, maps["no map"](peer_goals)),
        "goal, shifted map": (own, shifted(peer_goals)),
        "predictor, shifted map": (map_predictor(borrowed, shifted), own_goals),
    }
    policies = {
        name: planning_policy(receiver, renderer, predict, targets, config)
        for name, (predict, targets) in plans.items()
    }
    true_goals = scene.factors(goals)[:, :STEERED]
    policies |= {"random": random_policy, "true state": true_state_policy(true_goals, config)}
    return {name: policies[name] for name in names}

"""Do predictors and plans transfer between agents trained separately on the same scene?

After latent planning with a JEPA, and the identifiability of controlled world models (arXiv:2607.22430):
where the cores of agents differ by an orthogonal map, so do their dynamics, and a peer's knowledge of them
can be used.

Protocol. Two agents are trained on one scene, each with its own camera, 180 or 90 degrees apart; they share
no weights, no seed and no data order, and exchange 256 anchors, on which one orthogonal map W between their
cores is fitted; its inverse maps back. Each agent then fits predictors of its own core on its own training
ticks: by least squares, z' = z A + a B + c, where a are the actions that moved the objects (known, as to an
agent that took them), by a perceptron with the same inputs, and by least squares without actions
(*passive*).

*Predictors.* The receiver's core is mapped to the peer's, rolled out there by the peer's predictor, and
mapped back. Its error k = 1 ... 10 ticks ahead, actions given, is compared with that of the receiver's own
predictor, on consecutive ticks that no agent trained on and no map was fitted on. The ratio of squared
errors is 1 where using the peer's predictor costs nothing.

*Plans.* The first object follows the actions of the agent (as in ``env.gym.steering``, actions of at most
one standard deviation of the scene's own); the others move on their own. An agent encodes the view of its
camera at each tick and plans by the cross-entropy method with a linear predictor whose only actions are
those on the first object. Distances in the core count only along the directions that those actions change,
which the predictor provides. The goal is the frame of a held-out tick, in which all objects are elsewhere.
An episode succeeds if after 10 ticks the object is within 0.15 of its position in that frame (positions lie
between -1 and 1; the true position is for evaluation only). Policies: *own goal*, the frame is from the
agent's own camera; *peer's goal*, it is from the other camera, encoded by the peer and mapped by W; *peer's
predictor*, the goal is its own and the predictor is the peer's, mapped by W.

Both directions of a pair count equally; all policies use the same starts, goals and ticks.

Nulls: a map fitted on shuffled pairs and its inverse, and for plans random actions. Baselines: the own
predictor or goal; the last latent copied; no map at all (axes used as they are); for plans, a policy with
access to the true state, the ceiling.

Known beforehand. All coordinates of the scene have the same autocorrelation, so that passive A is close to a
multiple of the identity: it commutes with every rotation, and a passive predictor transfers without a map.
It is shown beside its nulls and has no threshold. With actions, B determines the axes, and only the right
map transfers it.

Thresholds, set beforehand: 5 ticks ahead, the squared error of the peer's linear predictor is at most 1.15
of that of the own one; and success with the peer's goal is at least 0.90 of that with the own goal.
"""

from dataclasses import replace

import numpy as np
import torch

from alignment.linear_map import LinearMap
from social_jepa.experiments.common.pairs import edge_r2, fit_edge, fit_shuffled
from social_jepa.experiments.common.trained_agents import ring_poses
from social_jepa.experiments.dynamics.describe import describe_methods
from social_jepa.experiments.dynamics.metrics import make_metrics, make_notes
from social_jepa.experiments.dynamics.plots import make_plots
from social_jepa.experiments.dynamics.predictors import (
    CoreRecording,
    Predict,
    linear_predictor,
    perceptron_predictor,
    record_core,
)
from social_jepa.experiments.dynamics.scores import MAPS, PREDICTORS, planning_scores, prediction_scores
from social_jepa.experiments.dynamics.settings import QUICK, THRESHOLD_HORIZON, Settings
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train two agents, and score each of them with the predictor and the goals of the other.

    Args:
        condition: Angle between their cameras.
        seed: Seed of the scene, the agents and the plans.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    degrees = settings.separations[settings.conditions.index(condition)]
    setup = replace(settings.setup, ring=replace(settings.setup.ring, separation=degrees))
    poses = ring_poses(setup, 2)
    recordings = [record_core(setup, seed, index, poses, settings.fit_ticks, log) for index in range(2)]
    fitted = [fit_predictors(recording, settings, seed, log) for recording in recordings]
    scores: list[dict[str, Score]] = []
    arrays: list[dict[str, np.ndarray]] = []
    for i, j in ((0, 1), (1, 0)):
        peer, receiver = recordings[i], recordings[j]
        maps = make_maps(peer, receiver, seed, setup.negotiation.anchors)
        predictors = {
            kind: (predict, fitted[j][0][kind][0], dim) for kind, (predict, dim) in fitted[i][0].items()
        }
        stride = setup.stride
        predicted = prediction_scores(receiver, maps, predictors, settings.max_horizon, stride)
        planned, found = planning_scores(peer, receiver, maps, settings.planning, seed)
        mapped = {f"map: {name}": edge_r2(edge, peer.agent, receiver.agent) for name, edge in maps.items()}
        scores.append(predicted | planned | mapped)
        arrays.append(found)
        log(_summarize(scores[-1]))
    flops = sum(recording.agent.flops for recording in recordings) + sum(spent for _, spent in fitted)
    mean_scores = {name: Score.average([each[name] for each in scores]) for name in scores[0]}
    distances = {
        name: (arrays[0][name] + arrays[1][name]) / 2 for name in arrays[0] if name.startswith("distance")
    }
    return ConditionResult(mean_scores, arrays[0] | distances, flops=flops)


def fit_predictors(
    recording: CoreRecording, settings: Settings, seed: int, log: Log
) -> tuple[dict[str, tuple[Predict, int]], float]:
    """Return an agent's predictors of its core and their action_dim by PREDICTORS, and training FLOPs."""
    action_dim = 2 * settings.setup.scene.objects
    perceptron, flops = perceptron_predictor(
        recording, action_dim, settings.hidden, settings.steps, seed, log
    )
    linear, passive = linear_predictor(recording, action_dim), linear_predictor(recording, 0)
    predictors = ((linear, action_dim), (perceptron, action_dim), (passive, 0))
    return dict(zip(PREDICTORS, predictors, strict=True)), flops


def make_maps(peer: CoreRecording, receiver: CoreRecording, seed: int, anchors: int) -> dict[str, LinearMap]:
    """Return by MAPS the map from a peer's core to a receiver's, and its controls."""
    source, target = peer.agent, receiver.agent
    identity = torch.eye(source.core_dim, target.core_dim, dtype=torch.float64)
    unmapped = LinearMap(identity, torch.zeros(target.core_dim, dtype=torch.float64))
    fitted, shuffled = (fit(source, target, anchors, seed) for fit in (fit_edge, fit_shuffled))
    return dict(zip(MAPS, (fitted, unmapped, shuffled), strict=True))


def _summarize(scores: dict[str, Score]) -> str:
    ratio = 1 - scores[f"linear: 1 - error ratio of fitted map, {THRESHOLD_HORIZON}"].score
    own, peer = (scores[policy].score for policy in ("own goal", "peer's goal"))
    return f"error ratio peer's / own {ratio:.3f}; success {own:.2f} own goal, {peer:.2f} peer's goal"


EXPERIMENT = Experiment(
    name="dynamics",
    question="Do predictors and plans transfer between agents trained separately on the same scene?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: settings.conditions,
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
)

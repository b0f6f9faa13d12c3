"""Do predictors and plans transfer between agents through W, the map between their cores?

After latent planning with a JEPA, and the identifiability of controlled world models (arXiv:2607.22430):
where the cores of agents differ by an orthogonal map, so do their dynamics, and a peer's knowledge of them
can be used.

Protocol. Two agents learn one scene with the settings of a run, each alone from its own camera, 180 or 60
degrees apart, and at other times than the other (training.own_ticks): they share no weights, no seed and no
tick of training. They exchange 256 anchors, on which one orthogonal map W between their cores is fitted; its
inverse maps back. Each agent then fits predictors of its own core on its own training ticks: by least
squares, z' = z A + a B + c, where a are the actions that moved the objects (known, as to an agent that took
them), by a perceptron with the same inputs, and by least squares without actions (*passive*).

*Predictors.* The receiver's core is mapped to the peer's, rolled out there by the peer's predictor, and
mapped back. Its error k = 1 ... 10 ticks ahead, actions given, is compared with that of the receiver's own
predictor, on consecutive ticks that no agent trained on and no map was fitted on. The ratio of squared
errors is 1 where using the peer's predictor costs nothing. R2 is that of all factors of the scene: a factor
that the receiver's core lacks counts as unexplained, and of more axes than factors the leading ones count.

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

Conditions: the angle between the two cameras, "180 degrees" and "60 degrees".

Nulls: a map fitted on anchors of which one side is shifted in time by half of the pool, so that adjacent rows
stay alike, and its inverse; for success of plans, random actions. Baselines: the own predictor or goal; the
last latent copied; no map at all (axes used as they are); for plans, a policy with access to the true state,
the ceiling. Beside the map, the linear predictors and the plans stand those of agents that learn nothing, on
as many leading axes as the scene has factors: two untrained encoders, two pixel PCAs and two linear tICAs.

Known beforehand. All coordinates of the scene have the same autocorrelation, so that passive A is close to a
multiple of the identity: it commutes with every rotation, and a passive predictor transfers without a map.
It is shown beside its nulls and has no threshold. With actions, B determines the axes, and only the right
map transfers it. A ratio to the own predictor or goal says nothing of how good those are: where both are
poor it may be near 1. R2, success and the ratios of the baselines stand beside it, and the notes say what
else meets the bounds.

Seeds 1000 to 1007, on which nothing was searched, score. An earlier version, on seeds 0 to 2, with agents
that trained at the same times and on half of the frames, and with bounds of 1.15 and 0.90, had error ratios
of 1.01 and 1.02, and success ratios of 0.98 (90 degrees) and 0.93 (180 degrees). The present one was run on
seed 100, at 180 degrees, to measure its cost: the error ratio was 1.050 for agents, 1.095 for untrained
encoders, 1.044 for pixel PCA and 1.029 for linear tICA. No map (51) and the null (40) miss that bound, but
encoders that learn nothing meet it: what is learned shows in R2 with the peer's predictor, 0.96 against 0.05,
0.44 and 0.90, and in success with the peer's goal, 0.90 against 0.03, 0.08 and 0.74.

Thresholds, set before the full run, for each angle:
- 5 ticks ahead, the squared error of the peer's linear predictor is at most 1.10 of that of the own one;
- success with the peer's goal is at least 0.95 of that with the own goal;
- R2 of all factors with the peer's linear predictor, and success with the peer's goal, exceed those of the
  best baseline.
"""

from collections.abc import Sequence

import numpy as np

from env.camera import Pose
from social_jepa.experiments.common.core_predictors import (
    CoreRecording,
    check_cores,
    linear_predictor,
    record_agents,
    record_baseline,
)
from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    ring_poses,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.plan_transfer.describe import describe_methods
from social_jepa.experiments.plan_transfer.metrics import make_metrics, make_notes
from social_jepa.experiments.plan_transfer.plots import make_plots
from social_jepa.experiments.plan_transfer.predictors import perceptron_predictor
from social_jepa.experiments.plan_transfer.scores import (
    BASELINE_POLICIES,
    PREDICTORS,
    Predictors,
    pair_scores,
)
from social_jepa.experiments.plan_transfer.settings import QUICK, THRESHOLD_HORIZON, Settings


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train two agents, and score each of them with the predictor and the goals of the other.

    Args:
        condition: Angle between their cameras.
        seed: Seed of the scene, the agents and the plans.
        settings: Settings of the run.
        log: Receives progress messages.

    Raises:
        ValueError: An agent detected no core.
    """
    setup = settings.setup_of(condition)
    poses = ring_poses(setup, 2)
    recordings = record_agents(setup, seed, poses, settings.fit_ticks, log)
    sizes = [recording.agent.core_dim for recording in recordings]
    log(f"cores of {', '.join(map(str, sizes))} dimensions")
    check_cores(recordings)
    fitted = [fit_predictors(recording, settings, seed, log) for recording in recordings]
    scores, arrays = pair_scores(recordings, [predictors for predictors, _ in fitted], settings, seed)
    scores["core dimension"] = Score.mean(np.array(sizes))
    log(_summarize(scores))
    for name in METHODS:
        found = run_baseline(name, setup, seed, poses, settings, log)
        scores |= {baseline_name(name, score): one for score, one in found.items()}
    flops = sum(recording.agent.flops for recording in recordings) + sum(spent for _, spent in fitted)
    return ConditionResult(scores, arrays, flops=flops)


def fit_predictors(
    recording: CoreRecording, settings: Settings, seed: int, log: Log
) -> tuple[Predictors, float]:
    """Return an agent's predictors of its core and their action_dim by PREDICTORS, and training FLOPs."""
    action_dim = settings.action_dim
    perceptron, flops = perceptron_predictor(
        recording, action_dim, settings.hidden, settings.steps, seed, log
    )
    linear, passive = linear_predictor(recording, action_dim), linear_predictor(recording, 0)
    predictors = ((linear, action_dim), (perceptron, action_dim), (passive, 0))
    return dict(zip(PREDICTORS, predictors, strict=True)), flops


def run_baseline(
    name: str, setup: AgentSetup, seed: int, poses: Sequence[Pose], settings: Settings, log: Log
) -> dict[str, Score]:
    """Return the scores of two agents of a baseline: of their linear predictors, goals and maps."""
    action_dim = settings.action_dim
    recordings = record_baseline(name, setup, seed, poses, settings.fit_ticks, action_dim, log)
    linear = [{"linear": (linear_predictor(recording, action_dim), action_dim)} for recording in recordings]
    scores = pair_scores(recordings, linear, settings, seed, BASELINE_POLICIES)[0]
    log(f"{name}: {_summarize(scores)}")
    return scores


def _summarize(scores: dict[str, Score]) -> str:
    ratio = 1 - scores[f"linear: 1 - error ratio of fitted map, {THRESHOLD_HORIZON}"].score
    own, peer = (scores[policy].score for policy in ("own goal", "peer's goal"))
    return f"error ratio peer's / own {ratio:.3f}; success {own:.2f} own goal, {peer:.2f} peer's goal"


EXPERIMENT = Experiment(
    name="plan-transfer",
    question="Do predictors and plans transfer between agents through W, the map between their cores?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: settings.conditions,
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
    seeds=range(1000, 1008),
)

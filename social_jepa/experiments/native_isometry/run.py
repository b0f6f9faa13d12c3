"""Are the raw latents of separately trained agents related by a similarity transform?

Social-JEPA (arXiv:2603.02263) claims that the latents of JEPAs which were trained on different views, without
communication, are related by an approximate linear isometry, and shows the quality and the conditioning of W
against the number of pairs. Between latents that were whitened beforehand any good linear map is an isometry:
its singular values are canonical correlations. The claim is therefore tested here between the latents as the
encoders emit them, whose lengths and angles no whitening has touched.

Methods. Two agents stand 180 degrees apart on a ring around one scene, among four bodies. They share no
weights, no seed, no data order and no tick of training: each trains on a stretch of ticks of its own
(training.own_ticks), with the default settings of a run. W is the least-squares map, with offset, from the
raw latents of one agent to those of the other; it has no penalty, and is fitted on 1, 2, 4, ... 4096 pairs of
ticks that neither agent trained on, up to 16 random choices of each number, and scored on 4096 other ticks.
Beside it stands the best similarity transform on the same pairs: a rotation or reflection, one scale and an
offset (Umeyama 1991). R2 is pooled over the raw dimensions, so that each counts by its variance. All scores
are means of both directions.

Conditions. Three objectives that fix the scale of their latents: *log-det*, *vicreg* and *ema*. *whitened* is
a reference only: its loss is invariant under GL(d), so that any invertible linear map of the latents is as
good an encoder; its raw metric, and with it everything but the R2 of W, means nothing. *untrained* and
*pixel-pca* are the baselines.

Measured for each number of pairs: R2 of W, R2 of the similarity transform, the condition number kappa of W
and its largest and smallest singular values. From all pairs: the share of the R2 of W that the similarity
transform keeps, over all dimensions; and the same scores over the strong directions alone, those pairs of
directions whose correlation on held-out ticks is at least 0.5. A dimension that no other agent shares, or
that is constant, is no part of an isometry between what is shared, and alone would decide kappa.

Nulls. *Time shifts*: one agent's rows shifted by half of the range, for fitting and for scoring. *Another
world*: the first agent of a seed and the second agent of the next seed, whose scenes are independent.

Seeds 1000 to 1007, on which nothing was searched, score; no setting was
searched for this experiment.

Thresholds, set before the full run, for each of the three objectives and for the worst of them in each seed:
- the similarity transform keeps at least 0.95 of the R2 of W;
- kappa of W over the strong directions is at most 1.5;
- the R2 of the similarity transform exceeds that of the better baseline.
"""

from collections.abc import Sequence

from social_jepa.experiments.common.methods import COMPARED_AGENTS, RING_AGENTS, Method, method_agent
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agent,
    trained_agent,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.native_isometry.describe import describe_methods
from social_jepa.experiments.native_isometry.metrics import make_metrics, make_notes
from social_jepa.experiments.native_isometry.plots import make_plots
from social_jepa.experiments.native_isometry.scores import RawLatents, budget_scores, isometry_scores
from social_jepa.experiments.native_isometry.settings import METHODS, QUICK, Settings


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train two agents by one method and score the maps between their raw latents.

    Args:
        condition: One of METHODS.
        seed: Seed of the scene and the agents.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    trained = train_pair(METHODS[condition], settings.setup, seed, log)
    agents = [RawLatents.of(agent) for agent in trained]
    memory_rows = settings.setup.negotiation.memory_rows(settings.setup.scene.decorrelation_ticks)
    scores = isometry_scores(agents, settings.max_pairs, memory_rows)
    scores |= budget_scores(agents, settings.pair_counts, seed)
    arrays = agents[0].arrays("first") | agents[1].arrays("second")
    log(f"R2 {scores['R2'].score:.3f}, of a similarity transform {scores['similarity R2'].score:.3f}")
    return ConditionResult(scores, arrays, flops=sum(agent.flops for agent in trained) / len(trained))


def train_pair(method: Method, setup: AgentSetup, seed: int, log: Log) -> Sequence[TrainedAgent]:
    """Train the two compared agents by a method, one after the other."""
    poses, agents = ring_poses(setup, RING_AGENTS), []
    for index in COMPARED_AGENTS:
        with method_agent(method, setup, seed, index, poses) as agent:
            agents.append(trained_agent(agent, train_agent(agent, log, None if method.trains else 0)))
    return agents


EXPERIMENT = Experiment(
    name="native-isometry",
    question="Are the raw latents of separately trained agents related by a similarity transform?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: tuple(METHODS),
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
    seeds=range(1000, 1008),
)

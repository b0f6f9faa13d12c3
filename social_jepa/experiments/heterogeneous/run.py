"""Can agents of different sizes, objectives, encoders and kinds of world model map their latent spaces?

Protocol. Thirteen agents stand on one ring around one scene of three objects, each with its own body, camera
and training run, and learn alone. They share no weights, no seed and no order of data; which agent has which
place on the ring is drawn for every seed. They differ from the default agent, *jepa*, as follows:
*jepa-twin* in nothing; *half-dim* and *double-dim* in the latent space (8 and 32 dimensions in place of 16);
*narrow* and *wide* in the encoder (half of its channels and hidden units, 1.5 times its channels); *vicreg*
and *log-det* in the objective; *patch-mixer* in the architecture, patches and MLPs without a convolution
(`other_encoders`); in kind and size of the latent, *p-jepa* with a random network as its task, *p-jepa* with
positions, both of 64 dimensions, and *seq-jepa* of 80, which encodes four views of each tick and has a replay
buffer of a quarter of the ticks. Neither p-jepa learns from pixels alone: both receive the true actions on
all objects, and the one with positions is supervised with the objects' positions. *untrained*, the default
agent with its initial weights, is the control.

Measured. All agents negotiate with all others through the negotiation of the product, in one process: an
offer, a request, 256 anchors, a verdict. For each ordered pair, on 512 held-out ticks: R2 of the map of the
shared directions on the whole core of the target, where what is not shared counts as missed, and whether the
target accepts it; an edge that is refused without a fit, because an agent detected its own collapse, counts
as R2 0. From a core of d dimensions to a larger one of e, this R2 cannot exceed d / e, so that a low value
may be due to core sizes and not to the content; the notes list the cores. Beside it stands ridge regression
from all dimensions of the source to the core of the target, on the same anchors, which may scale: if it is
better, the source represents the content of the target's core, but not as its own core. The content of an
agent's latents is measured by linear probes of the true state, for evaluation only, from all dimensions and
from the core, fitted on 512 ticks and scored on 512 others.

Conditions. One for each agent; it returns what the agent publishes, from which the negotiations follow.

Nulls. Of edges, R2 of a rotation between whole cores that is fitted and scored with the target read half a
pool later; of probes, shuffled states. Baselines. Of all edges, a rotation between two untrained encoders,
two pixel PCAs and linear tICA at the places of jepa and jepa-twin, on as many leading axes as the scene has
factors.
Of the thresholds, jepa and jepa-twin, two agents with the same settings; of edges, the ridge map; of probes,
the core alone.

Thresholds, set before the full run. The worst pair of every seed is taken, and its mean over seeds must be:
for ordered pairs of agents that differ only in size at least 0.88; for patch-mixer and jepa, the worse
direction, at least 0.85; for the best pair with the untrained agent below 0.5, and below the worst pair of
trained agents of kind jepa.

Shown on the page: the thresholds and the share of accepted edges; all edges from and to the default agent;
and the probes of every agent.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch

from alignment.score import shuffle_pairs
from env.camera import Pose
from social_jepa.experiments.common.pairs import edge_r2, fit_edge, ordered_pairs
from social_jepa.experiments.common.probes import state_probe
from social_jepa.experiments.common.similarity_baselines import baseline_agents, baseline_scores
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.heterogeneous.describe import describe_methods
from social_jepa.experiments.heterogeneous.metrics import metrics, notes
from social_jepa.experiments.heterogeneous.plots import plots
from social_jepa.experiments.heterogeneous.settings import (
    CONTROL,
    QUICK,
    VARIANTS,
    HeterogeneousStream,
    Settings,
)


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train one agent; return what it publishes to its peers and the scores of its probes.

    Args:
        condition: Name of the agent, one of VARIANTS.
        seed: Seed of the scene, the poses and the agent.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    variant, setup, index = VARIANTS[condition], settings.setup, list(VARIANTS).index(condition)
    model, poses = variant.model(setup.model), shuffled_poses(seed, setup)
    with untrained_agent(setup, seed, index, poses, variant.kind, model) as agent:
        flops = train_agent(agent, log, until=None if variant.trained else 0)
        trained = trained_agent(agent, flops)
        snapshot = agent.published.snapshot  # type: ignore[union-attr]  # trained_agent has rejected None
        tick = trained.heldout.ids[0]
        frame = agent.recorder.frame(agent.scene.state(tick), agent.recorder.pose_at(tick))
    scores = probe_scores(trained, seed)
    if condition == CONTROL:
        scores |= run_baselines(seed, settings, log)
    arrays = {name: tensor.numpy() for name, tensor in snapshot.pools.tensors().items()}
    arrays |= {"peer info": np.array(json.dumps(asdict(snapshot.peer_info))), "frame": frame}
    return ConditionResult(scores, arrays, flops=flops)


def run_baselines(seed: int, settings: Settings, log: Log) -> dict[str, Score]:
    """Return R2 of rotations between two agents that learn nothing, at the places of the default agents."""
    setup, poses = settings.setup, shuffled_poses(seed, settings.setup)
    places = [list(VARIANTS).index(name) for name in ("jepa", "jepa-twin")]
    members = baseline_agents(setup, seed, places, poses, log, axes=2 * setup.scene.objects)
    count = setup.negotiation.anchors

    def score(pair: Sequence[TrainedAgent]) -> dict[str, Score]:
        edges = [edge_r2(fit_edge(a, b, count, seed), a, b) for a, b in ordered_pairs(pair)]
        return {"core": Score.average(edges)}

    return baseline_scores(members, score)


def shuffled_poses(seed: int, setup: AgentSetup) -> list[Pose]:
    """Return the poses of all agents in the order of VARIANTS, randomly assigned."""
    poses = ring_poses(setup, len(VARIANTS))
    return [poses[place] for place in HeterogeneousStream.POSES.rng(seed).permutation(len(poses))]


def probe_scores(agent: TrainedAgent, seed: int) -> dict[str, Score]:
    """Return R2 of linear probes of the true state, for evaluation only, and the size of the core."""
    anchors, heldout = agent.anchors, agent.heldout
    state, expected = agent.states(anchors), agent.states(heldout)
    generator = torch.Generator().manual_seed(1000 * seed + HeterogeneousStream.SHUFFLED)
    shuffled = shuffle_pairs(state, generator)
    core_dim, core = agent.core_dim, Score.single(0.0)
    if core_dim:
        core = state_probe(anchors.core(), state, heldout.core(), expected)
    return {
        "state": state_probe(anchors.vectors, state, heldout.vectors, expected),
        "state, shuffled": state_probe(anchors.vectors, shuffled, heldout.vectors, expected),
        "state, core only": core,
        "core dim": Score.single(core_dim),
    }


def conditions(settings: Settings) -> Sequence[str]:
    """Return the names of the agents."""
    return tuple(VARIANTS)


EXPERIMENT = Experiment(
    name="heterogeneous",
    question="Can agents of different sizes, objectives, encoders and kinds map their latent spaces?",
    settings=Settings,
    quick=QUICK,
    conditions=conditions,
    run=run,
    metrics=metrics,
    plots=plots,
    methods=describe_methods,
    notes=notes,
)

"""Can agents of different sizes, objectives, encoders and kinds map their latent spaces?

Protocol. Sixteen agents stand on one ring around one scene of three objects, each with its own body, camera
and training run, and learn alone, at other times than all others (training.own_ticks). They share no weights,
no seed and no tick of training; which agent has which place on the ring is drawn for every seed. Training has
the settings of a run.

Conditions, one for each agent:
- *jepa*, the default agent: 16 dimensions, whitened prediction. *jepa-twin* differs from it in nothing.
- *half-dim*, *double-dim*, *quadruple-dim*: latents of 8, 32 and 64 dimensions.
- *narrow*, *wide*: encoders with half of the channels and hidden units, and with 1.5 times the channels.
- *vicreg*, *log-det*, *ema*: other objectives; ema predicts what a slowly moving copy of the encoder emits.
- *patch-mixer*: patches and perceptrons, without a convolution (`common.other_encoders`).
- *seq-jepa*: four views of each tick, and a replay buffer of a quarter of the ticks. The paper's model does
  not predict time; with the default model.seq_jepa.temporal_weight its readout of 16 dimensions does.
- *p-jepa-positions*, *p-jepa-random*: latents of 64 dimensions, kept from collapse by an auxiliary task.
- *frozen-encoder*: a pretrained encoder that never trains, as a user may bring one. It is a stand-in: this
  experiment trains it beforehand, supervised with the objects' true positions, from the same camera in a
  scene of another seed (`pretrained`).
- *untrained*: the default agent with its initial weights, the control.

An edge. Each agent finds its core without a peer. For each ordered pair, the shared map of a run is fitted on
256 pairs of embeddings and scored on 512 held-out ones: a rotation of the directions that both cores share,
which drops all others. How many are shared is also read from the held-out pairs, as in a run. R2 is that on
the factors of the target: on all axes of its core, where an axis that the map leaves out counts as missed,
and so does each of the six factors of the scene that the target did not find. With a core of d axes, of which
k are mapped exactly, it is k / max(d, 6). A core that holds functions of factors besides the factors lowers
R2, as one that misses factors does: the notes list the cores.
Beside it stands ridge regression from all dimensions of the source to the core of the target, from the same
pairs and scored in the same way, which may scale and mix. If it is better, the source represents the content
of the target's core, but not as its own core. An agent that detects its own collapse shares nothing: R2 is 0.

The content of an agent's latents is measured by linear probes of the true state, for evaluation only, from
all dimensions and from the core alone.

Nulls. Of edges, the whole procedure with the source of the first half of each range of ticks and the target
of the second half, far beyond the memory of the scene: for fitting, for finding what is shared, and for
scoring. Where it finds nothing shared, as it should, R2 is about 0. Of probes, true states that are shifted
by half of the range for fitting. Of a worst or best pair, the worst or best of its nulls.

Baselines: two agents each of untrained encoders, pixel PCA and linear tICA at the places of jepa and
jepa-twin, mean of both directions, scored by the code that scores agents. Cores that these detect mean
little; they and the agent *untrained* are compared on as many leading axes as the scene has factors, which
favors them. Of the thresholds, also jepa and jepa-twin, two agents of equal settings; of edges, ridge.

Seeds 1000 to 1007 score; nothing was searched on them. The settings of a run were searched on the seeds 100
to 104, and a pilot of this experiment ran on seed 100.

Thresholds, set before the full run. Of each seed the worst (or best) ordered pair counts, and the mean over
seeds with its whole 95 % interval must be:
- worst pair of half-dim, jepa, double-dim and quadruple-dim: R2 at least 0.88. The size of the latent then
  does not decide what the core is. It does not show that any size does: 8 dimensions hold the six factors.
- worst pair of jepa, vicreg, log-det, ema, patch-mixer and seq-jepa, which learn from frames alone: R2 at
  least 0.85. Objective, architecture and kind then lead to one core up to a rotation. It does not show that
  the agents learned it: the camera images alone might suffice, which the next two thresholds are about.
- best pair with the untrained agent: R2 below 0.5. Architecture and frames alone then do not give the map.
- worst pair of kinds that learned minus the best baseline of that seed: above 0. The least that learning
  gives then exceeds what untrained encoders and linear functions of pixels give. It says nothing of other
  scenes.

Without a threshold: p-jepa, which receives the true actions on the objects (and with positions also these),
and frozen-encoder, which was supervised with the positions. Their maps show that such agents can be peers,
not what frames alone determine. A refused edge shows as R2 near 0.

An earlier record, of the seeds 0 to 2, had agents without further encoders that trained on the same ticks,
scored on whatever core the target had found. There the worst pair of sizes had 0.80, because of double-dim,
and seq-jepa, which did not yet predict time, shared nothing with others.
"""

from collections.abc import Sequence

from agents.agent import Agent
from env.camera import Pose
from social_jepa.experiments.common.edges import Embeddings, Pairing
from social_jepa.experiments.common.pairs import ordered_pairs
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
from social_jepa.experiments.heterogeneous.edges import score_edge
from social_jepa.experiments.heterogeneous.metrics import BASELINE_R2, make_metrics, make_notes
from social_jepa.experiments.heterogeneous.plots import make_plots
from social_jepa.experiments.heterogeneous.pretrained import pretrain, providing
from social_jepa.experiments.heterogeneous.settings import (
    BASELINE_PLACES,
    CONTROL,
    PRETRAINED,
    QUICK,
    VARIANTS,
    HeterogeneousStream,
    Settings,
)


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train one agent; return its embeddings and the scores of its probes.

    Args:
        condition: Name of the agent, one of VARIANTS.
        seed: Seed of the scene, the poses and the agent.
        settings: Settings of the run.
        log: Receives progress messages.

    Returns:
        Scores of `probe_scores`, "core dim" and "compared axes", of the control also those of the baselines;
        arrays "anchors" and "heldout", float32 [pool_ticks, D], and "frame", uint8 [H, W, 3].

    Raises:
        KeyError: There is no such agent.
        TrainingError: The loss is not finite.
    """
    variant, setup, index = VARIANTS[condition], settings.setup, list(VARIANTS).index(condition)
    poses, encoder, flops = shuffled_poses(seed, setup), None, 0.0
    if condition == PRETRAINED:
        encoder, flops = pretrain(setup, seed, index, poses, log)
    model = variant.model(setup.model)
    with providing(encoder), untrained_agent(setup, seed, index, poses, variant.kind, model) as agent:
        trains = variant.trained and agent.model.trains
        flops += train_agent(agent, log, until=None if trains else 0)
        trained, axes = trained_agent(agent, flops), compared_axes(agent, condition, settings.factors)
        tick = trained.heldout.ids[0]
        frame = agent.recorder.frame(agent.scene.state(tick), agent.recorder.pose_at(tick))
    scores = probe_scores(trained, axes)
    log(f"{condition}: core of {trained.core_dim} dimensions, R2 of the state {scores['state'].score:.3f}")
    scores |= {"core dim": Score.single(trained.core_dim), "compared axes": Score.single(axes)}
    if condition == CONTROL:
        scores |= run_baselines(seed, settings, log)
    pools = {"anchors": trained.anchors, "heldout": trained.heldout}
    arrays = {name: pool.vectors.numpy() for name, pool in pools.items()}
    return ConditionResult(scores, {**arrays, "frame": frame}, flops=flops)


def compared_axes(agent: Agent, condition: str, factors: int) -> int:
    """Return the number of leading axes on which an agent is compared with its peers.

    They are those of its core, none if it has detected its own collapse, which its peers refuse. The control
    has as many as the scene has factors.

    Args:
        agent: An agent that has published its core.
        condition: Its name.
        factors: Number of factors of the scene.
    """
    assert agent.published is not None
    info = agent.published.snapshot.peer_info
    if condition == CONTROL:
        return min(factors, info.dim)
    return 0 if info.collapsed else info.core_dim


def run_baselines(seed: int, settings: Settings, log: Log) -> dict[str, Score]:
    """Return R2 between two agents of each baseline, mean of both directions, see `baseline_name`."""
    setup, factors = settings.setup, settings.factors
    places = [list(VARIANTS).index(name) for name in BASELINE_PLACES]
    members = baseline_agents(setup, seed, places, shuffled_poses(seed, setup), log, axes=factors)
    return baseline_scores(members, lambda pair: pair_scores(pair, Pairing.of(setup), factors))


def pair_scores(agents: Sequence[TrainedAgent], pairing: Pairing, factors: int) -> dict[str, Score]:
    """Return the mean R2 of the edges between agents, as BASELINE_R2."""
    edges = [
        score_edge(Embeddings.of(source), Embeddings.of(target), pairing, factors)
        for source, target in ordered_pairs(agents)
    ]
    return {BASELINE_R2: Score.average([Score.single(edge.r2) for edge in edges])}


def shuffled_poses(seed: int, setup: AgentSetup) -> list[Pose]:
    """Return the poses of all agents in the order of VARIANTS, randomly assigned."""
    poses = ring_poses(setup, len(VARIANTS))
    return [poses[place] for place in HeterogeneousStream.POSES.rng(seed).permutation(len(poses))]


def probe_scores(agent: TrainedAgent, axes: int) -> dict[str, Score]:
    """Return R2 of linear probes of the true state and their null, for evaluation only.

    Args:
        agent: The agent.
        axes: Number of leading axes that count as its core; without any, their probe has R2 0.
    """
    anchors, heldout = agent.anchors, agent.heldout
    state, expected = agent.states(anchors), agent.states(heldout)
    core = Score.single(0.0)
    if axes:
        core = state_probe(anchors.vectors[:, :axes], state, heldout.vectors[:, :axes], expected)
    shifted = state.roll(len(state) // 2, 0)
    return {
        "state": state_probe(anchors.vectors, state, heldout.vectors, expected),
        "state, shifted": state_probe(anchors.vectors, shifted, heldout.vectors, expected),
        "state, core only": core,
    }


EXPERIMENT = Experiment(
    name="heterogeneous",
    question="Can agents of different sizes, objectives, encoders and kinds map their latent spaces?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: tuple(VARIANTS),
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
    seeds=range(1000, 1008),
)

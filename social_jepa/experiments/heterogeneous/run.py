"""Do strangers of other sizes, objectives, encoders and kinds understand each other?

Protocol. Thirteen agents stand on one ring around one scene of three objects, each with a body, a camera and
a course of its own, and learn alone. They share no weights, no seed and no order of data; who stands where is
drawn anew with every seed. From the default agent, *jepa*, they differ so: *jepa-twin* in nothing;
*half-dim* and *double-dim* in the latent space (8 and 32 dimensions in place of 16); *narrow* and *wide* in
the encoder (half of its channels and hidden units, half as many channels again); *vicreg* and *log-det* in
the objective; *patch-mixer* in the architecture, patches and perceptrons without a convolution
(`other_encoders`); in kind and size of code, *p-jepa* with a random network as its task, *p-jepa* with
positions, both of 64 dimensions, and *seq-jepa* of 80, which looks four times at each tick and remembers a
quarter of the ticks. Neither p-jepa learns from pixels alone: both feel the true pushes on all objects, and
the one with positions is told in training where they are. *untrained*, the default agent as it was built, is
the control.

Measured. All talk with all through the product's own negotiation, in one process: an offer, a call, 256
anchors, a verdict. For each ordered pair, on 512 held-out ticks: R2 of the (semi-)orthogonal map between the
two cores, and whether the target accepts it; an edge that is refused unseen, because an agent found itself
collapsed, counts as R2 0. From a core of d dimensions into a larger one of e, no such map passes d / e, so
that a low figure may tell of sizes and not of what is seen; notes list the cores. Beside it stands ridge
regression from all dimensions of the source to the core of the target, on the same anchors, which may
stretch: where it is better, the source knows what the target says, but not as its own core. What an agent
knows is read off by a linear probe of the true state, for evaluation only, from all its dimensions and from
its core, fitted on 512 ticks and scored on 512 others.

Parts. One for each agent; a part returns what the agent would show, and the negotiations follow from that.

Nulls. Of edges, the best of any shuffle of the pairs by either map, as the product counts it; of probes,
shuffled states. Baselines. Of the goals, jepa and jepa-twin, two strangers of one kind; of edges, the ridge
map; of probes, the core alone.

Goals, set beforehand. In every seed the worst counts, and its mean over seeds must hold: ordered pairs among
the agents that differ in size alone at least 0.88; patch-mixer with jepa, the worse direction, at least 0.85;
the best pair with the untrained agent below 0.5, and below the worst pair of trained agents of kind jepa.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from agents.protocol.settings import NegotiationConfig
from alignment.fit import fit_ridge
from alignment.score import shuffle_pairs
from env.camera import Pose, RingConfig
from social_jepa.experiments.common.trained_agents import (
    QUICK_SETUP,
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.heterogeneous.metrics import figures, notes
from social_jepa.experiments.heterogeneous.plots import pictures
from social_jepa.experiments.heterogeneous.society import MEMBERS

PLACING, SHUFFLING = 51, 52  # words


def _upbringing() -> AgentSetup:
    return AgentSetup(ring=RingConfig(separation=27.5), negotiation=NegotiationConfig(pool_ticks=512))


@dataclass(frozen=True)
class Settings:
    """A run; the defaults are the full one."""

    upbringing: AgentSetup = field(default_factory=_upbringing)  # its model is the default agent's


SMALL = {"dim": 8, "width": 8, "hidden": 32}
MODEL = QUICK_SETUP["model"] | {
    "seq_jepa": {"encoder": SMALL, "action_dim": 4, "heads": 2},
    "p_jepa": {"encoder": SMALL, "controlled_objects": 1},
}


def run(part: str, seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Let one agent learn, and return what it would show its peers and what it knows.

    Args:
        part: Whose name, one of MEMBERS.
        seed: Of the world, of who stands where, and of all that is random in the agent.
        settings: Of the run.
        say: Told how it goes.
    """
    member, upbringing = MEMBERS[part], settings.upbringing
    model, poses = member.model(upbringing.model), places(seed, upbringing)
    with untrained_agent(upbringing, seed, list(MEMBERS).index(part), poses, member.kind, model) as agent:
        flops = train_agent(agent, say, until=None if member.trained else 0)
        stranger = trained_agent(agent, flops)
        memory = agent.published.snapshot  # type: ignore[union-attr]  # stranger_of has refused None
        tick = stranger.heldout.ids[0]
        seen = agent.renderer.render(agent.scene.state(tick), agent.spec.pose, agent.spec.name)
    arrays = {name: tensor.numpy() for name, tensor in memory.pools.tensors().items()}
    arrays |= {"card": np.array(json.dumps(asdict(memory.peer_info))), "seen": seen}
    return ConditionResult(probes(stranger, seed), arrays, flops=flops)


def places(seed: int, upbringing: AgentSetup) -> list[Pose]:
    """Return where each agent stands, in the order of MEMBERS."""
    poses = ring_poses(upbringing, len(MEMBERS))
    return [poses[place] for place in np.random.default_rng([seed, PLACING]).permutation(len(poses))]


def probes(stranger: TrainedAgent, seed: int) -> dict[str, Score]:
    """Return how well the true state is read off an agent's codes, for evaluation only."""
    fit, held = stranger.anchors, stranger.heldout
    state, true = stranger.states(fit), stranger.states(held)
    wrong = shuffle_pairs(state, torch.Generator().manual_seed(1000 * seed + SHUFFLING))

    def probe(shown: Tensor, told: Tensor, seen: Tensor) -> Score:
        return Score.r2(fit_ridge(shown, told)(seen.double()).numpy(), true.numpy())

    core = stranger.core_dim
    return {
        "state": probe(fit.vectors, state, held.vectors),
        "shuffled": probe(fit.vectors, wrong, held.vectors),
        "state from the core": probe(fit.core(), state, held.core()) if core else Score.single(0.0),
        "core": Score.single(core),
    }


def parts(settings: Settings) -> Sequence[str]:
    """Return the agents' names."""
    return tuple(MEMBERS)


EXPERIMENT = Experiment(
    name="heterogeneous",
    question="Do strangers of other sizes, objectives, encoders and kinds understand each other?",
    settings=Settings,
    quick={"upbringing": {**QUICK_SETUP, "model": MODEL}},
    conditions=parts,
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)

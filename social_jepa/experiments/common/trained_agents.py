"""Agents of experiments, trained independently as in a run, with their anchor and held-out embeddings."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from agents.agent import Agent
from agents.models.settings import ModelConfig
from agents.models.world_model import WorldModel
from agents.protocol.settings import NegotiationConfig
from agents.spec import AgentSpec
from agents.training.settings import TrainingConfig
from agents.training.ticks import range_gap, train_offset
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from env.camera import Pose, RingConfig, ring_pose
from env.scene import BodyEvent, Scene, SceneConfig
from social_jepa.experiments.common.training_loop import count_flops
from social_jepa.experiments.framework.experiment import Log

PROGRESS_MESSAGES = 5  # logged in one training run


@dataclass(frozen=True)
class AgentSetup:
    """Settings that the agents of an experiment share: the scene, and how each agent is trained.

    Agents share no weights, no random stream and no order of data. Held-out ticks, anchor ticks and training
    ticks are three disjoint ranges with gaps between them (agents.protocol.settings.tick_ranges).
    """

    scene: SceneConfig = field(default_factory=SceneConfig)
    ring: RingConfig = field(default_factory=RingConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    negotiation: NegotiationConfig = field(default_factory=NegotiationConfig)

    @property
    def stride(self) -> int:
        """Ticks between neighbors in an anchor pool."""
        return self.negotiation.stride(self.scene.decorrelation_ticks)

    def train_offset(self, index: int) -> int:
        """Return the ticks by which an agent trains later than agent 0; see `AgentSpec`."""
        gap = range_gap(self.scene.decorrelation_ticks)
        return train_offset(self.training, index, gap, self.stride)


QUICK_SETUP: dict[str, dict[str, Any]] = {
    "scene": {"renderer": "toy", "frame_size": 32, "objects": 1},
    "model": {"dim": 4, "width": 8, "hidden": 32},
    "training": {"steps": 150, "segments": 32, "replay_ticks": 2048, "core_eval_ticks": 1024},
    "negotiation": {"pool_ticks": 256, "anchors": 64, "heldout": 128},
}  # trains an agent in about two seconds, well enough for maps between agents


@dataclass(frozen=True, eq=False)
class TrainedAgent:
    """What an experiment keeps of an agent after training; its renderer is closed.

    Attributes:
        name: Name of the agent.
        model: World model.
        basis: Axes of its core, found without a peer.
        anchors: Embeddings at the anchor ticks, which maps are fitted on, in the axes of its basis.
        heldout: Embeddings at the held-out ticks, which maps are scored on.
        scene: Scene with the true states.
        frames: Number of frames that training read.
        flops: Floating-point operations of training, counted by torch.
    """

    name: str
    model: WorldModel
    basis: CoreBasis
    anchors: AnchorSet
    heldout: AnchorSet
    scene: Scene
    frames: int
    flops: float

    @property
    def core_dim(self) -> int:
        """Number of leading axes that are the core."""
        return self.basis.core_dim

    def states(self, anchors: AnchorSet) -> Tensor:
        """Return the true states at the ticks of an anchor set, float64 [K, F]; for evaluation only."""
        return torch.from_numpy(self.scene.factors(torch.tensor(anchors.ids).numpy()))


def ring_poses(setup: AgentSetup, count: int) -> list[Pose]:
    """Return the poses of the first agents on the ring."""
    return [ring_pose(index, setup.ring) for index in range(count)]


@contextlib.contextmanager
def untrained_agent(
    setup: AgentSetup, seed: int, index: int, poses: Sequence[Pose], kind: str = "jepa",
    model: ModelConfig | None = None,
) -> Iterator[Agent]:  # fmt: skip
    """Yield an untrained agent; its renderer is closed and its files are deleted afterwards.

    Args:
        setup: The scene and how agents are trained.
        seed: Seed of the scene; all randomness of the agent depends on (seed, index).
        index: Index of the agent.
        poses: Poses of all agents; their bodies are in the scene if it has bodies.
        kind: Kind of world model, as in a run.
        model: Settings of the model; by default those of the setup.
    """
    bodies = tuple(BodyEvent(0, f"agent-{other}", pose) for other, pose in enumerate(poses))
    with tempfile.TemporaryDirectory(prefix="social-jepa-") as folder:
        agent = Agent(AgentSpec(
            name=f"agent-{index}", index=index, seed=seed, kind=kind, pose=poses[index],
            scene=setup.scene, events=bodies, model=model or setup.model,
            training=replace(setup.training, checkpoint_every=setup.training.steps),
            negotiation=setup.negotiation, folder=folder, train_offset=setup.train_offset(index),
        ))  # fmt: skip
        try:
            yield agent
        finally:
            agent.close()


def train_agent(agent: Agent, log: Log, until: int | None = None) -> float:
    """Train an agent to a step, by default to the end of its training run, and publish its core.

    Args:
        agent: The agent.
        log: Receives progress messages.
        until: Step to train to; 0 leaves the weights untrained.

    Returns:
        Counted training FLOPs of these steps, and of those of further encoders, which cost as much: each
        trains the same encoder on batches of the same size.
    """
    steps, first = agent.spec.training.steps if until is None else until, agent.trainer.step
    step_flops = 0.0
    if first < steps:
        agent.train(until=min(first + 1, steps - 1))  # the model is calibrated before its first step
        step_flops = count_flops(lambda: agent.train(until=agent.trainer.step + 1))[1]
    for part in range(1, PROGRESS_MESSAGES + 1):
        agent.train(until=first + (steps - first) * part // PROGRESS_MESSAGES)
        if agent.trainer.losses:
            loss = agent.trainer.losses[-1]
            log(f"{agent.spec.name} step {agent.trainer.step} of {steps}: loss {loss:.4f}")
    agent.publish()
    return step_flops * (steps - first + (agent.stage_steps or 0))


def trained_agent(agent: Agent, flops: float = 0.0) -> TrainedAgent:
    """Return the TrainedAgent of an agent after training.

    Raises:
        ValueError: The agent has not published its core.
    """
    if agent.published is None or agent.basis is None:
        raise ValueError(f"{agent.spec.name} has not published its core: call train_agent first")
    pools = agent.published.snapshot.pools
    return TrainedAgent(
        agent.spec.name, agent.published.model, agent.basis, pools.anchors, pools.heldout, agent.scene,
        agent.trainer.frames, flops,
    )  # fmt: skip


def train_agents(
    setup: AgentSetup, seed: int, poses: Sequence[Pose], log: Log, kind: str = "jepa",
    indices: Sequence[int] | None = None,
) -> list[TrainedAgent]:  # fmt: skip
    """Train the agents of these indices, by default one for each pose, one after the other."""
    agents = []
    for index in range(len(poses)) if indices is None else indices:
        with untrained_agent(setup, seed, index, poses, kind) as agent:
            agents.append(trained_agent(agent, train_agent(agent, log)))
    return agents

"""Agents for experiments: each learns one view alone, as it does in a run, and is then asked what it sees."""

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
from agents.training.trainer import Trainer
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from env.camera import Pose, RingConfig, ring_pose
from env.scene import BodyEvent, Scene, SceneConfig
from social_jepa.experiments.common.training_loop import count_flops
from social_jepa.experiments.framework.experiment import Log

PROGRESS_MESSAGES = 5  # times that a training says how far it is


@dataclass(frozen=True)
class AgentSetup:
    """What the strangers of an experiment have in common: the world, and how each learns.

    They share no weights, no seed and no order of data. The ticks that maps are scored on, those that they
    are fitted on, and those that agents train on are three stretches apart
    (agents.protocol.settings.tick_ranges).
    """

    scene: SceneConfig = field(default_factory=SceneConfig)
    ring: RingConfig = field(default_factory=RingConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    negotiation: NegotiationConfig = field(default_factory=NegotiationConfig)


QUICK_SETUP: dict[str, dict[str, Any]] = {
    "scene": {"renderer": "toy", "frame_size": 32, "objects": 1},
    "model": {"dim": 4, "width": 8, "hidden": 32},
    "training": {"steps": 150, "segments": 32, "replay_ticks": 2048, "core_eval_ticks": 1024},
    "negotiation": {"pool_ticks": 256, "anchors": 64, "heldout": 128},
}  # an upbringing of about two seconds, in which strangers agree


@dataclass(frozen=True, eq=False)
class TrainedAgent:
    """What an experiment keeps of an agent whose camera is closed.

    Attributes:
        model: What it learned.
        basis: Axes of its predictable core, found without a peer.
        anchors: What it makes of the ticks that maps are fitted on, in the axes of its basis.
        heldout: What it makes of the ticks that score.
        frames: Frames that training read.
        flops: Floating-point operations of its training, counted by torch.
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
        """How many leading axes are its core."""
        return self.basis.core_dim

    def states(self, anchors: AnchorSet) -> Tensor:
        """Return the true state at the ticks of a set, float64 [K, F]; for evaluation only."""
        return torch.from_numpy(self.scene.factors(torch.tensor(anchors.ids).numpy()))


def train_on_later_ticks(agent: Agent, ticks: int) -> None:
    """Let an agent that has learned nothing learn from a later stretch of time than others do."""
    trainer = agent.trainer
    agent.trainer = Trainer(
        agent.model, agent.recorder, trainer.start + ticks, agent.spec.training, trainer.seed
    )


def ring_poses(setup: AgentSetup, count: int) -> list[Pose]:
    """Return where the first agents of the ring stand."""
    return [ring_pose(index, setup.ring) for index in range(count)]


@contextlib.contextmanager
def untrained_agent(
    setup: AgentSetup, seed: int, index: int, poses: Sequence[Pose], kind: str = "jepa",
    model: ModelConfig | None = None,
) -> Iterator[Agent]:  # fmt: skip
    """Give an agent that has learned nothing; its camera is closed and its files are deleted afterwards.

    Args:
        setup: The world and how the agents train.
        seed: Of the world; all that is random in the agent follows from (seed, index).
        index: Which agent.
        poses: Where all agents stand; their bodies are in the scene if it has bodies.
        kind: Of world model, as in a run.
        model: Sizes of its own, in place of the upbringing's.
    """
    bodies = tuple(BodyEvent(0, f"agent-{other}", pose) for other, pose in enumerate(poses))
    with tempfile.TemporaryDirectory(prefix="social-jepa-") as folder:
        agent = Agent(AgentSpec(
            name=f"agent-{index}", index=index, seed=seed, kind=kind, pose=poses[index],
            scene=setup.scene, events=bodies, model=model or setup.model,
            training=replace(setup.training, checkpoint_every=setup.training.steps),
            negotiation=setup.negotiation, folder=folder,
        ))  # fmt: skip
        try:
            yield agent
        finally:
            agent.close()


def train_agent(agent: Agent, log: Log, until: int | None = None) -> float:
    """Train an agent to a step, by default to the end of its course, and let it find its core.

    Args:
        agent: Who learns; 0 steps leave it untrained.
        log: Receives progress messages.
        until: Step to train to.

    Returns:
        Counted training FLOPs of the steps that were taken.
    """
    steps, began = agent.spec.training.steps if until is None else until, agent.trainer.step
    flops = 0.0
    if began < steps:
        agent.train(until=min(began + 1, steps - 1))  # before its first step a model is calibrated, once
        flops = count_flops(lambda: agent.train(until=agent.trainer.step + 1))[1] * (steps - began)
    for part in range(1, PROGRESS_MESSAGES + 1):
        agent.train(until=began + (steps - began) * part // PROGRESS_MESSAGES)
        if agent.trainer.losses:
            said = f"{agent.spec.name} step {agent.trainer.step} of {steps}"
            log(f"{said}: loss {agent.trainer.losses[-1]:.4f}")
    agent.publish()
    return flops


def trained_agent(agent: Agent, flops: float = 0.0) -> TrainedAgent:
    """Return what remains of an agent that has found its core."""
    if agent.published is None or agent.basis is None:
        raise ValueError(f"{agent.spec.name} has not found its core: let it learn first")
    pools = agent.published.snapshot.pools
    return TrainedAgent(
        agent.spec.name, agent.published.model, agent.basis, pools.anchors, pools.heldout, agent.scene,
        agent.trainer.frames, flops,
    )  # fmt: skip


def train_agents(
    setup: AgentSetup, seed: int, poses: Sequence[Pose], log: Log, kind: str = "jepa"
) -> list[TrainedAgent]:
    """Train one agent for each pose, one after the other, and return what remains of them."""
    raised = []
    for index in range(len(poses)):
        with untrained_agent(setup, seed, index, poses, kind) as agent:
            raised.append(trained_agent(agent, train_agent(agent, log)))
    return raised

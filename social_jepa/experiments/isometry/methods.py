"""The methods that isometry compares, and how an agent of each is raised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from env.camera import Pose
from env.sensors import SensorSpec
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    train_agent,
    train_on_later_ticks,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import Log

RIVALS = "social_jepa.experiments.common.baselines:"


@dataclass(frozen=True)
class Method:
    """One way to learn.

    Attributes:
        title: As pictures name it.
        kind: Of world model, as in a run.
        model: What it changes of the upbringing's model settings.
        learns: Whether it takes steps of training.
        told: Whether its camera tells it where the objects are.
    """

    title: str
    kind: str = "jepa"
    model: Mapping[str, Any] = field(default_factory=dict)
    learns: bool = True
    told: bool = False


METHODS: Mapping[str, Method] = {
    "jepa": Method("JEPA, whitened"),
    "vicreg": Method("JEPA, VICReg", model={"objective": "vicreg"}),
    "log-det": Method("JEPA, log-det", model={"objective": "log_det"}),
    "sigreg": Method("JEPA, SIGReg", model={"objective": "sigreg"}),
    "autoencoder": Method("autoencoder", RIVALS + "Autoencoder"),
    "masked-autoencoder": Method("masked autoencoder", RIVALS + "MaskedAutoencoder"),
    "simclr": Method("SimCLR", RIVALS + "SimClr"),
    "supervised": Method("supervised", RIVALS + "Supervised", told=True),
    "untrained": Method("untrained", learns=False),
    "pixel-pca": Method("pixel PCA", RIVALS + "PixelPca", learns=False),
}


def raise_one(
    method: Method, upbringing: AgentSetup, seed: int, index: int, poses: Sequence[Pose], say: Log,
    later: int = 0,
) -> tuple[TrainedAgent, np.ndarray]:  # fmt: skip
    """Train one agent, and return what remains of it and what its camera saw at three ticks that score.

    Args:
        method: How it learns.
        upbringing: The world and the course.
        seed: Of the world; all that is random in the agent follows from (seed, index).
        index: Which agent.
        poses: Where all agents stand.
        say: Told how it goes.
        later: Ticks by which its training begins after that of others.

    Returns:
        (the stranger, frames uint8 [3, H, W, 3]).
    """
    model = replace(upbringing.model, **method.model)
    with untrained_agent(upbringing, seed, index, poses, method.kind, model) as agent:
        if method.told:
            agent.recorder.spec = SensorSpec(controlled_objects=upbringing.scene.objects, task="positions")
        if later:
            train_on_later_ticks(agent, later)
        flops = train_agent(agent, say, None if method.learns else 0)
        return trained_agent(agent, flops), agent.recorder.record(agent.heldout_ticks[:3]).frames


def raise_all(
    method: Method, upbringing: AgentSetup, seed: int, indices: Sequence[int], poses: Sequence[Pose], say: Log
) -> tuple[list[TrainedAgent], np.ndarray]:
    """Train several agents one after the other; the frames are [agents, 3, H, W, 3]."""
    raised = [raise_one(method, upbringing, seed, index, poses, say) for index in indices]
    return [stranger for stranger, _ in raised], np.stack([frames for _, frames in raised])

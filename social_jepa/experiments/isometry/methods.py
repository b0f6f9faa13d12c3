"""The learning methods that isometry compares, and the training of agents with each of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from env.camera import Pose
from social_jepa.experiments.common.methods import BASELINES, Method, method_agent
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    train_agent,
    train_on_later_ticks,
    trained_agent,
)
from social_jepa.experiments.framework.experiment import Log

LONG = "jepa-long"  # the condition of the long schedule


METHODS: Mapping[str, Method] = {
    "jepa": Method("JEPA, whitened"),
    "vicreg": Method("JEPA, VICReg", model={"objective": "vicreg"}),
    "log-det": Method("JEPA, log-det", model={"objective": "log_det"}),
    "sigreg": Method("JEPA, SIGReg", model={"objective": "sigreg"}),
    "autoencoder": Method("autoencoder", BASELINES + "Autoencoder"),
    "masked-autoencoder": Method("masked autoencoder", BASELINES + "MaskedAutoencoder"),
    "simclr": Method("SimCLR", BASELINES + "SimClr"),
    "supervised": Method("supervised", BASELINES + "Supervised", supervised=True),
    "untrained": Method("untrained", trains=False),
    "pixel-pca": Method("pixel PCA", BASELINES + "PixelPca", trains=False),
}


def train_one(
    method: Method, setup: AgentSetup, seed: int, index: int, poses: Sequence[Pose], log: Log, later: int = 0
) -> tuple[TrainedAgent, np.ndarray]:
    """Train one agent, and return it with the views of its camera at three held-out ticks.

    Args:
        method: Learning method.
        setup: The scene and the training schedule.
        seed: Seed of the scene; all randomness of the agent follows from (seed, index).
        index: Index of the agent.
        poses: Camera poses of all agents.
        log: Receives progress messages.
        later: Number of ticks by which the training ticks are shifted relative to those of the other agents.

    Returns:
        (the trained agent, frames uint8 [3, H, W, 3]).
    """
    with method_agent(method, setup, seed, index, poses) as agent:
        if later:
            train_on_later_ticks(agent, later)
        flops = train_agent(agent, log, None if method.trains else 0)
        return trained_agent(agent, flops), agent.recorder.record(agent.heldout_ticks[:3]).frames


def train_all(
    method: Method, setup: AgentSetup, seed: int, indices: Sequence[int], poses: Sequence[Pose], log: Log
) -> tuple[list[TrainedAgent], np.ndarray]:
    """Train several agents one after the other; return them and frames uint8 [agents, 3, H, W, 3]."""
    trained = [train_one(method, setup, seed, index, poses, log) for index in indices]
    return [agent for agent, _ in trained], np.stack([frames for _, frames in trained])

"""The encoder of the agent frozen-encoder: a stand-in for a network that a user brings along.

It is no network from elsewhere. This experiment trains it before the agent exists: a convolutional encoder of
the default sizes learns, supervised with the true positions of the objects, to emit them in its first
dimensions. It sees the room from the camera of the agent that later uses it, in a scene of another seed, so
that the objects move along other paths: no frame and no state of the agents' scene enters. The agent cannot
change its weights; it finds the principal components of what the encoder emits on frames of its own, then a
core, as with any pretrained encoder.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

from torch import nn

from env.camera import Pose
from social_jepa.experiments.common.baselines import Supervised
from social_jepa.experiments.common.methods import BASELINES, Method, method_agent
from social_jepa.experiments.common.trained_agents import AgentSetup, train_agent
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.heterogeneous.settings import HeterogeneousStream

SUPERVISED = Method("supervised", BASELINES + "Supervised", supervised=True)
_ENCODER: ContextVar[nn.Module | None] = ContextVar("pretrained encoder", default=None)


def pretrain(
    setup: AgentSetup, seed: int, index: int, poses: Sequence[Pose], log: Log
) -> tuple[nn.Module, float]:
    """Return an encoder trained by supervision, and the counted FLOPs of its training.

    Args:
        setup: The scene, the sizes of the encoder and its schedule.
        seed: Seed of the experiment's scene; that of the recordings to train on follows from it.
        index: Index of the agent that will use the encoder.
        poses: Camera poses of all agents.
        log: Receives progress messages.

    Returns:
        (encoder of frames, uint8 [N, H, W, 3] -> float [N, D]; FLOPs).

    Raises:
        TrainingError: The loss is not finite.
    """
    other_scene = int(HeterogeneousStream.PRETRAINING.rng(seed).integers(2**31))
    with method_agent(SUPERVISED, setup, other_scene, index, poses) as agent:
        flops = train_agent(agent, log)
        assert isinstance(agent.model, Supervised)
        return agent.model.encoder, flops


@contextlib.contextmanager
def providing(encoder: nn.Module | None) -> Iterator[None]:
    """Let `load_pretrained` return copies of an encoder within the context; None provides none."""
    token = _ENCODER.set(encoder)
    try:
        yield
    finally:
        _ENCODER.reset(token)


def load_pretrained() -> nn.Module:
    """Return a copy of the encoder that `providing` provides, uint8 [N, H, W, 3] -> float [N, D].

    Raises:
        RuntimeError: None is provided.
    """
    encoder = _ENCODER.get()
    if encoder is None:
        raise RuntimeError("no encoder is provided: build the agent within `providing(encoder)`")
    return copy.deepcopy(encoder)

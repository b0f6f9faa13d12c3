"""Training of the two agents of time-or-jepa, with their latents at each checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from agents.models.world_model import NO_SENSOR_DATA, encode_with, loss_with
from alignment.core import find_core
from social_jepa.experiments.common.flat_training import train_until_flat
from social_jepa.experiments.common.methods import COMPARED_AGENTS, RING_AGENTS, Method, method_agent
from social_jepa.experiments.common.trained_agents import ring_poses
from social_jepa.experiments.common.training_loop import count_flops
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.time_or_jepa.settings import FLAT, METHODS, TICA, Settings

CHUNK = 512  # frames encoded at a time


@dataclass(frozen=True, eq=False)
class Latents:
    """White latents of an agent at one checkpoint, all D dimensions.

    Attributes:
        anchors: [P, D], of the ticks that maps are fitted on.
        heldout: [P, D], of the ticks that they are scored on.
    """

    anchors: Tensor
    heldout: Tensor


@dataclass(frozen=True, eq=False)
class History:
    """One agent over its training.

    Attributes:
        steps: Number of steps at each checkpoint.
        latents: Latents at each checkpoint.
        states: True states at the ticks of the two pools, float64 [P, F] each; for evaluation only.
        flops: Floating-point operations of training, counted by torch.
        flat: Whether training ended because the loss was flat; True for a fixed schedule.
    """

    steps: tuple[int, ...]
    latents: tuple[Latents, ...]
    states: tuple[Tensor, Tensor]
    flops: float
    flat: bool


def train_pair(condition: str, seed: int, settings: Settings, log: Log) -> list[History]:
    """Train the two compared agents of a condition, one after the other.

    Args:
        condition: One of METHODS.
        seed: Seed of the scene and the agents.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    method, setup = METHODS[condition], settings.setup
    if condition == TICA:
        method = Method(method.title, method.kind, {"dim": settings.components}, trains=False)
    histories = []
    for index in COMPARED_AGENTS:
        with method_agent(method, setup, seed, index, ring_poses(setup, RING_AGENTS)) as agent:
            histories.append(_train(agent, condition, settings, log))
    return histories


def _train(agent: Agent, condition: str, settings: Settings, log: Log) -> History:
    ticks = [np.array(pool) for pool in (agent.ticks.fit, agent.ticks.heldout)]
    pools = [torch.from_numpy(agent.recorder.record(pool).frames) for pool in ticks]
    steps: list[int] = []
    latents: list[Latents] = []

    def keep(step: int) -> None:
        steps.append(step)
        latents.append(white_latents(agent, pools, condition, settings))
        log(f"{agent.spec.name} step {step}")

    flat, flops = True, 0.0
    if not METHODS[condition].trains:
        agent.train(until=0)  # records and calibrates
        keep(0)
    elif condition in FLAT:
        flat, flops = _train_flat(agent, settings, keep)
    else:
        flops = _train_on_schedule(agent, settings.checkpoints, keep)
    fit_states, heldout_states = (torch.from_numpy(agent.scene.factors(pool)) for pool in ticks)
    return History(tuple(steps), tuple(latents), (fit_states, heldout_states), flops, flat)


def _train_on_schedule(agent: Agent, checkpoints: Sequence[int], keep: Callable[[int], None]) -> float:
    """Train an agent by its own schedule, and return the counted FLOPs."""
    agent.train(until=1)  # the model is calibrated before its first step
    flops = count_flops(lambda: agent.train(until=2))[1] * checkpoints[-1]
    for step in checkpoints:
        agent.train(until=step)
        keep(step)
    return flops


def _train_flat(agent: Agent, settings: Settings, keep: Callable[[int], None]) -> tuple[bool, float]:
    """Train an agent until its loss is flat; return whether it was, and the FLOPs.

    Latents are kept at the checkpoints of the other methods, then after each multiple of the last one, and
    at the end.
    """
    last = 0

    def on_step(step: int) -> None:
        nonlocal last
        if step in settings.checkpoints or step % settings.checkpoints[-1] == 0:
            keep(step)
            last = step

    steps, flat = train_until_flat(agent, settings.flat, on_step)
    if last != steps:
        keep(steps)
    return flat, _step_flops(agent) * steps


def _step_flops(agent: Agent) -> float:
    """Return the counted FLOPs of the loss and the gradient of one step; the weights do not change."""
    config, buffer = agent.spec.training, agent.trainer.replay_buffer
    ticks = buffer.draw(np.random.default_rng(0), config.segments, config.segment_ticks)
    frames, sensor_data = torch.from_numpy(buffer.read(ticks)), agent.recorder.sensor_data(ticks)

    def step() -> None:
        loss_with(agent.model, frames, torch.Generator().manual_seed(0), sensor_data)[0].backward()

    flops = count_flops(step)[1]
    agent.model.zero_grad(set_to_none=True)
    return flops


def white_latents(agent: Agent, pools: Sequence[Tensor], condition: str, settings: Settings) -> Latents:
    """Return latents of two pools of frames, whitened by their owner on ticks of its own training.

    Linear tICA keeps the most predictable directions of the principal components, which is what the axes of
    whitened latents are sorted by, as many as other methods have dimensions; they are found on all ticks of
    the replay buffer.
    """
    buffer = agent.trainer.replay_buffer
    count = len(buffer) if condition == TICA else settings.own_ticks
    basis = find_core(encode(agent, torch.from_numpy(buffer.read(buffer.ticks[-count:]))))
    anchors, heldout = (basis(encode(agent, frames))[:, : settings.setup.model.dim] for frames in pools)
    return Latents(anchors.double(), heldout.double())


@torch.inference_mode()
def encode(agent: Agent, frames: Tensor) -> Tensor:
    """Return latents of frames by the model in training, uint8 [N, H, W, C] -> [N, D]."""
    agent.model.eval()
    chunks = frames.split(CHUNK)
    return torch.cat([encode_with(agent.model, chunk, NO_SENSOR_DATA).cpu() for chunk in chunks])

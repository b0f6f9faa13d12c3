"""An agent as a student, which learns from the embeddings of a peer, and as a teacher, which sends them."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from agents.common.streams import Stream
from agents.models.world_model import encode_with
from agents.protocol.privacy import in_precision, protect
from agents.training.distillation import distill
from agents.training.loss_curve import LossCurve

if TYPE_CHECKING:
    from agents.agent import Agent


def distill_agent(agent: "Agent", first: int, teacher_latents: Tensor, stop: Callable[[], bool]) -> bool:
    """Train an agent on a teacher's embeddings of consecutive ticks instead of on its own schedule.

    When done, the schedule counts as complete: what follows is online training.

    Args:
        agent: The student.
        first: Tick of the first row.
        teacher_latents: Embeddings by the teacher, [K, D_teacher].
        stop: Called before every step; distillation ends early when it returns True.

    Returns:
        Whether all steps were done.

    Raises:
        ValueError: The ticks are not the first ones of training, or more than the replay buffer holds.
    """
    _check_ticks(agent, first, len(teacher_latents))
    trainer, ticks = agent.trainer, np.arange(first, first + len(teacher_latents))
    agent.phase = "distilling"
    undo_distillation(agent)
    began = time.perf_counter()
    trainer.replay_buffer.advance_to(first + len(ticks))
    encode = _row_encoder(agent, ticks)
    trainer.record_seconds = time.perf_counter() - began
    agent.calibrate(agent.model)
    config = replace(agent.spec.distillation, batch=min(agent.spec.distillation.batch, len(ticks)))
    seed = agent.stream_seed(Stream.DISTILLATION)
    began = time.perf_counter()
    agent.distill_losses = []
    frames = distill(
        agent.model, encode, teacher_latents, config, agent.spec.training, seed, stop,
        agent.distill_losses.append,
    )  # fmt: skip
    trainer.train_seconds = time.perf_counter() - began
    if frames is not None:
        agent.distill_frames, agent.stage_steps = frames * trainer.views, 0
        trainer.step = trainer.steps_replaced_by_distillation = agent.spec.training.steps
        trainer.loss_curve = LossCurve(trainer.step)
    return frames is not None


def undo_distillation(agent: "Agent") -> None:
    """Give an agent its initial weights again where a distillation has begun and was interrupted."""
    if agent.distill_losses and not agent.distill_frames:
        agent.model.load_state_dict(agent.build_model().state_dict())
        agent.distill_losses = []


def distill_targets(agent: "Agent", ticks: int, noise_key: bytes = b"") -> tuple[int, Tensor]:
    """Return targets for a student: (first tick, core embeddings float32 [K, dim]).

    The ticks are consecutive and used for no map. The settings under negotiation bound what is sent as
    they do for anchors: a student gets no more than any other peer.

    Args:
        agent: The teacher.
        ticks: How many, K.
        noise_key: Secret of the teacher's noise, see `agents.protocol.privacy`.

    Raises:
        RuntimeError: The teacher has published nothing.
    """
    first, config = agent.ticks.distill_start, agent.spec.negotiation
    wanted = range(first, first + ticks)
    known, camera = agent.known_model(), agent.public_camera
    if camera is None:
        core = agent.encode_core(wanted)
    else:
        core = known.basis.core(camera.encode(known.model, wanted, agent.on_progress))
    sent = protect(core, wanted, known.snapshot.peer_info.checkpoint, config, noise_key)
    return first, in_precision(sent, config.precision)


def _check_ticks(agent: "Agent", first: int, count: int) -> None:
    plan = agent.ticks
    if first != plan.distill_start or agent.spec.train_offset:
        raise ValueError(
            f"distillation and training of {agent.spec.name} start at tick {plan.distill_start}, where no "
            f"map is fitted or scored, not at {first} and {plan.train_start}"
        )
    if count > agent.trainer.buffer_ticks:
        raise ValueError(
            f"{count} ticks to distill from are more than the {agent.trainer.buffer_ticks} of the "
            "replay buffer: lower distillation.ticks or raise training.replay_ticks"
        )


def _row_encoder(agent: "Agent", ticks: np.ndarray) -> Callable[[np.ndarray], Tensor]:
    """Return a function that encodes some of these ticks with a gradient: rows int64 [N] -> [N, D]."""
    recorder, buffer = agent.recorder, agent.trainer.replay_buffer
    if (camera := agent.public_camera) is not None:
        recorder, buffer = camera.recorder, camera.record(int(ticks[0]), len(ticks))

    def encode(rows: np.ndarray) -> Tensor:
        frames = torch.from_numpy(buffer.read(ticks[rows]))
        return encode_with(agent.model, frames, recorder.sensor_data(ticks[rows]))

    return encode

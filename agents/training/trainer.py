"""The training loop of one agent: replay buffer, optimizer, schedule, online steps."""

import math
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.models.world_model import WorldModel, loss_with
from agents.training.adamw import AdamW
from agents.training.checkpoint import load_optimizer
from agents.training.loss_curve import LossCurve
from agents.training.settings import TrainingConfig
from env.frame_storage import FrameStorage
from env.recording import Recorder, ReplayBuffer

CHUNK = 256  # ticks recorded between two calls of `stop`


class TrainingError(RuntimeError):
    """Training cannot continue; the message names the setting to change."""


class Trainer:
    """Trains one world model on frames of one camera.

    The segments of step s come from a generator seeded by (seed, s), and the replay buffer holds the same
    ticks at step s in every process, so that a resumed run takes the same steps as an uninterrupted one.

    Attributes:
        replay_buffer: The recorded ticks that segments are drawn from.
        buffer_ticks: Its capacity in ticks; with several views a tick, the number of frames stays the same.
        step: Optimizer steps done.
        steps_replaced_by_distillation: Steps of the schedule that count as done after distillation.
        steps_this_process: Optimizer steps since the process started: fewer than ``step`` after a resume.
        losses: Losses, one a step.
        loss_curve: The same in a bounded number of points.
        record_seconds: Time spent recording.
        train_seconds: Time spent in optimizer steps.
        trained_before: First tick that no training with other settings read before a resume; 0: none.
        saved: Optimizer state to restore, as named tensors of `checkpoint.optimizer_tensors`.
    """

    def __init__(
        self, model: WorldModel, recorder: Recorder, start: int, config: TrainingConfig,
        seed: tuple[int, ...], stop: int | None = None, storage: FrameStorage | None = None,
    ) -> None:  # fmt: skip
        """Start at step 0 with an empty replay buffer.

        Args:
            model: The world model to train.
            recorder: Renders its frames.
            start: First tick that it may train on.
            config: How long and how fast.
            seed: Seed of the order of its data.
            stop: First tick that it must not record; None: ticks never end.
            storage: That of the replay buffer of an earlier trainer of these settings, which ends with this.

        Raises:
            OSError: The replay buffer is to be kept in a file, and the disk has no room.
        """
        self.model = model
        self.recorder = recorder
        self.views = recorder.views
        self.buffer_ticks = config.replay_ticks // self.views
        self.replay_buffer = ReplayBuffer(
            recorder, start, self.buffer_ticks, config.replay_storage if storage is None else storage
        )
        self.start = start
        self.stop = stop
        self.trained_before = 0
        self.config = config
        self.seed = seed
        self.step = 0
        self.steps_replaced_by_distillation = 0
        self.steps_this_process = 0
        self.losses: list[float] = []
        self.loss_curve = LossCurve()
        self.record_seconds = 0.0
        self.train_seconds = 0.0
        self.saved: Mapping[str, Tensor] = {}

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer, built at first use."""
        optimizer = build_optimizer(self.model, self.config)
        if self.saved:
            load_optimizer(optimizer, self.saved)
        return optimizer

    @property
    def frames(self) -> int:
        """Frames read by training so far."""
        return (
            (self.step - self.steps_replaced_by_distillation)
            * self.config.segments
            * self.config.segment_ticks
            * self.views
        )

    @property
    def finished(self) -> bool:
        """Whether the schedule is complete; further steps are online training."""
        return self.step >= self.config.steps

    @property
    def ticks_advanced(self) -> int:
        """Ticks by which the replay buffer has advanced at this step; it stays at the end of the ticks."""
        online = max(0, self.step - self.config.steps)
        advanced = (self.step - online) * self.config.new_ticks_per_step + online * max(
            self.config.new_ticks_per_step, self.config.online_new_ticks
        )
        if self.stop is None:
            return advanced
        return min(advanced, max(0, self.stop - self.start - self.buffer_ticks))

    @property
    def trained_stop(self) -> int:
        """The first tick after all that training has read."""
        return max(self.trained_before, self.replay_buffer.ticks.stop)

    @property
    def seen_stop(self) -> int:
        """The same, or where a source of frames ends too early for it, the last tick that leaves room.

        Evaluation uses later ticks, and bodies appear at later ones still.
        """
        last = math.inf if self.stop is None else max(self.stop, self.replay_buffer.ticks.stop)
        return int(min(self.trained_stop, last))

    def record(self, stop: Callable[[], bool]) -> bool:
        """Fill the replay buffer for the current step.

        Args:
            stop: Called between chunks; recording ends early when it returns True.

        Returns:
            Whether the buffer is full.
        """
        began = time.perf_counter()
        last = self.start + self.buffer_ticks + self.ticks_advanced
        self.replay_buffer.skip_to(last - self.buffer_ticks)  # else chunks that end before it are rendered
        first = self.replay_buffer.ticks.stop
        for until in [*range(first + CHUNK, last, CHUNK), last]:
            if stop():
                return False
            self.replay_buffer.advance_to(until)
        self.record_seconds += time.perf_counter() - began
        return True

    def run(self, on_step: Callable[[], None], stop: Callable[[], bool], until: int | None = None) -> bool:
        """Train up to a step.

        Args:
            on_step: Called after every step.
            stop: Called before every step; training ends early when it returns True.
            until: Step to train to; the end of the schedule by default.

        Returns:
            Whether that step was reached.

        Raises:
            TrainingError: The loss is not finite.
        """
        self.model.train()
        until = self.config.steps if until is None else until
        while self.step < until:
            if stop() or not self.record(stop):
                return False
            began = time.perf_counter()
            loss = self._update()
            self.train_seconds += time.perf_counter() - began
            self.step += 1
            self.steps_this_process += 1
            self.losses.append(loss)
            self.loss_curve.add(loss)
            on_step()
        return True

    def batch_ticks(self, step: int) -> np.ndarray:
        """Return the ticks of the batch of a step, int64 [N, T]; the replay buffer has not advanced since."""
        return self._draw(step)[0]

    def _draw(self, step: int) -> tuple[np.ndarray, np.random.Generator]:
        """Return the ticks of a step, and the generator that draws what else the step needs."""
        rng = np.random.default_rng([*self.seed, step])
        return self.replay_buffer.draw(rng, self.config.segments, self.config.segment_ticks), rng

    def _update(self) -> float:
        config = self.config
        ticks, rng = self._draw(self.step)
        frames, sensor_data = (
            torch.from_numpy(self.replay_buffer.read(ticks)),
            self.recorder.sensor_data(ticks),
        )
        factor = lr_factor(self.step, config.steps, config.warmup, config.online_lr_factor)
        set_lr(self.optimizer, config.learning_rate * factor)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        loss, _ = loss_with(self.model, frames, generator, sensor_data)
        return take_step(self.model, self.optimizer, loss, config, self.step)


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a world model, or of an encoder alone, for training and distillation."""
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    multipliers = model.lr_multipliers() if isinstance(model, WorldModel) else {}
    return AdamW(
        parameter_groups(model, multipliers), lr=config.learning_rate,
        weight_decay=config.weight_decay, fused=fused,
    )  # fmt: skip


def take_step(
    model: WorldModel, optimizer: torch.optim.Optimizer, loss: Tensor, config: TrainingConfig, step: int
) -> float:
    """Take one optimizer step on a loss with gradient clipping, and return the loss.

    Raises:
        TrainingError: The loss is not finite; the weights do not change.
    """
    value = check_loss(loss, config, step)
    apply_gradients(model, optimizer, loss, config.grad_clip_norm)
    model.after_step()
    return value


def check_loss(loss: Tensor, config: TrainingConfig, step: int) -> float:
    """Return the value of a loss.

    Raises:
        TrainingError: It is not finite.
    """
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss became {value} at step {step}; "
            f"try a lower training.learning_rate (now {config.learning_rate:g})"
        )
    return value


def apply_gradients(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, grad_clip_norm: float
) -> None:
    """Update a model's weights by the gradients of a loss, with their total norm clipped."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), grad_clip_norm)
    optimizer.step()


def parameter_groups(model: nn.Module, multipliers: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a model's trainable parameters as optimizer groups, one for each learning-rate multiplier.

    Args:
        model: The model.
        multipliers: Multipliers by prefix of a parameter's name; 1 for all other parameters.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        found = (value for prefix, value in multipliers.items() if name.startswith(prefix))
        groups.setdefault(next(found, 1.0), []).append(parameter)
    return [{"params": parameters, "lr_multiplier": value} for value, parameters in groups.items()]


def set_lr(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every group of `parameter_groups` to a value times its multiplier."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["lr_multiplier"]


def lr_factor(step: int, steps: int, warmup: float, online: float = 0.0) -> float:
    """Return the learning rate at a step as a share of its peak: linear warm-up, cosine, then constant.

    Args:
        step: Optimizer step, from 0.
        steps: Steps of the schedule.
        warmup: Share of the schedule over which the rate rises.
        online: Share after the schedule.
    """
    if step >= steps:
        return online
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

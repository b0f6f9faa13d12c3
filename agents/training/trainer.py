"""One readable loop: read fresh frames, take a step, say how it goes, save now and then."""

import math
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.models.world_model import WorldModel, loss_with
from agents.training.checkpoint import load_optimizer
from agents.training.settings import TrainingConfig
from env.recording import Recorder, ReplayBuffer

CHUNK = 256  # ticks recorded between two looks at whether to stop


class TrainingError(RuntimeError):
    """Training cannot go on; the text names the remedy."""


class Trainer:
    """A world model in the making: its optimiser, its window on the scene, and how far it is.

    The segments of step s come from a generator keyed by (seed, s) and the window holds the same ticks at
    step s in every life, so a run that was stopped and resumed takes the same steps as one that was not.
    """

    def __init__(
        self, model: WorldModel, recorder: Recorder, start: int, config: TrainingConfig, seed: tuple[int, ...]
    ) -> None:
        """Start at step 0; nothing is recorded yet.

        Args:
            model: What learns.
            recorder: The camera that it learns from.
            start: First tick that it may train on.
            config: How long and how fast.
            seed: Words that the order of its data follows from.
        """
        self.model = model
        self.recorder = recorder
        self.views = recorder.views
        # ticks: whoever looks often remembers as many frames as the others
        self.buffer_ticks = config.replay_ticks // self.views
        self.replay_buffer = ReplayBuffer(recorder, start, self.buffer_ticks)
        self.start = start
        self.config = config
        self.seed = seed
        self.step = 0
        self.steps_replaced_by_distillation = 0  # steps of a course that a lesson stood in for
        self.steps_this_process = 0  # steps in this life: fewer than `step` after a resume
        self.losses: list[float] = []  # one a step
        self.record_seconds = 0.0
        self.train_seconds = 0.0
        self.saved: Mapping[str, Tensor] = {}  # what the optimiser of a former life left

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """Made when it is first needed: torch loads its compiler then, for more than a second."""
        made = build_optimizer(self.model, self.config)
        if self.saved:
            load_optimizer(made, self.saved)
        return made

    @property
    def frames(self) -> int:
        """Frames that training has read so far."""
        return (
            (self.step - self.steps_replaced_by_distillation)
            * self.config.segments
            * self.config.segment_ticks
            * self.views
        )

    @property
    def finished(self) -> bool:
        """Whether the course is over; what follows is learning on."""
        return self.step >= self.config.steps

    @property
    def ticks_advanced(self) -> int:
        """Ticks by which the window has moved on at this step."""
        later = max(0, self.step - self.config.steps)
        return (self.step - later) * self.config.new_ticks_per_step + later * max(
            self.config.new_ticks_per_step, self.config.online_new_ticks
        )

    def record(self, stop: Callable[[], bool]) -> bool:
        """Fill the window as this step needs it, until done or asked to stop; return whether it is done."""
        began = time.perf_counter()
        last = self.start + self.buffer_ticks + self.ticks_advanced
        first = max(self.replay_buffer.ticks.stop, last - self.buffer_ticks)
        for until in [*range(first + CHUNK, last, CHUNK), last]:
            if stop():
                return False
            self.replay_buffer.advance_to(until)
        self.record_seconds += time.perf_counter() - began
        return True

    def run(self, on_step: Callable[[], None], stop: Callable[[], bool], until: int | None = None) -> bool:
        """Train to a step, by default the course's last, or until asked to stop; return if it is there.

        Raises:
            TrainingError: The loss is no number any more.
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
            on_step()
        return True

    def _update(self) -> float:
        config = self.config
        rng = np.random.default_rng([*self.seed, self.step])
        ticks = self.replay_buffer.draw(rng, config.segments, config.segment_ticks)  # [N, T]
        frames, senses = torch.from_numpy(self.replay_buffer.read(ticks)), self.recorder.sensor_data(ticks)
        now = config.learning_rate * lr_factor(
            self.step, config.steps, config.warmup, config.online_lr_factor
        )
        set_lr(self.optimizer, now)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        loss, _ = loss_with(self.model, frames, generator, senses)
        return take_step(self.model, self.optimizer, loss, config, self.step)


def build_optimizer(model: WorldModel, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return what moves a model's weights, in a course as in a lesson."""
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(
        parameter_groups(model, model.lr_multipliers()), lr=config.learning_rate,
        weight_decay=config.weight_decay, fused=fused,
    )  # fmt: skip


def take_step(
    model: WorldModel, optimiser: torch.optim.Optimizer, loss: Tensor, config: TrainingConfig, step: int
) -> float:
    """Move a model's weights against the gradient of a loss, which is clipped; return the loss.

    Raises:
        TrainingError: The loss is no number any more; the weights are left as they are.
    """
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss became {value} at step {step}; "
            f"try a lower training.learning_rate (now {config.learning_rate:g})"
        )
    apply_gradients(model, optimiser, loss, config.grad_clip_norm)
    model.after_step()
    return value


def apply_gradients(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, grad_clip_norm: float
) -> None:
    """Update a model's weights by the gradients of a loss, with their total norm clipped."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), grad_clip_norm)
    optimizer.step()


def parameter_groups(model: nn.Module, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a model's parameters by their share of the learning rate, for an optimiser to walk through.

    Args:
        model: Whose parameters.
        shares: By the beginning of a parameter's name; the others have all of it.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        share = next((share for start, share in shares.items() if name.startswith(start)), 1.0)
        groups.setdefault(share, []).append(parameter)
    return [{"params": parameters, "share": share} for share, parameters in groups.items()]


def set_lr(optimiser: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of each group that `parameter_groups` made to its share of a value."""
    for group in optimiser.param_groups:
        group["lr"] = value * group["share"]


def lr_factor(step: int, steps: int, warmup: float, afterwards: float = 0.0) -> float:
    """Return the rate at a step as a share of its peak: a linear rise, half a cosine, then a plain."""
    if step >= steps:
        return afterwards
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

"""Training of an agent until its loss is flat, for baselines that learn more slowly than the JEPA.

After a warm-up the learning rate stays at its peak, in blocks of steps, until a block lowers the mean loss by
less than a share of its whole fall so far; then the rate falls to zero by a cosine. The schedule of a run
would end at a number of steps that was chosen for another loss.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from agents.agent import Agent
from agents.models.world_model import loss_with
from agents.training.trainer import build_optimizer, set_lr, take_step


@dataclass(frozen=True)
class FlatSchedule:
    """When training ends."""

    block: int = 150  # steps whose mean loss is compared with that of the steps before
    tolerance: float = 0.01  # fall of a block, as a share of the whole fall, below which the loss is flat
    max_steps: int = 1800  # at the peak rate; then the rate falls, whether the loss is flat or not
    decay: int = 150  # steps over which the rate falls to zero

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for a schedule that cannot end."""
        if min(self.block, self.decay) < 1 or self.max_steps < 3 * self.block:
            raise ValueError(
                f"flat.block={self.block} and flat.decay={self.decay} must be at least 1, and "
                f"flat.max_steps={self.max_steps} at least three blocks"
            )
        if not 0 < self.tolerance < 1:
            raise ValueError(f"flat.tolerance={self.tolerance} must lie between 0 and 1")


def is_flat(losses: Sequence[float], schedule: FlatSchedule) -> bool:
    """Return whether the last block of losses hardly lies below the block before it; False before three.

    Args:
        losses: Loss of every step.
        schedule: The schedule.
    """
    block = schedule.block
    if len(losses) < 3 * block or len(losses) % block:
        return False
    first, before, last = (float(np.mean(part)) for part in (
        losses[:block], losses[-2 * block : -block], losses[-block:]
    ))  # fmt: skip
    return before - last < schedule.tolerance * (first - last) or last >= first


def train_until_flat(
    agent: Agent, schedule: FlatSchedule, on_step: Callable[[int], None]
) -> tuple[int, bool]:
    """Train an agent until its loss is flat; its own schedule gives the peak, the warm-up and the batches.

    Args:
        agent: An untrained agent.
        schedule: When training ends.
        on_step: Called with the number of steps after each of them.

    Returns:
        (number of steps, whether the loss was flat before the rate fell).

    Raises:
        TrainingError: The loss is not finite.
    """
    agent.train(until=0)  # records and calibrates
    config, trainer = agent.spec.training, agent.trainer
    optimizer, rise = build_optimizer(agent.model, config), max(1, round(config.warmup * config.steps))
    losses: list[float] = []
    flat_at: int | None = None
    while flat_at is None or len(losses) < flat_at + schedule.decay:
        step = len(losses)
        falling = 0.0 if flat_at is None else (step - flat_at) / schedule.decay
        factor = min(1.0, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * falling))
        set_lr(optimizer, config.learning_rate * factor)
        rng = np.random.default_rng([*trainer.seed, step])
        ticks = trainer.replay_buffer.draw(rng, config.segments, config.segment_ticks)
        frames = torch.from_numpy(trainer.replay_buffer.read(ticks))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        agent.model.train()
        loss, _ = loss_with(agent.model, frames, generator, trainer.recorder.sensor_data(ticks))
        losses.append(take_step(agent.model, optimizer, loss, config, step))
        on_step(len(losses))
        if flat_at is None and (is_flat(losses, schedule) or len(losses) >= schedule.max_steps):
            flat_at = len(losses)
    return len(losses), is_flat(losses[:flat_at], schedule)

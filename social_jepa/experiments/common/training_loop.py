"""The loop that experiments train with: batches keyed by (seed, step), one rate schedule, counted FLOPs."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from agents.training.trainer import TrainingError, lr_factor, parameter_groups, set_lr
from social_jepa.experiments.framework.experiment import Log

GRAD_CLIP_NORM = 5.0  # largest norm of the gradient
Result = TypeVar("Result")
PROGRESS_MESSAGES = 10  # times that a training says how far it is

# One batch: given a generator of its own, the loss and its named parts.
Batch = Callable[[np.random.Generator], tuple[Tensor, Mapping[str, float]]]


def fit_model(
    model: nn.Module, batch: Batch, steps: int, learning_rate: float, seed: Sequence[int], log: Log,
    *, warmup: float = 0.1, weight_decay: float = 1e-4, lr_multipliers: Mapping[str, float] | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> tuple[dict[str, list[float]], float]:  # fmt: skip
    """Train a model in place with AdamW and a cosine schedule.

    Args:
        model: What learns.
        batch: Draws a batch from a generator and returns the loss and its parts.
        steps: Optimiser steps.
        learning_rate: Peak of the rate.
        seed: Words that the order of the data follows from.
        log: Receives progress messages.
        warmup: Share of the steps over which the rate rises.
        weight_decay: Of AdamW.
        lr_multipliers: Factors of the rate by prefix of a parameter's name, for instance {"encoder.": 0.3}.
        after_step: Called after each step, for instance to move a target network.

    Returns:
        (the named parts at every step, counted training FLOPs: one step's, times the steps).

    Raises:
        TrainingError: The loss is no number any more.
    """
    model.train()
    optimiser = torch.optim.AdamW(
        parameter_groups(model, lr_multipliers or {}), weight_decay=weight_decay, fused=True
    )
    curves: dict[str, list[float]] = {}
    flops = 0.0
    for step in range(steps):
        set_lr(optimiser, learning_rate * lr_factor(step, steps, warmup))
        update = partial(_update, model, batch, optimiser, [*seed, step])
        parts, once = count_flops(update) if step == 0 else (update(), 0.0)
        flops += once * steps
        after_step()
        for name, value in parts.items():
            curves.setdefault(name, []).append(value)
        _tell(log, step + 1, steps, parts)
    model.eval()
    return curves, flops


def _tell(say: Log, done: int, steps: int, parts: Mapping[str, float]) -> None:
    if done % max(1, steps // PROGRESS_MESSAGES) == 0:
        say(f"step {done} of {steps}: " + ", ".join(f"{name} {value:.4f}" for name, value in parts.items()))


def _update(
    model: nn.Module, batch: Batch, optimiser: torch.optim.Optimizer, words: Sequence[int]
) -> Mapping[str, float]:
    loss, parts = batch(np.random.default_rng(list(words)))
    for name, value in {**parts, "the loss": float(loss.detach())}.items():
        if not math.isfinite(value):
            raise TrainingError(f"{name} became {value} at step {words[-1]}; try a lower learning_rate")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP_NORM)
    optimiser.step()
    return parts


def count_flops(work: Callable[[], Result]) -> tuple[Result, float]:
    """Do some work; return what it gave, and the operations of its matrix products and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode  # loads much, and one step alone needs it

    with FlopCounterMode(display=False) as counter:
        result = work()
    return result, float(counter.get_total_flops())

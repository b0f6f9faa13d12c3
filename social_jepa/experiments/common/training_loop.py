"""Training loop of experiments: batches seeded by (seed, step), a learning-rate schedule, counted FLOPs."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from agents.training.trainer import TrainingError, apply_gradients, lr_factor, parameter_groups, set_lr
from social_jepa.experiments.framework.experiment import Log

GRAD_CLIP_NORM = 5.0  # largest norm of the gradient
PROGRESS_MESSAGES = 10  # logged in one training run
Result = TypeVar("Result")

# Draws one batch from a generator; returns the loss and its named terms.
Batch = Callable[[np.random.Generator], tuple[Tensor, Mapping[str, float]]]


def fit_model(
    model: nn.Module, batch: Batch, steps: int, learning_rate: float, seed: Sequence[int], log: Log,
    *, warmup: float = 0.1, weight_decay: float = 1e-4, lr_multipliers: Mapping[str, float] | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> tuple[dict[str, list[float]], float]:  # fmt: skip
    """Train a model in place with AdamW, a linear warmup and a cosine schedule.

    Args:
        model: The model.
        batch: Draws a batch from a generator and returns the loss and its named terms.
        steps: Optimizer steps.
        learning_rate: Peak learning rate.
        seed: Words of the seed of the batches.
        log: Receives progress messages.
        warmup: Share of the steps over which the learning rate rises.
        weight_decay: Of AdamW.
        lr_multipliers: Factors of the learning rate by prefix of a parameter's name: {"encoder.": 0.3}.
        after_step: Called after each step, for instance to update an EMA.

    Returns:
        (terms of the loss at every step by name, counted training FLOPs: those of one step, times the steps).

    Raises:
        TrainingError: The loss or one of its terms is not finite.
    """
    model.train()
    groups = parameter_groups(model, lr_multipliers or {})
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)
    flops, curves = 0.0, dict[str, list[float]]()
    for step in range(steps):
        set_lr(optimizer, learning_rate * lr_factor(step, steps, warmup))
        take_step = partial(_take_step, model, batch, optimizer, [*seed, step])
        terms, step_flops = count_flops(take_step) if step == 0 else (take_step(), 0.0)
        flops += step_flops * steps
        after_step()
        for name, value in terms.items():
            curves.setdefault(name, []).append(value)
        _log_progress(log, step + 1, steps, terms)
    model.eval()
    return curves, flops


def _log_progress(log: Log, step: int, steps: int, terms: Mapping[str, float]) -> None:
    if step % max(1, steps // PROGRESS_MESSAGES) == 0:
        values = ", ".join(f"{name} {value:.4f}" for name, value in terms.items())
        log(f"step {step} of {steps}: {values}")


def _take_step(
    model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, seed: Sequence[int]
) -> Mapping[str, float]:
    loss, terms = batch(np.random.default_rng(list(seed)))
    for name, value in {**terms, "the loss": float(loss.detach())}.items():
        if not math.isfinite(value):
            raise TrainingError(f"{name} became {value} at step {seed[-1]}; try a lower learning_rate")
    apply_gradients(model, optimizer, loss, GRAD_CLIP_NORM)
    return terms


def count_flops(function: Callable[[], Result]) -> tuple[Result, float]:
    """Return a function's result, and the FLOPs of its matrix products and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode  # slow to import, and needed for one step only

    with FlopCounterMode(display=False) as counter:
        result = function()
    return result, float(counter.get_total_flops())

"""The loop that experiments train with: batches keyed by (seed, step), one rate schedule, counted FLOPs."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from agents.training import TrainingError, rate
from social_jepa.experiments.experiment import Say

CLIP = 5.0  # largest norm of the gradient
TOLD = 10  # times that a training says how far it is

# One batch: given a generator of its own, the loss and its named parts.
Batch = Callable[[np.random.Generator], tuple[Tensor, Mapping[str, float]]]


def fit(
    model: nn.Module, batch: Batch, steps: int, learning_rate: float, seed: Sequence[int], say: Say,
    *, warmup: float = 0.1, weight_decay: float = 1e-4, slow: Mapping[str, float] | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> tuple[dict[str, list[float]], float]:  # fmt: skip
    """Train a model in place with AdamW and a cosine schedule.

    Args:
        model: What learns.
        batch: Draws a batch from a generator and returns the loss and its parts.
        steps: Optimiser steps.
        learning_rate: Peak of the rate.
        seed: Words that the order of the data follows from.
        say: Told how it goes.
        warmup: Share of the steps over which the rate rises.
        weight_decay: Of AdamW.
        slow: Shares of the rate by prefix of a parameter's name, for instance {"encoder.": 0.3}.
        after_step: Called after each step, for instance to move a target network.

    Returns:
        (the named parts at every step, counted training FLOPs: one step's, times the steps).

    Raises:
        TrainingError: The loss is no number any more.
    """
    model.train()
    optimiser = _optimiser(model, weight_decay, slow or {})
    curves: dict[str, list[float]] = {}
    flops = 0.0
    for step in range(steps):
        _set_rate(optimiser, learning_rate * rate(step, steps, warmup))
        update = partial(_update, model, batch, optimiser, [*seed, step])
        parts, counted = _counted(update) if step == 0 else (update(), 0.0)
        flops += counted * steps
        after_step()
        for name, value in parts.items():
            curves.setdefault(name, []).append(value)
        _tell(say, step + 1, steps, parts)
    model.eval()
    return curves, flops


def _optimiser(model: nn.Module, weight_decay: float, slow: Mapping[str, float]) -> torch.optim.Optimizer:
    groups = [{"params": found, "share": share} for share, found in _groups(model, slow).items()]
    return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)


def _set_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["share"] * value


def _tell(say: Say, done: int, steps: int, parts: Mapping[str, float]) -> None:
    if done % max(1, steps // TOLD) == 0:
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
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimiser.step()
    return parts


def _counted(work: Callable[[], Mapping[str, float]]) -> tuple[Mapping[str, float], float]:
    from torch.utils.flop_counter import FlopCounterMode  # loads much, and one step alone needs it

    with FlopCounterMode(display=False) as counter:
        parts = work()
    return parts, float(counter.get_total_flops())


def _groups(model: nn.Module, slow: Mapping[str, float]) -> dict[float, list[nn.Parameter]]:
    found: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            share = next((share for prefix, share in slow.items() if name.startswith(prefix)), 1.0)
            found.setdefault(share, []).append(parameter)
    return found


def seeded(words: Sequence[int], make: Callable[[], nn.Module]) -> nn.Module:
    """Return what make builds, its first weights following from the words alone."""
    word = int(np.random.SeedSequence(list(words)).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(word)
        return make()

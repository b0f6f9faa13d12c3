"""Train seq-JEPA and its baselines on one pool of objects, with equal numbers of FLOPs."""

import copy
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from agents.common.streams import seeded
from agents.models.baselines import PairBaseline
from agents.models.seq_jepa import SeqJepa
from agents.models.settings import BASELINES, BaselineConfig, EncoderConfig, SeqModelConfig
from env.objects.dataset import ObjectViews
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.invariance_equivariance.data import sample_sequences
from social_jepa.experiments.invariance_equivariance.settings import (
    CONTEXT_VIEWS,
    NO_ACTIONS,
    InvarianceStream,
    MethodSettings,
    Settings,
)

CALIBRATION_VIEWS = 1024  # that the mean frame and the spread are computed from

Model = SeqJepa | PairBaseline
Batch = tuple[Tensor, Tensor]  # two views of each object, or sequences and their actions


def build_model(condition: str, settings: Settings, seed: tuple[int, ...], covariance: float = 0.0) -> Model:
    """Return the untrained model of a method; equal seeds give all methods equal encoders.

    All encoders end in a batch normalization. The paper's, a ResNet, has them throughout, and without any the
    latents of seq-JEPA soon share one direction, which makes every cosine similarity large and stops
    learning.

    Args:
        condition: seq-jepa-1, -2, -3, seq-jepa-3-no-actions, untrained (seq-JEPA), simclr, byol or vicreg.
        settings: Sizes of the networks.
        seed: Seed of the initial weights.
        covariance: Weight of VICReg's covariance term in seq-JEPA.
    """
    encoder = EncoderConfig(settings.dim, settings.width, settings.hidden, "fp32", batch_norm=True)
    if condition in BASELINES:
        config = BaselineConfig(encoder=encoder, hidden=4 * settings.dim, projection=settings.dim)
        return seeded(seed, lambda: PairBaseline(condition, config, settings.frame_size))
    seq_config = SeqModelConfig(
        encoder=encoder, action_dim=settings.dim // 4, predictor_hidden=4 * settings.dim,
        action_conditioning=condition != NO_ACTIONS, temporal_weight=0.0,
        covariance=covariance,
    )  # fmt: skip
    return seeded(seed, lambda: SeqJepa(seq_config, settings.frame_size, 4))


def build_calibrated(
    condition: str, pool: ObjectViews, settings: Settings, seed: int, covariance: float = 0.0
) -> Model:
    """Return the untrained model of a method, with the mean frame and the spread of the pool."""
    model = build_model(condition, settings, (seed, InvarianceStream.WEIGHTS), covariance).eval()
    flat = pool.frames.reshape(-1, *pool.frames.shape[2:])
    model.calibrate(torch.from_numpy(flat[:: max(1, len(flat) // CALIBRATION_VIEWS)]))
    return model


def sample_batch(condition: str, pool: ObjectViews, settings: Settings, rng: np.random.Generator) -> Batch:
    """Return one batch of a method: pairs of views, or sequences with their actions."""
    views = 1 + CONTEXT_VIEWS.get(condition, 1)
    count = min(settings.views_per_step // views, len(pool.frames))
    frames, actions = sample_sequences(pool, rng, count, views)
    tensor = torch.from_numpy(frames)
    return (tensor[:, 0], tensor[:, 1]) if condition in BASELINES else (tensor, torch.from_numpy(actions))


def step_flops(model: Model, batch: Batch) -> float:
    """Return the FLOPs of one step, counted on a copy, so that the model's statistics do not change."""
    trial = copy.deepcopy(model).train()
    with FlopCounterMode(display=False) as counter:
        trial.loss(*batch, torch.Generator())[0].backward()  # no loss here draws from it
    return float(counter.get_total_flops())


def train(
    condition: str, pool: ObjectViews, settings: Settings, method: MethodSettings, seed: int, log: Log
) -> tuple[Model, Mapping[str, list[float]], float, int]:
    """Train one method on a pool.

    Returns:
        (the model, its loss terms by step, counted training FLOPs, number of steps).
    """
    model = build_calibrated(condition, pool, settings, seed, method.covariance)
    first = sample_batch(condition, pool, settings, InvarianceStream.BATCHES.rng(seed, 0))
    cost = step_flops(model, first)
    steps = max(2, round(1e12 * settings.teraflops / cost))

    def batch_loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        return model.loss(*sample_batch(condition, pool, settings, rng), torch.Generator())

    curves, flops = fit_model(
        model, batch_loss, steps, method.learning_rate, (seed, InvarianceStream.BATCHES), log,
        weight_decay=method.weight_decay, after_step=ema_updater(model, method.momentum, steps),
    )  # fmt: skip
    return model, curves, flops, steps


def ema_updater(model: Model, momentum: float, steps: int) -> Callable[[], None]:
    """Return a function that updates the target network after a step, with momentum increasing to 1.

    The schedule is BYOL's (arXiv:2006.07733): a cosine from the initial momentum.
    """
    done = 0

    def update() -> None:
        nonlocal done
        share = 0.5 * (1 + float(np.cos(np.pi * min(done, steps) / steps)))
        model.update_ema(1 - (1 - momentum) * share)
        done += 1

    return update

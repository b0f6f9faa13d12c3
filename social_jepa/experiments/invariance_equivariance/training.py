"""Train seq-JEPA and its baselines on one pool of objects, with equal numbers of FLOPs."""

import copy
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from agents.common.streams import seeded
from agents.models.baselines import PairBaseline
from agents.models.encoder import ConvEncoder
from agents.models.losses import covariance_loss
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
AnyModule = TypeVar("AnyModule", bound=nn.Module)


def build_model(condition: str, settings: Settings, seed: tuple[int, ...]) -> Model:
    """Return the untrained model of a method; equal seeds give all methods equal encoders.

    Args:
        condition: seq-jepa-1, -2, -3, seq-jepa-3-no-actions, untrained (seq-JEPA), simclr, byol or vicreg.
        settings: Sizes of the networks.
        seed: Seed of the initial weights.
    """
    encoder = EncoderConfig(dim=settings.dim, width=settings.width, hidden=settings.hidden, precision="fp32")
    if condition in BASELINES:
        config = BaselineConfig(encoder=encoder, hidden=4 * settings.dim, projection=settings.dim)
        model = seeded(seed, lambda: PairBaseline(condition, config, settings.frame_size))
        return add_batch_norm(model)
    seq_config = SeqModelConfig(
        encoder=encoder, action_dim=settings.dim // 4, predictor_hidden=4 * settings.dim,
        action_conditioning=condition != NO_ACTIONS,
    )  # fmt: skip
    return add_batch_norm(seeded(seed, lambda: SeqJepa(seq_config, settings.frame_size, 4)))


def add_batch_norm(model: AnyModule) -> AnyModule:
    """Append a batch normalization without parameters to the encoders of a model.

    The encoder of the paper, a ResNet, has batch normalization throughout; this encoder has none, and without
    it the latents of seq-JEPA soon share one direction, which makes every cosine similarity large and stops
    learning.
    """
    for network in model.modules():
        if isinstance(network, ConvEncoder):
            network.append(nn.BatchNorm1d(int(cast(nn.Linear, network[-1]).out_features), affine=False))
    return model


def build_calibrated(condition: str, pool: ObjectViews, settings: Settings, seed: int) -> Model:
    """Return the untrained model of a method, with the mean frame and the spread of the pool."""
    model = build_model(condition, settings, (seed, InvarianceStream.WEIGHTS)).eval()
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


def step_loss(model: Model, batch: Batch, covariance: float) -> tuple[Tensor, Mapping[str, float]]:
    """Return the loss of a batch and its named terms, for seq-JEPA with the covariance term if weighted.

    The term is VICReg's (arXiv:2105.04906, eq. 4), on the latents of the context views.

    Args:
        model: In training mode.
        batch: As sample_batch returns it.
        covariance: Weight of the term.
    """
    generator = torch.Generator()  # no loss here draws from it
    if not (covariance and isinstance(model, SeqJepa)):
        return model.loss(*batch, generator)
    latents: list[Tensor] = []
    hook = model.encoder.register_forward_hook(lambda _module, _inputs, output: latents.append(output))
    loss, terms = model.loss(*batch, generator)
    hook.remove()
    term = covariance_loss(latents[0].flatten(0, -2))
    return loss + covariance * term, {**terms, "covariance": term.item()}


def step_flops(model: Model, batch: Batch, covariance: float = 0.0) -> float:
    """Return the FLOPs of one step, counted on a copy, so that the model's statistics do not change."""
    trial = copy.deepcopy(model).train()
    with FlopCounterMode(display=False) as counter:
        step_loss(trial, batch, covariance)[0].backward()
    return float(counter.get_total_flops())


def train(
    condition: str, pool: ObjectViews, settings: Settings, method: MethodSettings, seed: int, log: Log
) -> tuple[Model, Mapping[str, list[float]], float, int]:
    """Train one method on a pool.

    Returns:
        (the model, its loss terms by step, counted training FLOPs, number of steps).
    """
    model = build_calibrated(condition, pool, settings, seed)
    first = sample_batch(condition, pool, settings, InvarianceStream.BATCHES.rng(seed, 0))
    cost = step_flops(model, first, method.covariance)
    steps = max(2, round(1e12 * settings.teraflops / cost))

    def batch_loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        return step_loss(model, sample_batch(condition, pool, settings, rng), method.covariance)

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

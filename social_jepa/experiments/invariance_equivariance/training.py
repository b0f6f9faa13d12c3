"""Train seq-JEPA and its rivals on one pool of objects, with as many operations each."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from agents.models.baselines import PairBaseline
from agents.models.encoder import ConvEncoder
from agents.models.losses import covariance_loss
from agents.models.seq_jepa import SeqJepa
from agents.models.settings import BASELINES, BaselineConfig, EncoderConfig, SeqModelConfig
from agents.streams import seeded
from env.objects.dataset import ObjectViews
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.invariance_equivariance.data import sequences

WEIGHTS, ORDER = 11, 12  # words: the same first encoder and the same order of objects for every method
LENGTHS = {"seq-jepa-1": 1, "seq-jepa-2": 2, "seq-jepa-3": 3, "seq-jepa-3-no-actions": 3}
CALIBRATION = 1024  # views that mean picture and spread are taken from

Model = SeqJepa | PairBaseline
Closed = TypeVar("Closed", bound=nn.Module)


@dataclass(frozen=True)
class Recipe:
    """How one method learns; its settings were searched on other seeds than those that are scored."""

    learning_rate: float
    momentum: float = 0.99  # of the target network at the first step; it rises to 1 along a cosine
    weight_decay: float = 1e-3
    covariance: float = 0.0  # weight of VICReg's covariance term on the codes that seq-JEPA reads


MAIN, WITHOUT = "seq-jepa-3", "seq-jepa-3-no-actions"
SEQUENCES = ("seq-jepa-1", "seq-jepa-2", MAIN, WITHOUT)
PARTS = (*SEQUENCES, *BASELINES, "untrained", "pixel-pca")
RECIPES = {
    **dict.fromkeys(SEQUENCES, Recipe(2e-3, 0.97, covariance=0.02)),
    "simclr": Recipe(1e-3),
    "byol": Recipe(1e-3, 0.97),
    "vicreg": Recipe(1e-3),
}


@dataclass(frozen=True)
class Sizes:
    """What all methods have in common."""

    frame_size: int
    dim: int
    width: int
    hidden: int
    frames: int  # views of a step
    teraflops: float  # of a training


def build(part: str, sizes: Sizes, words: tuple[int, ...]) -> Model:
    """Return a method's model before training; equal words give all methods equal encoders.

    Args:
        part: seq-jepa-1, -2, -3, seq-jepa-3-no-actions, untrained (seq-JEPA's), simclr, byol or vicreg.
        sizes: Of the networks.
        words: What the first weights follow from.
    """
    encoder = EncoderConfig(dim=sizes.dim, width=sizes.width, hidden=sizes.hidden, precision="fp32")
    if part in BASELINES:
        config = BaselineConfig(encoder=encoder, hidden=4 * sizes.dim, projection=sizes.dim)
        made = seeded(words, lambda: PairBaseline(part, config, sizes.frame_size))
        return closed(made)
    acts = part != "seq-jepa-3-no-actions"
    seq = SeqModelConfig(
        encoder=encoder, action_dim=sizes.dim // 4, predictor_hidden=4 * sizes.dim, action_conditioning=acts
    )
    return closed(seeded(words, lambda: SeqJepa(seq, sizes.frame_size, 4)))


def closed(model: Closed) -> Closed:
    """Close a model's encoders with a batch normalisation that has no parameters.

    The paper's encoder, a ResNet, normalises over the batch all along; ours does so nowhere, and without it
    the codes of seq-JEPA soon share one direction, which makes every cosine large and ends learning.
    """
    for network in model.modules():
        if isinstance(network, ConvEncoder):
            network.append(nn.BatchNorm1d(int(cast(nn.Linear, network[-1]).out_features), affine=False))
    return model


def prepared(part: str, pool: ObjectViews, sizes: Sizes, seed: int) -> Model:
    """Return a method's model with first weights, and with mean picture and spread from the pool."""
    model = build(part, sizes, (seed, WEIGHTS)).eval()
    flat = pool.frames.reshape(-1, *pool.frames.shape[2:])
    model.calibrate(torch.from_numpy(flat[:: max(1, len(flat) // CALIBRATION)]))
    return model


def draw(part: str, pool: ObjectViews, sizes: Sizes, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return one batch as the method reads it: pairs of views, or sequences with their actions."""
    views = 1 + LENGTHS.get(part, 1)
    frames, actions = sequences(pool, rng, min(sizes.frames // views, len(pool.frames)), views)
    seen = torch.from_numpy(frames)
    return (seen[:, 0], seen[:, 1]) if part in BASELINES else (seen, torch.from_numpy(actions))


def step_loss(
    model: Model, batch: tuple[Tensor, Tensor], covariance: float
) -> tuple[Tensor, Mapping[str, float]]:
    """Return the method's loss of a batch and its parts, for seq-JEPA with the covariance term if weighted.

    The term is VICReg's (arXiv:2105.04906, eq. 4), on the codes of the context views.

    Args:
        model: In training.
        batch: What draw returned.
        covariance: Weight of the term.
    """
    generator = torch.Generator()  # no loss here draws from it
    if not (covariance and isinstance(model, SeqJepa)):
        return model.loss(*batch, generator)
    codes: list[Tensor] = []
    hook = model.encoder.register_forward_hook(lambda _module, _inputs, made: codes.append(made))
    loss, parts = model.loss(*batch, generator)
    hook.remove()
    repeats = covariance_loss(codes[0].flatten(0, -2))
    return loss + covariance * repeats, {**parts, "covariance": repeats.item()}


def step_flops(model: Model, batch: tuple[Tensor, Tensor], covariance: float = 0.0) -> float:
    """Count the operations of one step on a copy, so that the model's own statistics stay as they are."""
    tried = copy.deepcopy(model).train()
    with FlopCounterMode(display=False) as counter:
        step_loss(tried, batch, covariance)[0].backward()
    return float(counter.get_total_flops())


def train(
    part: str, pool: ObjectViews, sizes: Sizes, recipe: Recipe, seed: int, say: Log
) -> tuple[Model, Mapping[str, list[float]], float, int]:
    """Train one method on a pool.

    Returns:
        (the model, its losses step by step, counted FLOPs of the training, steps).
    """
    model = prepared(part, pool, sizes, seed)
    tried = draw(part, pool, sizes, np.random.default_rng([seed, ORDER, 0]))
    cost = step_flops(model, tried, recipe.covariance)
    steps = max(2, round(1e12 * sizes.teraflops / cost))

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        return step_loss(model, draw(part, pool, sizes, rng), recipe.covariance)

    curves, flops = fit_model(
        model, batch, steps, recipe.learning_rate, (seed, ORDER), say, weight_decay=recipe.weight_decay,
        after_step=target_mover(model, recipe.momentum, steps),
    )  # fmt: skip
    return model, curves, flops, steps


def target_mover(model: Model, momentum: float, steps: int) -> Callable[[], None]:
    """Return what moves the target network after each step: ever more slowly (BYOL, arXiv:2006.07733)."""
    taken = 0

    def move() -> None:
        nonlocal taken
        share = 0.5 * (1 + float(np.cos(np.pi * min(taken, steps) / steps)))
        model.update_ema(1 - (1 - momentum) * share)
        taken += 1

    return move

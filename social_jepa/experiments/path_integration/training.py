"""Train seq-JEPA on sequences whose length every step draws anew."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.models.seq_jepa import SeqJepa
from agents.models.settings import EncoderConfig, SeqModelConfig
from agents.streams import seeded
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.invariance_equivariance.training import (
    CALIBRATION,
    closed,
    step_flops,
    step_loss,
    target_mover,
)
from social_jepa.experiments.path_integration.data import Paths

WEIGHTS, ORDER = 31, 32  # words


@dataclass(frozen=True)
class PathSizes:
    """What training needs to know."""

    frame_size: int
    dim: int
    width: int
    hidden: int
    longest: int  # context views at most; training sequences hold one view more
    frames: int  # views of a step
    steps: int
    learning_rate: float
    momentum: float  # of the target network at the first step
    covariance: float  # weight of VICReg's covariance term on the codes


def build(training: Paths, sizes: PathSizes, seed: int) -> SeqJepa:
    """Return the model before training, with mean picture and spread from the training views."""
    encoder = EncoderConfig(sizes.dim, sizes.width, sizes.hidden, precision="fp32")
    config = SeqModelConfig(encoder=encoder, action_dim=sizes.dim, predictor_hidden=4 * sizes.dim)
    action_dim = training.actions.shape[2]
    made = seeded((seed, WEIGHTS), lambda: SeqJepa(config, sizes.frame_size, action_dim))
    model = closed(made).eval()
    flat = training.frames.reshape(-1, *training.frames.shape[2:])
    model.calibrate(torch.from_numpy(flat[:: max(1, len(flat) // CALIBRATION)]))
    return model


def train(training: Paths, sizes: PathSizes, seed: int, say: Log) -> tuple[SeqJepa, float]:
    """Return a trained model and the counted FLOPs, those of each step's own length."""
    model = build(training, sizes, seed)
    rng = np.random.default_rng([seed, ORDER])
    spent = {
        length: step_flops(model, _batch(training, sizes, length, rng), sizes.covariance)
        for length in range(1, sizes.longest + 1)
    }
    total = 0.0

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        nonlocal total
        length = int(rng.integers(1, max(spent) + 1))
        total += spent[length]
        return step_loss(model, _batch(training, sizes, length, rng), sizes.covariance)

    fit_model(
        model, batch, sizes.steps, sizes.learning_rate, (seed, ORDER), say, weight_decay=1e-3,
        after_step=target_mover(model, sizes.momentum, sizes.steps),
    )  # fmt: skip
    return model, total


def _batch(training: Paths, sizes: PathSizes, length: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences of some context views and the next one, from any place in the recorded ones."""
    count = min(sizes.frames // (length + 1), len(training.frames))
    rows = rng.choice(len(training.frames), size=count, replace=False)[:, None]
    start = rng.integers(training.frames.shape[1] - length, size=(count, 1))
    views = start + np.arange(length + 1)
    frames, actions = training.frames[rows, views], training.actions[rows, views[:, :-1]]
    return torch.from_numpy(frames), torch.from_numpy(actions)

"""Train seq-JEPA on short sequences."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from agents.common.streams import seeded
from agents.models.seq_jepa import SeqJepa
from agents.models.settings import EncoderConfig, SeqModelConfig
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.invariance_equivariance.training import (
    CALIBRATION_VIEWS,
    ema_updater,
    step_flops,
)
from social_jepa.experiments.path_integration.data import ViewSequences
from social_jepa.experiments.path_integration.settings import PathStream, Settings


def build_model(training: ViewSequences, settings: Settings, seed: int) -> SeqJepa:
    """Return the untrained model, with the mean frame and the spread of the training views."""
    encoder = EncoderConfig(settings.dim, settings.width, settings.hidden, "fp32", batch_norm=True)
    config = SeqModelConfig(
        encoder=encoder, action_dim=settings.action_dim, predictor_hidden=4 * settings.dim,
        covariance=settings.covariance, temporal_weight=0.0,
    )  # fmt: skip
    action_dim = training.actions.shape[2]
    model = seeded((seed, PathStream.WEIGHTS), lambda: SeqJepa(config, settings.frame_size, action_dim))
    model.eval()
    flat = training.frames.reshape(-1, *training.frames.shape[2:])
    model.calibrate(torch.from_numpy(flat[:: max(1, len(flat) // CALIBRATION_VIEWS)]))
    return model


def train(training: ViewSequences, settings: Settings, seed: int, log: Log) -> tuple[SeqJepa, float]:
    """Return the trained model and the counted FLOPs."""
    model = build_model(training, settings, seed)
    flops = step_flops(model, _sample_batch(training, settings, PathStream.BATCHES.rng(seed)))

    def batch_loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        return model.loss(*_sample_batch(training, settings, rng), torch.Generator())

    fit_model(
        model, batch_loss, settings.steps, settings.learning_rate, (seed, PathStream.BATCHES), log,
        weight_decay=1e-3, after_step=ema_updater(model, settings.momentum, settings.steps),
    )  # fmt: skip
    return model, flops * settings.steps


def _sample_batch(
    training: ViewSequences, settings: Settings, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return sequences of the context views and the next view, from random starts in the training set."""
    length = settings.context_views
    count = min(settings.views_per_step // (length + 1), len(training.frames))
    rows = rng.choice(len(training.frames), size=count, replace=False)[:, None]
    start = rng.integers(training.frames.shape[1] - length, size=(count, 1))
    views = start + np.arange(length + 1)
    frames, actions = training.frames[rows, views], training.actions[rows, views[:, :-1]]
    return torch.from_numpy(frames), torch.from_numpy(actions)

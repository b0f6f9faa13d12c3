"""Training of further encoders, each on what functions of the core so far cannot explain.

Why: see `agents.models.stages`. An encoder is trained only where the pixels tell that something predictable
is left (`StagedCore.exhausts`), and starts with a trial: after a third of its steps, its latent is searched
for new axes, and if there is none, training ends.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from agents.common.streams import seeded
from agents.models.jepa import Jepa
from agents.models.losses import whitened_prediction_loss
from agents.models.world_model import WorldModel
from agents.training.settings import TrainingConfig
from agents.training.stage_data import StageData
from agents.training.staged_core import StagedCore
from agents.training.trainer import apply_gradients, build_optimizer, check_loss, lr_factor, set_lr
from alignment.fit import solve_ridge
from alignment.polynomials import PolynomialFeatures

logger = logging.getLogger(__name__)

TRIAL = 1 / 3  # share of a stage's steps after which it must have found a new axis
FEATURE_SHARE = 1 / 4  # functions that are removed, as a share of the ticks of a batch
RIDGE = 2e-3  # of the regression on white functions within a batch, relative to their variance


def can_have_stages(model: WorldModel) -> TypeGuard[Jepa]:
    """Return whether further encoders are trained for a model: a plain JEPA with the whitened objective."""
    return isinstance(model, Jepa) and model.config.objective == "whitened" and model.config.stages > 1


def count_encoders(model: WorldModel) -> int:
    """Return the number of encoders that a model's latent is composed of."""
    return 1 + len(model.staged.stages) if isinstance(model, Jepa) and model.staged is not None else 1


def drop_stages(model: WorldModel) -> None:
    """Leave a model its first encoder alone."""
    if isinstance(model, Jepa):
        model.compose(None)


def find_stages(
    model: Jepa, data: StageData, found: StagedCore, config: TrainingConfig, seed: Sequence[int],
    stop: Callable[[], bool],
) -> int | None:  # fmt: skip
    """Train further encoders until one finds no new axis, and compose the model's latent of all of them.

    Args:
        model: A trained model with one encoder; with no further encoder, it is left as it is.
        data: What to train and measure on.
        found: The core of its encoder; gets what further encoders find.
        config: Steps of a stage, and the rest as for the first encoder.
        seed: Seed of the initial weights and of the order of the data.
        stop: Called before every step; training ends early when it returns True, and nothing is kept.

    Returns:
        Optimizer steps taken; None when stopped.

    Raises:
        TrainingError: The loss is not finite.
    """
    steps = 0
    pixels = data.pixels() if _has_room(found, model) else None
    while pixels is not None and _has_room(found, model) and not found.exhausts(pixels):
        features = found.features(round(FEATURE_SHARE * config.segments * config.segment_ticks))
        stage = _StageTraining(model, data, config, [*seed, len(found.stages) + 1], found, features)
        for until in (max(1, round(TRIAL * config.steps_of_stage)), config.steps_of_stage):
            if not stage.run(stop, until):
                return None
            latents = data.latents(model, stage.encoder)
            new = found.find_axes(latents, features)
            if not len(new.rates):
                break
        steps += stage.step
        logger.info("a further encoder found %d new axes in %d steps", len(new.rates), stage.step)
        if not len(new.rates):
            break
        found.add(stage.encoder, latents, new)
    model.compose(found.composed())
    return steps


def _has_room(found: StagedCore, model: Jepa) -> bool:
    """Return whether the core so far could grow by another encoder."""
    return len(found.stages) + 1 < model.config.stages and len(found.rates) > 0 and not found.full


def compose_again(model: Jepa, data: StageData) -> None:
    """Solve everything but the encoders again, after the first encoder has been trained further.

    An encoder that finds no axis any more is dropped with those after it.
    """
    if model.staged is None:
        return
    found = StagedCore(data.latents(model, model.encoder))
    stages = model.staged.stages if len(found.rates) else ()  # functions of no core explain nothing
    for stage in stages:
        latents = data.latents(model, stage.encoder)
        features = found.features(len(stage.exponents))
        new = found.find_axes(latents, features)
        if not len(new.rates):
            break
        found.add(stage.encoder, latents, new)
    model.compose(found.composed())


class _StageTraining:
    """One further encoder in training.

    Attributes:
        encoder: The encoder.
        step: Optimizer steps done.
    """

    def __init__(
        self, model: Jepa, data: StageData, config: TrainingConfig, seed: Sequence[int], found: StagedCore,
        features: PolynomialFeatures,
    ) -> None:  # fmt: skip
        self.encoder = seeded(seed, model.build_encoder)
        self.step = 0
        self._model, self._data, self._config, self._seed = model, data, config, seed
        self._functions = features(found.core.trained).flatten(0, 1).float()  # [T, R]
        self._optimizer = build_optimizer(self.encoder, config)

    def run(self, stop: Callable[[], bool], until: int) -> bool:
        """Train up to a step; return False when stopped before."""
        self.encoder.train()
        while self.step < until:
            if stop():
                return False
            self._update()
            self.step += 1
        return True

    def _update(self) -> None:
        config = self._config
        factor = lr_factor(self.step, config.steps_of_stage, config.warmup)
        set_lr(self._optimizer, config.learning_rate * factor)
        rng = np.random.default_rng([*self._seed, self.step])
        rows = self._data.draw_rows(rng, config.segments, config.segment_ticks)  # [N, T]
        frames = self._data.read(self._data.trained.ravel()[rows.ravel()])
        latent = self._model.encode_by([self.encoder], frames)[0]
        functions = self._functions[torch.from_numpy(rows.ravel())].to(latent)
        rest = remove_functions(latent, functions).unflatten(0, rows.shape)
        loss = whitened_prediction_loss(rest[:, :-1], rest[:, 1:], self._model.config.ridge)
        check_loss(loss, config, self.step)
        apply_gradients(self.encoder, self._optimizer, loss, config.grad_clip_norm)


def remove_functions(latent: Tensor, functions: Tensor) -> Tensor:
    """Return what a ridge regression on a constant and functions leaves of a batch of latents, [N, D].

    Args:
        latent: [N, D].
        functions: [N, R], white over all ticks.
    """
    design = torch.cat([torch.ones_like(functions[:, :1]), functions], 1)
    return latent - design @ solve_ridge(design.T @ design, design.T @ latent, RIDGE)

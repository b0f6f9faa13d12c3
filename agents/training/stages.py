"""Training of further encoders, each on what functions of the core so far cannot explain.

Why: see `agents.models.stages`. A stage starts with a trial: after a third of its steps, its latent is
searched for new axes, and if there is none, nothing predictable is left and training ends. Everything but the
encoders is solved in closed form, so that it can be solved again when the first encoder was trained further.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from agents.common.streams import seeded
from agents.models.jepa import Jepa
from agents.models.losses import whitened_prediction_loss
from agents.models.stages import Stage, StagedLatent
from agents.models.world_model import WorldModel
from agents.training.settings import TrainingConfig
from agents.training.trainer import apply_gradients, build_optimizer, check_loss, lr_factor, set_lr
from alignment.core import find_core, predictable_axes, resort_basis
from alignment.fit import fit_ridge, solve_ridge
from alignment.independence import select_independent
from alignment.linear_map import LinearMap
from alignment.polynomials import PolynomialFeatures, fit_polynomials
from env.recording import draw_segments

logger = logging.getLogger(__name__)

TRIAL = 1 / 3  # share of a stage's steps after which it must have found a new axis
# share of an axis that may be explained: a mixture is left to the next stage, which learns it better
CLEAR = 1 / 4
# autocorrelation of a new axis, as a share of the best one's: a weaker one was learned in part
STRONG = 1 / 2
# autocorrelation of a new axis, in noise levels: less is what imperfect axes left of their factors
SIGNAL = 2.0
WIDE = 400  # functions of the core that an axis is compared with
FEATURE_SHARE = 1 / 4  # functions that are removed, as a share of the ticks of a batch
RIDGE = 2e-3  # of the regression on white functions within a batch, relative to their variance
RIDGE_PAIRS = 1.0  # of the regression on all trained ticks, see `alignment.fit.fit_ridge`


@dataclass(frozen=True)
class StageData:
    """What stages are trained and measured on.

    Attributes:
        trained: Consecutive ticks of the replay buffer.
        pairs: Later ticks that nothing was trained on, and their successors, int64 [N, 2].
        read: Returns the frames of ticks, int64 [K] -> uint8 [K, H, W, C].
    """

    trained: range
    pairs: np.ndarray
    read: Callable[[np.ndarray], Tensor]
    _pair_frames: list[Tensor] = field(default_factory=list, init=False)

    def latents(self, model: Jepa, encoder: nn.Module) -> "Latents":
        """Return the latents of one of a model's encoders."""
        encoder.eval()
        trained = _encode(model, encoder, map(self.read, _chunks(np.asarray(self.trained))))
        pairs = _encode(model, encoder, self._read_pairs())
        return Latents(trained, pairs.unflatten(0, self.pairs.shape))

    def _read_pairs(self) -> list[Tensor]:
        """Return the frames of the pairs in chunks: no replay buffer holds them; every encoder needs them.

        Not a cached_property: up to Python 3.11 it holds one lock for all instances, and reading may wait for
        another agent of this process, which then waits for that lock.
        """
        if not self._pair_frames:
            self._pair_frames.extend(map(self.read, _chunks(self.pairs.ravel())))
        return self._pair_frames


def _chunks(ticks: np.ndarray, size: int = 512) -> list[np.ndarray]:
    return [ticks[start : start + size] for start in range(0, len(ticks), size)]


@torch.no_grad()
def _encode(model: Jepa, encoder: nn.Module, frames: Iterable[Tensor]) -> Tensor:
    return torch.cat([model.encode_by([encoder], part)[0] for part in frames]).cpu()


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents, or coordinates, of the ticks of a `StageData`: [T, D] and [N, 2, D]."""

    trained: Tensor
    pairs: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "Latents":
        """Return a function of both."""
        return Latents(function(self.trained), function(self.pairs))

    def join(self, other: "Latents") -> "Latents":
        """Return the columns of both."""
        return Latents(torch.cat([self.trained, other.trained], -1), torch.cat([self.pairs, other.pairs], -1))


class StagedCore:
    """The core so far, and the stages that found it.

    Attributes:
        basis: Axes of the first encoder.
        core: Core coordinates so far.
        rates: [C], their autocorrelations on the pairs.
        stages: The stages so far.
    """

    def __init__(self, first: Latents) -> None:
        """Find the core of the first encoder."""
        basis = resort_basis(find_core(first.trained), first.pairs)
        clear = (basis.explained < CLEAR) & (basis.spectrum > SIGNAL * basis.noise)
        clear[basis.core_dim :] = False
        self.basis = basis.reordered((~clear).int().argsort(stable=True), int(clear.sum()))
        self.core = first.map(lambda z: self.basis.core(z.double()))
        self.rates = self.basis.spectrum[: self.basis.core_dim]
        self.stages: list[Stage] = []

    @property
    def full(self) -> bool:
        """Whether the core fills the latent."""
        return len(self.rates) >= len(self.basis.spectrum)

    def features(self, columns: int) -> PolynomialFeatures:
        """Return the most predictable functions of the core so far."""
        return fit_polynomials(self.core.trained, self.rates, max(columns, len(self.rates)))

    def find_axes(self, latents: Latents, features: PolynomialFeatures) -> "NewAxes":
        """Return the axes of an encoder's latents that are not functions of the core so far."""
        regression, rest = _explain(self.core, latents, features)
        origin, axes = predictable_axes(rest.trained)
        white = rest.map(lambda z: (z - origin) @ axes)
        found = _standardized(self.core.join(white).pairs)
        known, noise = len(self.rates), SIGNAL * self.basis.noise
        rates = added_rates(found, known)
        allowed = rates > noise
        allowed[known:] &= self._are_new(white, noise)
        selected, _ = select_independent(found[:, 0], found[:, 1], allowed, noise, known, CLEAR)
        columns = torch.tensor(selected[known:], dtype=torch.int64)
        columns = columns[rates[columns] > STRONG * rates[columns].max()] if len(columns) else columns
        columns = columns[: len(self.basis.spectrum) - known]
        return NewAxes(features, regression, origin, axes[:, columns - known], rates[columns])

    def _are_new(self, axes: Latents, noise: float) -> Tensor:
        """Return which axes many functions of the core so far leave predictable on the pairs, bool [D].

        Far more functions than a batch can carry, fitted on all trained ticks: most functions of degree three
        of many factors stay in the latent of a further encoder, and a regression on few rows misses them.
        """
        rest = _explain(self.core, axes, self.features(WIDE))[1].pairs
        rest, total = rest - rest.mean((0, 1)), axes.pairs.var((0, 1)).clamp_min(1e-12)
        large = rest.square().mean((0, 1)) > (1 - CLEAR) * total
        return large & ((rest[:, 0] * rest[:, 1]).mean(0) > noise * total)

    def add(self, encoder: nn.Module, latents: Latents, new: "NewAxes") -> None:
        """Add a trained encoder and its new axes."""
        stage = Stage(encoder, new.features, new.regression, new.origin, new.axes)
        self.stages.append(stage)
        with torch.no_grad():  # in float32, as the model computes them
            added = Latents(
                stage(latents.trained.float(), self.core.trained.float()).double(),
                stage(latents.pairs.float(), self.core.pairs.float()).double(),
            )
        self.core, self.rates = self.core.join(added), torch.cat([self.rates, new.rates])

    def composed(self, first: Latents) -> StagedLatent | None:
        """Return the latent of all encoders, from latents of the first; None if it is the only one."""
        if not self.stages:
            return None
        basis = self.basis
        staged = StagedLatent(basis.mean, basis.transform, basis.core_dim, self.stages)
        latent = staged.join(basis(first.trained.double()), self.core.trained).float()
        staged.predictor.update(latent[:-1], latent[1:])
        return staged


@dataclass(frozen=True, eq=False)
class NewAxes:
    """Axes of a stage, as `Stage` takes them, and their autocorrelations [k]."""

    features: PolynomialFeatures
    regression: LinearMap
    origin: Tensor
    axes: Tensor
    rates: Tensor


def _explain(core: Latents, latents: Latents, features: PolynomialFeatures) -> tuple[LinearMap, Latents]:
    """Return the regression of trained latents on functions of the core, and what it leaves of all."""
    functions = core.map(features)
    found = fit_ridge(functions.trained, latents.trained.double(), RIDGE_PAIRS)
    return found, Latents(
        latents.trained.double() - found(functions.trained), latents.pairs.double() - found(functions.pairs)
    )


def added_rates(pairs: Tensor, known: int) -> Tensor:
    """Return the autocorrelation of each column, of later ones beyond what leading ones predict of them, [D].

    An axis that holds what the core missed of one of its factors is predicted from that factor one tick
    before, though it is uncorrelated with it at the same tick. With C the lagged correlations of the leading
    columns and B those between these and the others, ``diag(L - B^T C^-1 B)`` is 0 for such an axis.

    Args:
        pairs: [N, 2, D], columns of variance 1.
        known: Number of leading columns.
    """
    lagged = pairs[:, 0].T @ pairs[:, 1] / len(pairs)
    lagged = (lagged + lagged.T) / 2
    rates = lagged.diagonal().clone()
    if known:
        between = lagged[:known, known:]
        rates[known:] -= (between * torch.linalg.solve(lagged[:known, :known], between)).sum(0)
    return rates


def _standardized(pairs: Tensor) -> Tensor:
    """Return columns of mean 0 and variance 1, [N, 2, D]."""
    return (pairs - pairs.mean((0, 1))) / pairs.std((0, 1)).clamp_min(1e-12)


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
    model: Jepa, data: StageData, config: TrainingConfig, seed: Sequence[int], stop: Callable[[], bool]
) -> int | None:
    """Train further encoders until one finds no new axis, and compose the model's latent of all of them.

    Args:
        model: A trained model with one encoder; with no further encoder, it is left as it is.
        data: What to train and measure on.
        config: Steps of a stage, and the rest as for the first encoder.
        seed: Seed of the initial weights and of the order of the data.
        stop: Called before every step; training ends early when it returns True, and nothing is kept.

    Returns:
        Optimizer steps taken; None when stopped.

    Raises:
        TrainingError: The loss is not finite.
    """
    first, steps = data.latents(model, model.encoder), 0
    found = StagedCore(first)
    while len(found.stages) + 1 < model.config.stages and len(found.rates) and not found.full:
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
    model.compose(found.composed(first))
    return steps


def compose_again(model: Jepa, data: StageData) -> None:
    """Solve everything but the encoders again, after the first encoder has been trained further.

    An encoder that finds no axis any more is dropped with those after it.
    """
    if model.staged is None:
        return
    first = data.latents(model, model.encoder)
    found = StagedCore(first)
    for stage in model.staged.stages:
        latents = data.latents(model, stage.encoder)
        features = found.features(len(stage.exponents))
        new = found.find_axes(latents, features)
        if not len(new.rates):
            break
        found.add(stage.encoder, latents, new)
    model.compose(found.composed(first))


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
        self._functions = features(found.core.trained).float()  # [T, R]
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
        ticks = draw_segments(rng, self._data.trained, config.segments, config.segment_ticks)  # [N, T]
        latent = self._model.encode_by([self.encoder], self._data.read(ticks.ravel()))[0]
        functions = self._functions[torch.from_numpy(ticks.ravel() - self._data.trained.start)].to(latent)
        rest = remove_functions(latent, functions).unflatten(0, ticks.shape)
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

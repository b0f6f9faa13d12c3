"""The core of a composed latent: axes of the first encoder, then what each further encoder adds to it.

Everything is solved in closed form, so that it can be solved again after the first encoder was trained
further.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agents.models.stages import Stage, StagedLatent
from agents.training.stage_data import Latents
from alignment.core import find_core, predictable_axes
from alignment.fit import fit_ridge
from alignment.independence import select_independent
from alignment.linear_map import LinearMap
from alignment.polynomials import PolynomialFeatures, fit_polynomials

# share of an axis that may be explained: a mixture is left to the next stage, which learns it better
CLEAR = 1 / 4
# autocorrelation of a new axis, as a share of the best one's: a weaker one was learned in part
STRONG = 1 / 2
# autocorrelation of a new axis, in noise levels: less is what imperfect axes left of their factors
SIGNAL = 2.0
WIDE = 400  # functions of the core that an axis is compared with
RIDGE_PAIRS = 1.0  # of the regression on all trained ticks, see `alignment.fit.fit_ridge`


class StagedCore:
    """The core so far, and the stages that found it.

    Attributes:
        first: Latents of the first encoder.
        found: Its axes, and the core of it alone.
        basis: The same axes, with a core of those alone that no mixture is among.
        core: Core coordinates so far.
        rates: [C], their autocorrelations on the pairs.
        stages: The stages so far.
    """

    def __init__(self, first: Latents) -> None:
        """Find the core of the first encoder, from its latents."""
        self.first, self.found = first, find_core(first.trained, later=first.pairs)
        basis = self.found
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
        return fit_polynomials(self.core.trained.flatten(0, 1), self.rates, max(columns, len(self.rates)))

    def exhausts(self, pixels: Latents) -> bool:
        """Return whether functions of the core so far leave nothing of the pixels that predicts itself.

        Then a further encoder would find nothing that shows linearly in the pixels. The converse does not
        hold: what a core misses of its own factors is left as well.

        Args:
            pixels: Components of the pixels, see `StageData.pixels`.
        """
        rest = _explain(self.core, pixels, self.features(WIDE))[1]
        origin, axes = predictable_axes(rest.trained)
        found = _standardized(self.core.join(rest.map(lambda z: (z - origin) @ axes)).pairs)
        known = len(self.rates)
        return bool((added_rates(found, known)[known:] <= SIGNAL * self.basis.noise).all())

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

    def composed(self) -> StagedLatent | None:
        """Return the latent of all encoders; None if the first is the only one."""
        if not self.stages:
            return None
        basis = self.basis
        staged = StagedLatent(basis.mean, basis.transform, basis.core_dim, self.stages)
        latent = staged.join(basis(self.first.trained.double()), self.core.trained).float()
        staged.predictor.update(latent[:, :-1].flatten(0, 1), latent[:, 1:].flatten(0, 1))
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
    known, wanted = functions.trained.flatten(0, 1), latents.trained.flatten(0, 1).double()
    found = fit_ridge(known, wanted, RIDGE_PAIRS)
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

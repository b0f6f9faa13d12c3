r"""The core: the factors that an agent finds alone, by time-lagged whitening (tICA / AMUSE) and independence.

Whiten the latents and rotate them so that each coordinate is as predictable from tick to tick as possible,
the most predictable first. If the world's factors are independent, the coordinates are the factors and
functions of them: for an Ornstein-Uhlenbeck process of autocorrelation rho, a polynomial of degree n has
autocorrelation rho^n. A coordinate belongs to the core if it is more predictable than noise and no function
of the core coordinates before it (`alignment.independence`); nothing in that rule depends on the rates of the
world. Two cores differ by a linear map of what both agents see.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, Array, check_devices, check_finite, like, to_tensor
from alignment.independence import select_independent, unmix
from alignment.shapes_repr import shapes_repr

# Variance below this share of the mean square is rounding: a spread below a millionth of the magnitude.
ROUNDING: Final = 1e-12
NOISE_DEVIATIONS: Final = 2.5  # of an autocorrelation; white noise exceeds them once in 160 directions


@dataclass(frozen=True, eq=False)
class CoreBasis:
    """Coordinates in which a latent space is white: first the core, then the rest, each by predictability.

    Attributes:
        mean: [D], the origin.
        transform: [D, D], from centered latents to coordinates.
        spectrum: [D], lag-1 autocorrelation of each coordinate; descending within the core and after it.
        core_dim: Number of leading coordinates that are the core.
        explained: [D], share of each coordinate's variance that the core coordinates before it explain.
        noise: Autocorrelation at or below which a coordinate counts as noise.
    """

    mean: Tensor
    transform: Tensor
    spectrum: Tensor
    core_dim: int
    explained: Tensor
    noise: float

    __repr__ = shapes_repr

    def __call__(self, z: Array) -> Array:
        """Return coordinates of latents, [..., D] -> [..., D]: white, the core first.

        Raises:
            AlignmentError: The latents have another dimension, or are no array of real numbers.
        """
        rows = to_tensor(z, "latents")
        if rows.shape[-1:] != self.mean.shape:
            raise AlignmentError(
                f"this basis takes latents of {len(self.mean)} dimensions, got {tuple(rows.shape)}",
                "pass latents of the encoder that it was found for",
            )
        check_devices(basis=self.mean, latents=rows)
        return like((rows.to(self.transform.dtype) - self.mean) @ self.transform, z)

    def reordered(self, order: Tensor, core_dim: int) -> "CoreBasis":
        """Return the same coordinates in another order, int64 [D], and another number of them as the core."""
        parts = (self.spectrum[order], core_dim, self.explained[order], self.noise)
        return CoreBasis(self.mean, self.transform[:, order], *parts)

    def core(self, z: Array) -> Array:
        """Return core coordinates of latents, [..., D] -> [..., core_dim]."""
        return self(z)[..., : self.core_dim]


def find_core(z: Array, floor: float = 0.1, ridge: float = 1e-6, later: Array | None = None) -> CoreBasis:
    r"""Return the basis of a latent space whose coordinates predict their own next value best (tICA).

    Among unit-variance directions w, ``w^T C_1 w`` is the autocorrelation, so the most predictable ones are
    the leading eigenvectors of the whitened lag-1 covariance (AMUSE: Tong et al. 1991; Molgedey and
    Schuster 1994; tICA in molecular dynamics). With A and B the rows now and one tick later:

        1.  C_0 = (A^T A + B^T B) / 2n,   C_1 = (A^T B + B^T A) / 2n      (the same rows in both: |s| <= 1)
        2.  C_0 = V L V^T,   whitener  H = V (L + r I)^(-1/2)
        3.  H^T C_1 H = U diag(s) U^T,   transform = H U

    The coordinates are then rotated so that factors are not mixed with functions of other factors that are as
    predictable (`independence.unmix`), and the core is chosen among them, see `resort_basis`.

    The ridge r keeps directions of low variance from being amplified: a direction with less than ``ridge``
    times the mean variance stays small and counts as unpredictable.

    Args:
        z: [T, D], consecutive ticks; or [N, T, D], segments of consecutive ticks.
        floor: Autocorrelation that counts as none; raised to what white noise reaches with this many rows.
        ridge: r relative to the mean eigenvalue of C_0.
        later: Data to choose the core on in the place of z, see `resort_basis`.

    Raises:
        AlignmentError: Fewer than two consecutive ticks, or values that are not finite.
    """
    before, after = _steps(z)
    mean, transform, lagged = _most_predictable(before, after, ridge)
    lowest = max(floor, noise_edge(*before.shape))
    transform = transform @ unmix((before - mean) @ transform, transform.T @ lagged @ transform, lowest)
    spectrum = (transform.T @ lagged @ transform).diagonal()
    if later is None:
        return _choose_core(mean, _fix_signs(transform), spectrum, z, lowest)
    order = spectrum.argsort(descending=True, stable=True)
    found = CoreBasis(mean, _fix_signs(transform), spectrum, 0, torch.zeros_like(spectrum), lowest)
    return resort_basis(found.reordered(order, 0), later, floor)


def predictable_axes(z: Array, ridge: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Return the origin [D] and the white axes [D, D] of latents, the most predictable first (tICA).

    Steps 1 to 3 of `find_core` alone.

    Args:
        z: [T, D] or [N, T, D], as for `find_core`.
        ridge: Relative to the mean variance.
    """
    mean, transform, _ = _most_predictable(*_steps(z), ridge)
    return mean, _fix_signs(transform)


def _most_predictable(before: Tensor, after: Tensor, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean [D], the axes of tICA [D, D] and the lagged covariance C_1 of rows [n, D]."""
    rows = torch.cat([before, after])
    mean = rows.mean(0)
    covariance, lagged = lagged_covariances(before - mean, after - mean)
    whitening = whitener(covariance, ridge, rounding=ROUNDING * rows.square().mean().item())
    _, axes = torch.linalg.eigh(whitening.T @ lagged @ whitening)  # ascending
    return mean, whitening @ axes.flip(1), lagged


def lagged_covariances(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return the symmetrized covariances C_0 and C_1, [D, D] each, of centered rows one tick apart.

    ``C_0 = (A^T A + B^T B) / 2n`` and ``C_1 = (A^T B + B^T A) / 2n``: with the same rows in both, no
    autocorrelation exceeds 1 in magnitude. Differentiable.

    Args:
        before: A, [n, D], centered on the mean of both.
        after: B, [n, D], centered on the same mean.
    """
    rows = 2 * len(before)
    covariance = (before.T @ before + after.T @ after) / rows
    lagged = (before.T @ after + after.T @ before) / rows
    return covariance, lagged


def autocorrelations(z: Array, basis: CoreBasis) -> Array:
    """Return the lag-1 autocorrelation of each coordinate of a basis on other data, [D].

    On data that the basis was not found on, the spectrum is unbiased. A constant coordinate has
    autocorrelation 0.

    Args:
        z: [T, D] or [N, T, D], as for `find_core`.
        basis: Coordinates to measure.
    """
    before, after = (basis(step) for step in _steps(z))
    mean = (before.mean(0) + after.mean(0)) / 2
    a, b = before - mean, after - mean
    variance = (a.square() + b.square()).mean(0) / 2
    scale = (before.square() + after.square()).mean(0) / 2
    return like(torch.where(variance > ROUNDING * scale, (a * b).mean(0) / variance, 0.0), z)


def resort_basis(basis: CoreBasis, z: Array, floor: float = 0.1) -> CoreBasis:
    """Return a basis with the predictability of its coordinates measured, and its core chosen, on other data.

    Coordinates are tried from the most to the least predictable. One above the noise belongs to the core if
    the core coordinates before it explain less than half of it (`independence.select_independent`).

    Args:
        basis: Coordinates to keep; only their order changes.
        z: [T, D] or [N, T, D], data that the coordinates were not found on. Segments [N, T, D] that are far
            apart in time tell most: rows of one segment are nearly the same.
        floor: Autocorrelation that counts as none; raised to 2.5 standard deviations of that of white noise.
    """
    spectrum = autocorrelations(to_tensor(z, "latents"), basis)
    lowest = max(floor, NOISE_DEVIATIONS / len(_steps(z)[0]) ** 0.5)
    return _choose_core(basis.mean, basis.transform, spectrum, z, lowest)


def _choose_core(mean: Tensor, transform: Tensor, spectrum: Tensor, z: Array, lowest: float) -> CoreBasis:
    """Return the basis of these coordinates with the core chosen on latents z, [T, D] or [N, T, D]."""
    order = spectrum.argsort(descending=True, stable=True)
    before, after = ((step - mean) @ transform[:, order] for step in _steps(z))
    core, explained = select_independent(before, after, spectrum[order] > lowest, lowest)
    is_core = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    is_core[core] = True
    basis = CoreBasis(mean, transform[:, order], spectrum[order], len(core), explained, lowest)
    # the core first, otherwise in the order of predictability
    return basis.reordered((~is_core).int().argsort(stable=True), len(core))


def noise_edge(pairs: int, dim: int) -> float:
    r"""Return the largest autocorrelation expected of white noise in the best of D directions.

    The whitened lag-1 covariance of noise is a symmetric random matrix with entries of variance 1 / 2n;
    its largest eigenvalue tends to ``sqrt(2 D / n)`` (Wigner 1955). Two standard deviations of a single
    autocorrelation, ``1 / sqrt(n)`` each, are added as a margin.

    Args:
        pairs: Number of rows, n.
        dim: D.
    """
    return ((2 * dim) ** 0.5 + 2) / pairs**0.5


def effective_rank(z: Array) -> float:
    """Return the effective number of dimensions of latents, ``exp(-sum p log p)`` (Roy and Vetterli 2007).

    p are the eigenvalues of the covariance as shares of their sum: D when all are equal, 1 on a line, and 0
    for a constant set.

    Args:
        z: [..., D]; all leading axes are rows.

    Raises:
        AlignmentError: It holds no row, or a value that is not finite.
    """
    rows = to_tensor(z, "latents")
    if rows.ndim < 2 or not rows.numel():
        raise AlignmentError(f"a rank needs rows [..., D], got {tuple(rows.shape)}", "encode more ticks")
    check_finite(rows, "latents", "check the encoder that made it")
    rows = rows.reshape(-1, rows.shape[-1]).double()
    variance = torch.linalg.svdvals(rows - rows.mean(0)).square()
    if not varies(rows):
        return 0.0
    share = variance / variance.sum()
    return float(torch.special.entr(share).sum().exp())


def varies(rows: Tensor) -> bool:
    """Return whether a set [K, D] varies by more than rounding."""
    rows = rows.double()
    return bool((rows - rows.mean(0)).square().sum() > ROUNDING * rows.square().sum())


def _steps(latents: Array) -> tuple[Tensor, Tensor]:
    """Return the rows that have a successor and their successors, [n, D] each, in float64."""
    z = to_tensor(latents, "latents")
    if z.ndim not in (2, 3) or z.shape[-2] < 2 or z.numel() == 0:
        raise AlignmentError(
            "predictability needs [T, D] or segments [N, T, D] of at least two consecutive ticks, "
            f"got {tuple(z.shape)}",
            "pass latents in the order of their ticks, without gaps",
        )
    check_finite(z, "latents", "check the encoder that made it")
    z = z.double()
    return z[..., :-1, :].reshape(-1, z.shape[-1]), z[..., 1:, :].reshape(-1, z.shape[-1])


def whitener(covariance: Tensor, ridge: float, rounding: float) -> Tensor:
    """Return H [D, D] with ``H^T C H ~ I``; a direction without variance is mapped to zero."""
    variance, axes = torch.linalg.eigh(covariance)
    variance = variance.clamp_min(0)
    power = variance + ridge * variance.mean() + rounding
    return axes * torch.where(power > 0, power.rsqrt(), 0.0)


def _fix_signs(transform: Tensor) -> Tensor:
    """Return the columns with their largest entry positive: the sign of an eigenvector is arbitrary."""
    largest = transform.gather(0, transform.abs().argmax(0, keepdim=True))
    return transform * torch.where(largest < 0, -1.0, 1.0)

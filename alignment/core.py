r"""The core: the slow subspace that an agent finds alone by time-lagged whitening (tICA / AMUSE).

If the world's factors are independent Ornstein-Uhlenbeck processes, each a Gaussian f with lag-1
autocorrelation rho, then every function of the world decomposes into Hermite polynomials of the factors, and
a polynomial of degree n has autocorrelation rho^n. The spectrum of lag-1 autocorrelations therefore has
levels: the factors at rho, functions of degree two at rho^2, and so on. The first level is the core. Each
agent finds it without a peer, and two cores differ by a rotation only.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, Array, check_devices, check_finite, like, to_tensor

# Variance below this share of the mean square is rounding: a spread below a millionth of the magnitude.
ROUNDING: Final = 1e-12

# The gap between two levels is s - s^2. Noise moves the two autocorrelations at its edge, which must show
# half of it; the means of those above and below hardly move, and must show most of it.
EDGE_SHARE: Final = 0.55
MEAN_SHARE: Final = 0.8
MIN_GAP: Final = 0.05


@dataclass(frozen=True, eq=False)
class CoreBasis:
    """Coordinates in which a latent space is white and sorted by predictability.

    Attributes:
        mean: [D], the origin.
        transform: [D, D], from centered latents to coordinates.
        spectrum: [D], lag-1 autocorrelation of each coordinate, descending.
        core_dim: Number of leading coordinates that are the core.
    """

    mean: Tensor
    transform: Tensor
    spectrum: Tensor
    core_dim: int

    def __call__(self, z: Array) -> Array:
        """Return coordinates of latents, [..., D] -> [..., D]: white, rotated, most predictable first.

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

    def core(self, z: Array) -> Array:
        """Return core coordinates of latents, [..., D] -> [..., core_dim]."""
        return self(z)[..., : self.core_dim]


def find_core(z: Array, floor: float = 0.1, ridge: float = 1e-6) -> CoreBasis:
    r"""Return the basis that sorts a latent space by how well each coordinate predicts its next value (tICA).

    Among unit-variance directions w, ``w^T C_1 w`` is the autocorrelation, so the most predictable ones are
    the leading eigenvectors of the whitened lag-1 covariance (AMUSE: Tong et al. 1991; Molgedey and
    Schuster 1994; tICA in molecular dynamics). With A and B the rows now and one tick later:

        1.  C_0 = (A^T A + B^T B) / 2n,   C_1 = (A^T B + B^T A) / 2n      (the same rows in both: |s| <= 1)
        2.  C_0 = V L V^T,   whitener  H = V (L + r I)^(-1/2)
        3.  H^T C_1 H = U diag(s) U^T,   transform = H U

    The ridge r keeps directions of low variance from being amplified: a direction with less than ``ridge``
    times the mean variance stays small and counts as unpredictable.

    Args:
        z: [T, D], consecutive ticks; or [N, T, D], segments of consecutive ticks.
        floor: Autocorrelation that counts as none; raised to what white noise reaches with this many rows.
        ridge: r relative to the mean eigenvalue of C_0.

    Raises:
        AlignmentError: Fewer than two consecutive ticks, or values that are not finite.
    """
    before, after = _steps(z)
    rows = torch.cat([before, after])
    mean = rows.mean(0)
    a, b = before - mean, after - mean
    covariance, lagged = lagged_covariances(a, b)
    whitener = _whitener(covariance, ridge, rounding=ROUNDING * rows.square().mean().item())
    spectrum, axes = torch.linalg.eigh(whitener.T @ lagged @ whitener)  # ascending
    spectrum, transform = spectrum.flip(0), whitener @ axes.flip(1)
    lowest = max(floor, noise_edge(len(a), a.shape[1]))
    return CoreBasis(mean, _fix_signs(transform), spectrum, core_gap(spectrum, lowest))


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


def core_gap(spectrum: Array, floor: float = 0.1) -> int:
    r"""Return the number of leading autocorrelations that form the core, 0 to D.

    Values at or below the floor are never core. Above it the core ends at the first drop between neighbors
    that is a gap between levels, which theory puts at ``s - s^2`` from a factor at s to functions of degree
    two: the neighbors must show at least half of it, and the means of the values above and below most of it.
    The first gap and not the largest: the one from degree two to degree three, or to the values below the
    floor, can be larger than from 0.7 to 0.49. Without a gap everything above the floor is core.

    Args:
        spectrum: [D], lag-1 autocorrelations in any order.
        floor: Autocorrelation that counts as none.
    """
    values = to_tensor(spectrum, "a spectrum")
    above = values[values > floor].sort(descending=True).values
    if len(above) < 2:
        return len(above)
    count = torch.arange(1, len(above), dtype=above.dtype)
    high = above.cumsum(0)[:-1] / count  # mean of the values above each drop
    low = above.flip(0).cumsum(0).flip(0)[1:] / count.flip(0)  # and of those below it
    drops, gap = above[:-1] - above[1:], high * (1 - high)
    found = (drops >= (EDGE_SHARE * gap).clamp_min(MIN_GAP)) & (high - low >= MEAN_SHARE * gap)
    return int(found.int().argmax()) + 1 if found.any() else len(above)


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


def resort_basis(basis: CoreBasis, z: Array) -> CoreBasis:
    """Return the axes of a basis sorted by how predictable each is on other data, with the core found anew.

    Args:
        basis: Axes to keep.
        z: [T, D] or [N, T, D], data that the axes were not found on.
    """
    spectrum = autocorrelations(to_tensor(z, "latents"), basis)
    order = spectrum.argsort(descending=True)
    spectrum = spectrum[order]
    return CoreBasis(basis.mean, basis.transform[:, order], spectrum, core_gap(spectrum))


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


def _whitener(covariance: Tensor, ridge: float, rounding: float) -> Tensor:
    """Return H [D, D] with ``H^T C H ~ I``; a direction without variance is mapped to zero."""
    variance, axes = torch.linalg.eigh(covariance)
    variance = variance.clamp_min(0)
    power = variance + ridge * variance.mean() + rounding
    return axes * torch.where(power > 0, power.rsqrt(), 0.0)


def _fix_signs(transform: Tensor) -> Tensor:
    """Return the columns with their largest entry positive: the sign of an eigenvector is arbitrary."""
    largest = transform.gather(0, transform.abs().argmax(0, keepdim=True))
    return transform * torch.where(largest < 0, -1.0, 1.0)

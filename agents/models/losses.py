r"""Losses of world models: prediction, and the terms that prevent collapse.

Every function takes latents in float32 and returns a scalar. Pairs are ``context`` [N, D] at tick t and
``target`` [N, D] at tick t + 1. A constant encoder predicts itself perfectly; each objective excludes that
in its own way.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, mse_loss, normalize, relu

from alignment.core import lagged_covariances

RIDGE_OF_NOISE = 1 / 8  # least ridge of the whitened loss, as a share of the score that noise would reach


def whitened_prediction_loss(context: Tensor, target: Tensor, ridge: float = 1e-3) -> Tensor:
    r"""Return the variance of the next whitened latent that its best linear predictor misses.

    With ``S`` the covariance of all latents, ``S = L L^T``, and ``C = L^-1 sym(cov(context, target)) L^-T``
    the best linear prediction of the whitened target leaves ``D - |C|_F^2``: minimizing it over the encoder
    is the whitened JEPA loss with its predictor solved in closed form (VAMP-2: Wu and Noe, 2020,
    arXiv:1707.04659, for a reversible process). Because the whitened latents are uncorrelated by
    construction, no dimension can duplicate another one. `alignment.core.find_core` solves the same problem
    for fixed latents.

    From n pairs the score is too large, since C is fitted on the pairs that it is scored on (McGibbon and
    Pande, 2015, arXiv:1407.8083): white noise reaches ``|C|_F^2 = D (D + 1) / 2n`` in expectation, 2.75 for
    D = 32 and n = 192, and latents with heavy tails reach more, so that an encoder gains by them. Therefore

    1. the variance of C over batches is subtracted from ``|C|_F^2``. With x_s and y_s the whitened pairs of
       segment s, the segment moves C by ``1/N sym(x_s^T (y_s - x_s C) + y_s^T (x_s - y_s C)) / 2T``; the
       variance is the sum of the squares, times N / (N - 1) (infinitesimal jackknife: Jaeckel, 1972);
    2. the ridge is at least an eighth of what noise would reach, ``D (D + 1) / 16n``: D / n at D = 16. Then
       dimensions that predict little shrink, and do not learn to be rare and large (measured at D = 16, 32
       and 64; with D / n, two agents of 32 dimensions agreed less than two of 16).

    Args:
        context: [N, T, D], T pairs in each of N independent segments; or [N, D], N independent pairs.
        target: The same shape, one tick later.
        ridge: Added to the covariance, relative to its mean eigenvalue; raised to D (D + 1) / 16n.

    Returns:
        Scalar: about D for noise, near 0 where all is predictable, NaN when the latents are not finite.
    """
    dim, shape = context.shape[-1], context.shape if context.ndim == 3 and len(context) > 1 else (-1, 1)
    context, target = context.reshape(-1, dim), target.reshape(-1, dim)
    mean = (context.mean(0) + target.mean(0)) / 2
    rows = torch.stack([context, target]) - mean  # [2, n, D]
    covariance, lagged = lagged_covariances(*rows)
    factor, failed = _cholesky(covariance, max(ridge, RIDGE_OF_NOISE * dim * (dim + 1) / (2 * len(context))))
    half = torch.linalg.solve_triangular(factor, lagged, upper=False)
    predictor = torch.linalg.solve_triangular(factor, half.mT, upper=False)  # C
    now, later = torch.linalg.solve_triangular(factor, rows.mT, upper=False).mT.reshape(2, *shape[:2], dim)
    score = predictor.square().sum() - _score_bias(now, later, predictor)
    return torch.where(failed == 0, dim - score, torch.nan)


def _cholesky(covariance: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Return L with ``L L^T = S + ridge``, [D, D], and a flag that is not 0 where it does not exist."""
    eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    padded = covariance + (ridge * covariance.diagonal().mean() + 1e-8) * eye
    factor, failed = torch.linalg.cholesky_ex(padded)  # cholesky would raise for latents that are not finite
    return factor, failed


def _score_bias(now: Tensor, later: Tensor, predictor: Tensor) -> Tensor:
    """Return the variance of C, summed over its entries, from whitened pairs [N, T, D] of N segments."""
    segments, pairs = now.shape[:2]
    if segments == 1:
        return predictor.new_zeros(())
    rows = torch.cat([now, later], 1)  # [N, 2T, D]
    errors = torch.cat([later - now @ predictor, now - later @ predictor], 1)
    # |sym(P^T E)|^2 by matrices of 2T x 2T: those of D x D would need gigabytes at D = 1024
    cross = rows @ errors.mT
    squares = (rows @ rows.mT * (errors @ errors.mT) + cross * cross.mT).sum() / 2
    return squares / (2 * pairs) ** 2 / (segments * (segments - 1))


def prediction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error per dimension, [N, D] against [N, D]."""
    return mse_loss(predicted, target)


def variance_loss(latent: Tensor, floor: float = 1.0) -> Tensor:
    """Return the mean shortfall of standard deviations below a floor (VICReg, arXiv:2105.04906, eq. 1).

    Args:
        latent: [N, D].
        floor: Standard deviation below which a dimension is penalized.
    """
    spread = (latent.var(dim=0) + 1e-4).sqrt()  # [D]
    return relu(floor - spread).mean()


def covariance_loss(latent: Tensor) -> Tensor:
    """Return the squared covariance between dimensions, [N, D] (VICReg, arXiv:2105.04906, eq. 4)."""
    centered = latent - latent.mean(0)
    covariance = centered.T @ centered / (len(latent) - 1)  # [D, D]
    off_diagonal = covariance - torch.diag(covariance.diagonal())
    return off_diagonal.square().sum() / latent.shape[1]


def log_det_loss(latent: Tensor, floor: float = 1e-4) -> Tensor:
    """Return twice KL(N(0, S) || N(0, I)) per dimension for S the covariance: a barrier against collapse.

    ``(tr S - log det S) / D - 1``, zero exactly when the latents are white.

    Args:
        latent: [N, D].
        floor: Added to the diagonal of S.
    """
    centered = latent - latent.mean(0)
    dim = latent.shape[1]
    covariance = centered.T @ centered / len(latent) + floor * torch.eye(dim, device=latent.device)
    return (covariance.diagonal().sum() - torch.logdet(covariance)) / dim - 1


def sigreg_loss(latent: Tensor, generator: torch.Generator, slices: int = 256, points: int = 17) -> Tensor:
    r"""Return the distance of random 1-D projections from a standard normal (SIGReg, arXiv:2511.08544).

    The Epps-Pulley statistic ``N \int |phi_N(t) - exp(-t^2/2)|^2 w(t) dt`` of each projection, where
    ``phi_N`` is its empirical characteristic function and w the standard normal density, averaged over
    random directions; the integral is a trapezoid over [-5, 5].

    Args:
        latent: [N, D].
        generator: Draws the directions.
        slices: Number of directions.
        points: Knots of the integral.
    """
    directions = torch.randn(latent.shape[1], slices, generator=generator).to(latent)
    directions = directions / directions.norm(dim=0)
    t = torch.linspace(-5, 5, points, device=latent.device)
    normal = torch.exp(-t.square() / 2)
    phase = (latent @ directions).unsqueeze(-1) * t  # [N, slices, points]
    gap = (phase.cos().mean(0) - normal).square() + phase.sin().mean(0).square()
    return len(latent) * torch.trapezoid(gap * normal, t).mean() / math.sqrt(2 * math.pi)


def cosine_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``1 - <p, t> / (|p| |t|)``, [N, D] against [N, D] (seq-JEPA, arXiv:2505.03176).

    Zero for equal directions, 2 for opposite ones. Half of BYOL's loss (arXiv:2006.07733, eq. 2).
    """
    return 1 - cosine_similarity(predicted, target).mean()


def nt_xent_loss(first: Tensor, second: Tensor, temperature: float = 0.5) -> Tensor:
    r"""Return the cross-entropy of picking each view's partner (NT-Xent, arXiv:2002.05709, eq. 1).

    ``-log exp(s_ij / t) / sum_{k != i} exp(s_ik / t)`` for s the cosine similarity and (i, j) two views of
    one scene, averaged over the 2N views, each of which has one partner and 2(N - 1) negatives.

    Args:
        first: [N, D].
        second: [N, D]; row n shows what row n of first shows.
        temperature: t.
    """
    views = normalize(torch.cat([first, second]), dim=1)  # [2N, D]
    similarity = views @ views.T / temperature  # [2N, 2N]
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return cross_entropy(similarity.masked_fill(itself, -math.inf), partner)


def vicreg_loss(
    first: Tensor, second: Tensor, similarity: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """Return VICReg of two views, [N, D] each (arXiv:2105.04906, eq. 6).

    The distance is a mean over dimensions and the variance term a mean over the two views, so that the
    weights mean the same at every width.
    """
    hinge = (variance_loss(first) + variance_loss(second)) / 2
    redundancy = covariance_loss(first) + covariance_loss(second)
    return similarity * prediction_loss(first, second) + variance * hinge + covariance * redundancy

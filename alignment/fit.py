r"""Three ways to fit the map from one latent space to another.

All see K pairs (x_k, y_k), what two agents make of the same ticks, and differ in what they allow W to be:

    ridge        any matrix       D_i * D_j free numbers, needs hundreds of pairs
    procrustes   (semi-)orthogonal   lengths and angles kept: as many pairs as dimensions are enough
    robust       the same, from the pairs that agree with each other: survives a peer's bad rows

Every function takes one problem [K, D] or a batch of P problems [P, K, D]; it works in float64 whatever it
is given, and centres both sides, so that the bias carries mean onto mean and W need not.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from alignment.linear_map import LinearMap

Fit = Callable[[Tensor, Tensor], LinearMap]


def check_pairs(source: Tensor, target: Tensor) -> None:
    """Raise ValueError unless source is [K, D_i] and target [K, D_j], or both carry one leading axis [P]."""
    shapes = f"got {tuple(source.shape)} and {tuple(target.shape)}"
    if source.ndim not in (2, 3) or source.ndim != target.ndim or source.shape[:-1] != target.shape[:-1]:
        raise ValueError(f"pairs must be [K, D_i] and [K, D_j] with one K, or [P, K, D] with one P; {shapes}")
    if source.shape[-2] == 0:
        raise ValueError(f"a map needs at least one pair; {shapes}; exchange more anchors")
    if not (torch.isfinite(source).all() and torch.isfinite(target).all()):
        raise ValueError("a pair holds a value that is not finite; drop that row before fitting")


def centre(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows [..., K, D] less their mean, and the mean [..., 1, D], in float64."""
    rows = rows.double()
    mean = rows.mean(dim=-2, keepdim=True)
    return rows - mean, mean


def fit_ridge(source: Tensor, target: Tensor, ridge: float = 4.0) -> LinearMap:
    r"""Return the linear map of least squared error, held back from using faint directions of the source.

    Solves, for centred X and Y, ``min |X W - Y|_F^2 + lambda |W|_F^2``, whose normal equations are
    ``(X^T X + lambda I) W = X^T Y`` (Hoerl and Kennard 1970). The strength is counted in pairs,
    ``lambda = ridge * tr(X^T X) / (K D_i)``: what ``ridge`` further pairs that say "no relation" would weigh,
    in any unit of the source. Many pairs therefore outvote it, and a few are held back where a free map would
    fit their noise. Any positive ridge keeps W finite when K < D_i; a constant source gives W = 0, the mean
    as prediction.

    Args:
        source: [K, D_i] or [P, K, D_i], X.
        target: [K, D_j] or [P, K, D_j], Y.
        ridge: Strength of the penalty in pairs, above 0.
    """
    check_pairs(source, target)
    if not ridge > 0:
        raise ValueError(f"ridge must be above 0 to keep the map finite, got {ridge}; 1e-9 is nearly none")
    x, x_mean = centre(source)
    y, y_mean = centre(target)
    scatter = x.mT @ x  # [..., D_i, D_i]
    variance = scatter.diagonal(dim1=-2, dim2=-1).sum(-1) / max(x.shape[-1] * x.shape[-2], 1)
    strength = (ridge * variance).clamp_min(torch.finfo(torch.float64).tiny)
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    factor = torch.linalg.cholesky(scatter + strength[..., None, None] * eye)
    return _through_the_means(torch.cholesky_solve(x.mT @ y, factor), x_mean, y_mean)


def fit_procrustes(source: Tensor, target: Tensor, centred: bool = True) -> LinearMap:
    r"""Return the rotation or reflection that best carries source onto target.

    Solves, for centred X and Y, ``min |X Q - Y|_F`` over ``Q Q^T = I`` (or ``Q^T Q = I`` when D_i > D_j).
    As ``|X Q - Y|^2 = |X Q|^2 + |Y|^2 - 2 tr(Q^T X^T Y)``, and Q cannot change ``|X Q| = |X|``, the last
    term decides: with ``X^T Y = U S V^T`` it is largest at ``Q = U V^T`` (Schoenemann 1966).

    Between cores of different size Q is semi-orthogonal: into a larger space it embeds without distortion,
    and the argument above holds; into a smaller one it projects, ``|X Q|`` does depend on Q, and U V^T is
    the minimum when X is white, as cores are, and otherwise the best-correlated projection.

    Args:
        source: [K, D_i] or [P, K, D_i], X.
        target: [K, D_j] or [P, K, D_j], Y.
        centred: Whether to centre on the means of these pairs. Owners of whitened cores have centred them
            already, on thousands of instants: their origins correspond, and a pair is not spent on them.
    """
    check_pairs(source, target)
    x, x_mean = centre(source)
    y, y_mean = centre(target)
    if not centred:
        x, y = source.double(), target.double()
        x_mean, y_mean = torch.zeros_like(x_mean), torch.zeros_like(y_mean)
    u, _, vt = torch.linalg.svd(x.mT @ y, full_matrices=False)
    return _through_the_means(u @ vt, x_mean, y_mean)


def fit_robust(
    source: Tensor, target: Tensor, rounds: int = 10, keep: float = 0.7, centred: bool = True
) -> LinearMap:
    r"""Return the Procrustes map of the pairs that agree with each other, whatever the others say.

    Trimmed Procrustes, after least trimmed squares (Rousseeuw 1984): fit, measure each row's residual
    ``|x_k Q + b - y_k|``, keep the share of rows with the smallest, fit again on those alone. A round never
    raises the sum of the kept squared residuals when Q is square or embeds, so the rounds settle.

    Args:
        source: [K, D_i] or [P, K, D_i].
        target: [K, D_j] or [P, K, D_j].
        rounds: How often to trim and fit again.
        keep: Share of the rows to trust, in (0, 1]; at most 1 - keep of the rows may be wrong. Never
            fewer than D + 1 rows are kept (D the smaller dimension): fewer leave a direction unseen.
        centred: As for ``fit_procrustes``.
    """
    if rounds < 0 or not 0 < keep <= 1:
        raise ValueError(f"robust fitting needs rounds >= 0 and 0 < keep <= 1, got {rounds} and {keep}")
    found = fit_procrustes(source, target, centred)
    pairs, smaller = source.shape[-2], min(source.shape[-1], target.shape[-1])
    kept = min(pairs, max(math.ceil(keep * pairs), smaller + 1))
    for _ in range(rounds):
        residual = torch.linalg.vector_norm(found(source) - target, dim=-1)  # [..., K]
        rows = residual.argsort(dim=-1, stable=True)[..., :kept, None]
        found = fit_procrustes(source.take_along_dim(rows, -2), target.take_along_dim(rows, -2), centred)
    return found


def _through_the_means(weight: Tensor, x_mean: Tensor, y_mean: Tensor) -> LinearMap:
    """Return the map with this weight that carries the mean of the source onto that of the target."""
    bias = y_mean - x_mean @ weight  # [..., 1, D_j]
    return LinearMap(weight, bias if weight.ndim == 3 else bias.squeeze(0))

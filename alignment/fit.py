r"""Three fits of the map from one latent space to another, and the ridge solve of training losses.

The fits take K pairs (x_k, y_k), embeddings of the same ticks by two agents, and differ in the W they allow:

    ridge        any matrix          D_i * D_j free parameters, needs hundreds of pairs
    procrustes   (semi-)orthogonal   keeps lengths and angles: as many pairs as dimensions suffice
    robust       the same, from the pairs that agree with each other: tolerates bad rows of a peer

Every fit takes one problem [K, D] or a batch of P problems [P, K, D], as tensors or NumPy arrays, computes in
float64, and centers both sides, so that the bias maps mean to mean. The map of one problem states the rank of
its pairs and the number of directions that they leave undetermined (`LinearMap`).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, AnyArray, check_devices, check_finite, to_tensor
from alignment.core import ROUNDING
from alignment.linear_map import LinearMap

Fit = Callable[[Tensor, Tensor], LinearMap]


def check_pairs(source: AnyArray, target: AnyArray) -> tuple[Tensor, Tensor]:
    """Return pairs as tensors, once they are found to be pairs that a map can be fitted on or scored by.

    Args:
        source: [K, D_i] or [P, K, D_i], of any real type: a tensor or a NumPy array.
        target: [K, D_j] or [P, K, D_j]; row k of both is the same tick.

    Raises:
        AlignmentError: They are no arrays of real numbers, their shapes do not match, there is no pair, they
            lie on different devices, or a value is not finite.
    """
    x, y = to_tensor(source, "source"), to_tensor(target, "target")
    shapes = f"got {tuple(x.shape)} and {tuple(y.shape)}"
    if x.ndim not in (2, 3) or x.ndim != y.ndim or x.shape[:-1] != y.shape[:-1]:
        raise AlignmentError(
            f"pairs must be [K, D_i] and [K, D_j] with one K, or [P, K, D] with one P, {shapes}",
            "give both one row for each shared tick, as alignment.anchors.shared does",
        )
    if x.shape[-2] == 0:
        raise AlignmentError(f"a map needs at least one pair, {shapes}", "exchange more anchors")
    check_devices(source=x, target=y)
    for name, rows in (("source", x), ("target", y)):
        check_finite(rows, name, "drop that row from both sides")
    return x, y


def center(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows [..., K, D] minus their mean, and the mean [..., 1, D], in float64."""
    rows = rows.double()
    mean = rows.mean(dim=-2, keepdim=True)
    return rows - mean, mean


def solve_ridge(gram: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """Return ``(G + r I)^-1 C``, the ridge regression of normal equations, differentiably.

    `fit_ridge` solves the same equations by Cholesky and counts its ridge in pairs. The two stay separate:
    another factorization rounds differently, and recorded results are compared bit for bit.

    Args:
        gram: G = X^T X, [D_i, D_i].
        cross: C = X^T Y, [D_i, D_j].
        ridge: r relative to the mean diagonal of G.

    Returns:
        [D_i, D_j].
    """
    strength = ridge * gram.diagonal().mean() + 1e-12
    return torch.linalg.solve(gram + strength * torch.eye(len(gram)).to(gram), cross)


def fit_ridge(source: AnyArray, target: AnyArray, ridge: float = 4.0) -> LinearMap:
    r"""Return the linear map of least squared error with an L2 penalty on its weight.

    Solves, for centered X and Y, ``min |X W - Y|_F^2 + lambda |W|_F^2``, whose normal equations are
    ``(X^T X + lambda I) W = X^T Y`` (Hoerl and Kennard 1970). The strength is counted in pairs,
    ``lambda = ridge * tr(X^T X) / (K D_i)``: the weight of ``ridge`` further pairs without any relation, in
    any unit of the source. It therefore matters little with many pairs, and keeps a map of few pairs from
    fitting their noise. Any positive ridge keeps W finite when K < D_i; a constant source gives W = 0, which
    predicts the mean.

    Args:
        source: [K, D_i] or [P, K, D_i], X.
        target: [K, D_j] or [P, K, D_j], Y.
        ridge: Strength of the penalty in pairs, above 0.

    Directions of the source that the pairs do not span are mapped to zero, so that they predict the mean.

    Raises:
        AlignmentError: These are no pairs (`check_pairs`), or the ridge is not positive.
    """
    source, target = check_pairs(source, target)
    if not ridge > 0:
        raise AlignmentError(
            f"ridge must be above 0 to keep the map finite, got {ridge}", "1e-9 is nearly none"
        )
    x, x_mean = center(source)
    y, y_mean = center(target)
    scatter = x.mT @ x  # [..., D_i, D_i]
    variance = scatter.diagonal(dim1=-2, dim2=-1).sum(-1) / max(x.shape[-1] * x.shape[-2], 1)
    strength = (ridge * variance).clamp_min(torch.finfo(torch.float64).tiny)
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    factor = torch.linalg.cholesky(scatter + strength[..., None, None] * eye)
    weight = torch.cholesky_solve(x.mT @ y, factor)
    rank = None
    if source.ndim == 2:
        rank = int((torch.linalg.eigvalsh(scatter) > ROUNDING * source.double().square().sum()).sum())
    return _map_through_means(weight, x_mean, y_mean, rank, x.shape[-1])


def fit_procrustes(
    source: AnyArray, target: AnyArray, centered: bool = True, rank: int | None = None
) -> LinearMap:
    r"""Return the rotation or reflection that best maps source onto target.

    Solves, for centered X and Y, ``min |X Q - Y|_F`` over ``Q Q^T = I`` (or ``Q^T Q = I`` when D_i > D_j).
    As ``|X Q - Y|^2 = |X Q|^2 + |Y|^2 - 2 tr(Q^T X^T Y)``, and Q does not change ``|X Q| = |X|``, only
    the last term depends on Q: with ``X^T Y = U S V^T`` it is largest at ``Q = U V^T`` (Schoenemann 1966).

    Between cores of different size Q is semi-orthogonal: into a larger space it embeds without distortion,
    and the argument above holds; into a smaller one it projects, ``|X Q|`` does depend on Q, and U V^T is
    the minimum when X is white, as cores are, and otherwise the best-correlated projection.

    Where a value of S is zero the pairs leave a direction undetermined: any Q that differs there alone has
    the same error. The map counts them as `LinearMap.undetermined`.

    Args:
        source: [K, D_i] or [P, K, D_i], X.
        target: [K, D_j] or [P, K, D_j], Y.
        centered: Whether to center on the means of these pairs. Whitened cores are already centered, on
            thousands of ticks: their origins correspond, and no pair is spent on estimating them.
        rank: Number of leading directions to map, as many as there are by default. The map drops the others:
            it is the partial isometry ``U_k V_k^T``.

    Raises:
        AlignmentError: These are no pairs (`check_pairs`).
    """
    source, target = check_pairs(source, target)
    x, x_mean = center(source)
    y, y_mean = center(target)
    if not centered:
        x, y = source.double(), target.double()
        x_mean, y_mean = torch.zeros_like(x_mean), torch.zeros_like(y_mean)
    u, s, vt = torch.linalg.svd(x.mT @ y, full_matrices=False)
    kept = s.shape[-1] if rank is None else min(max(rank, 0), s.shape[-1])
    found = None
    if source.ndim == 2:
        found = int((s[:kept] > ROUNDING**0.5 * _rounded_size(source, target, x, y)).sum())
    return _map_through_means(u[..., :kept] @ vt[..., :kept, :], x_mean, y_mean, found, kept)


def fit_robust(
    source: AnyArray, target: AnyArray, rounds: int = 10, keep: float = 0.7, centered: bool = True,
    rank: int | None = None,
) -> LinearMap:  # fmt: skip
    r"""Return the Procrustes map of the pairs that agree with each other, ignoring outliers.

    Trimmed Procrustes, after least trimmed squares (Rousseeuw 1984): fit, measure each row's residual
    ``|x_k Q + b - y_k|``, keep the share of rows with the smallest, fit again on those alone. A round never
    raises the sum of the kept squared residuals when Q is square or embeds, so the rounds settle.

    Args:
        source: [K, D_i] or [P, K, D_i].
        target: [K, D_j] or [P, K, D_j].
        rounds: Number of times to trim and refit.
        keep: Share of the rows to keep, in (0, 1]; at most 1 - keep of the rows may be wrong. At least
            D + 1 rows are kept (D the smaller dimension): fewer do not determine every direction.
        centered: As for `fit_procrustes`.
        rank: As for `fit_procrustes`.

    Raises:
        AlignmentError: These are no pairs (`check_pairs`), rounds is negative, or keep is outside (0, 1].
    """
    if rounds < 0 or not 0 < keep <= 1:
        raise AlignmentError(
            f"robust fitting got rounds={rounds} and keep={keep}", "choose rounds >= 0 and 0 < keep <= 1"
        )
    source, target = check_pairs(source, target)
    found = fit_procrustes(source, target, centered, rank)
    pairs, smaller = source.shape[-2], min(source.shape[-1], target.shape[-1])
    kept = min(pairs, max(math.ceil(keep * pairs), smaller + 1))
    before = None
    for _ in range(rounds):
        rows = _nearest(found, source, target, kept, rank)
        if before is not None and torch.equal(rows, before):  # a further round would find the same map
            break
        before = rows
        found = fit_procrustes(
            source.take_along_dim(rows, -2), target.take_along_dim(rows, -2), centered, rank
        )
    return found


def _nearest(found: LinearMap, source: Tensor, target: Tensor, count: int, rank: int | None) -> Tensor:
    """Return the rows with the smallest residuals, in ascending order, int64 [..., count, 1]."""
    difference = found(source) - target
    if rank is not None:  # of the directions that are mapped alone
        difference = difference @ found.weight.mT @ found.weight
    residual = torch.linalg.vector_norm(difference, dim=-1)  # [..., K]
    return residual.argsort(dim=-1, stable=True)[..., :count].sort(dim=-1).values[..., None]


def _rounded_size(source: Tensor, target: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the scale of the rounding of ``X^T Y``: the rows were rounded before centering."""
    norm = torch.linalg.matrix_norm
    return norm(source.double()) * norm(y) + norm(x) * norm(target.double())


def _map_through_means(
    weight: Tensor, x_mean: Tensor, y_mean: Tensor, rank: int | None, directions: int
) -> LinearMap:
    """Return the map with this weight that sends the mean of the source to that of the target.

    Args:
        weight: [..., D_i, D_j].
        x_mean: [..., 1, D_i].
        y_mean: [..., 1, D_j].
        rank: Number of directions that the pairs determine; None for a stack.
        directions: Number of directions that a fit determines at best.
    """
    bias = y_mean - x_mean @ weight  # [..., 1, D_j]
    undetermined = None if rank is None else directions - rank
    return LinearMap(weight, bias if weight.ndim == 3 else bias.squeeze(0), rank, undetermined)

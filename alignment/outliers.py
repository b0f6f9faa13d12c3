r"""Which rows of a peer's anchors contradict all its others: a robust fit that honest rows leave unchanged.

Half of the rows, those with the smallest residuals, determine a rotation, and the next half is chosen by its
residuals until the half no longer changes: trimmed Procrustes (Rousseeuw 1984), in the directions in which
the half correlates strongly, and all rows to some extent. It starts from rows that are clipped to the median
length, so that a long row has no more weight than any other (deterministic start: Hubert, Rousseeuw and
Verdonck 2012).

With ``d`` such directions U of the source and V of the target, row k has the residual
``e_k = |x_k U - y_k V|^2 / d``: ``2 (1 - c)`` on average where the two correlate by c, 2 for a row that has
nothing to do with its tick. With ``s^2 = d median e / median of chi2_d`` the mean of an honest row, a row is
*bad* if ``e_k > l = min(1, FAR s^2)``: it is far from all others, or the target's mean would translate it
better. Honest encoders have a few bad rows, such as ticks at which something is hidden. So bad rows are left
out only where what they add up to exceeds by EXCESS what normal residuals of the same median would:

    sum_{bad k} e_k / K  >  EXCESS + s^2 P(chi2_{d+2} > l d / s^2)

and only where the others agree well, ``s^2 <= AGREEING``. Otherwise no row is left out, and the fit is that
of all rows, bit for bit. Of agents that share little, an honest row cannot be told from another one.
"""

from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AnyArray
from alignment.fit import check_pairs

STRONG: Final = 0.7  # correlation of the half from which a direction takes part
# Correlation of all rows, clipped, that it needs too: rows chosen by their residuals correlate in private
# directions by chance. Honest pairs that share 3 of 6 and 5 directions lost rows in half of all sets of 100
# without it; a fifth of opposite rows leaves 0.6 of a correlation.
OF_ALL_ROWS: Final = 0.45
FAR: Final = 10.0  # times what an honest row has on average
AGREEING: Final = 0.25  # s^2, correlations of about 0.87
EXCESS: Final = 0.15  # trained agents reach 0.09 in 64 rows and 0.06 in 256; a fifth of unrelated rows, 0.24
MIN_ROWS: Final = 64  # below which honest rows of trained agents were once left out
ROWS_PER_DIM: Final = 10  # rows for each dimension of both sides, below which half of them fit anything
MAX_ROUNDS: Final = 20


def find_outliers(source: AnyArray, target: AnyArray) -> Tensor:
    """Return which rows contradict the others, bool [K]; none where the module's test finds no outliers.

    Args:
        source: [K, D_i], cores of a peer: white about the origin.
        target: [K, D_j], own cores of the same ticks.

    Raises:
        AlignmentError: These are no pairs (`alignment.fit.check_pairs`).
    """
    x, y = (rows.double() for rows in check_pairs(source, target))
    none = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    enough = max(MIN_ROWS, ROWS_PER_DIM * (x.shape[1] + y.shape[1]))
    if not x.shape[1] or not y.shape[1] or len(x) < enough:
        return none
    residuals, directions = _residuals(x, y)
    if not directions:
        return none
    scale = float(residuals.median()) / (1 - 2 / (9 * directions)) ** 3  # Wilson and Hilferty 1931
    if scale > AGREEING:
        return none
    limit = min(1.0, FAR * scale)
    bad = residuals > limit
    excess = float(residuals[bad].sum()) / len(x) - _expected(scale, directions, limit)
    return bad if excess > EXCESS else none


def _residuals(x: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """Return the residual of each row, [K], and the number of directions that it is measured in."""
    half = len(x) // 2 + 1
    a, b = every = _clipped(x), _clipped(y)
    last, residuals, directions = None, x.new_zeros(len(x)), 0
    for _ in range(MAX_ROUNDS):
        u, _s, vt = torch.linalg.svd(a.mT @ b, full_matrices=False)
        # outliers lower the correlations of all rows: the first half is chosen in all directions with any
        strong = _correlations(a @ u, b @ vt.mT) > (0 if last is None else STRONG)
        if last is not None:
            strong &= _correlations(every[0] @ u, every[1] @ vt.mT) > OF_ALL_ROWS
        directions = int(strong.sum())
        if not directions:
            break
        residuals = (x @ u - y @ vt.mT)[:, strong].square().mean(1)
        rows = residuals.argsort(stable=True)[:half].sort().values
        if last is not None and torch.equal(rows, last):
            break
        last, a, b = rows, x[rows], y[rows]
    return residuals, directions


def _correlations(p: Tensor, q: Tensor) -> Tensor:
    """Return the correlation of each column of two sets of rows about the origin."""
    size = (p.square().sum(0) * q.square().sum(0)).sqrt()
    return (p * q).sum(0) / size.clamp_min(torch.finfo(torch.float64).tiny)


def _clipped(rows: Tensor) -> Tensor:
    """Return rows that are no longer than their median length."""
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows * (length.median() / length.clamp_min(torch.finfo(rows.dtype).tiny)).clamp_max(1)


def _expected(scale: float, directions: int, limit: float) -> float:
    """Return ``E[e; e > l]`` of normal residuals: ``e d / s^2`` is chi-squared with d degrees of freedom."""
    if scale <= 0:
        return 0.0
    shape, point = torch.tensor([(directions + 2) / 2, limit * directions / scale / 2], dtype=torch.float64)
    return scale * float(torch.special.gammaincc(shape, point))

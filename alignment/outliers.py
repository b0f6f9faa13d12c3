r"""Which rows of a peer's anchors contradict all its others: a robust fit that honest rows leave unchanged.

Half of the rows, those with the smallest residuals, determine pairs of directions by canonical correlation
(Hotelling 1936), and the next half is chosen by its residuals until the half no longer changes: least trimmed
squares (Rousseeuw 1984). It starts from rows that are clipped to the median length, so that a long row has no
more weight than any other (deterministic start: Hubert, Rousseeuw and Verdonck 2012). Then all rows but the
unusual ones take the place of the half, until these no longer change (reweighting: Rousseeuw and Leroy 1987).

With ``d`` pairs of directions U, V that correlate strongly, row k has the residual
``e_k = |x_k U - y_k V|^2 / d``: ``2 (1 - c)`` on average where the two correlate by c, 2 for a row that has
nothing to do with its tick. ``s^2 = d median e / median of chi2_d`` is the mean of an honest row. A row is
*unusual* if e_k is larger than of K normal rows half a one would be (Chauvenet's criterion). Honest encoders
have unusual rows too, such as ticks at which something is hidden, or the extremes of what they see. They are
left out only where all others agree well, ``s^2 <= AGREEING``, and in one of two cases. Rows of discrete
values are not for this test: those whose codes are equal have no residual, beside which all others look far.

They *turn the map*: without them the map that Procrustes fits to the others would move by more than INFLUENCE
of its mean squared residual (Cook 1977), and they pull it to one side. With r_k the residual vector of row k,
p_k = x_k U, and q_k what p_k does not explain of x_k, row k pulls by ``S_k = (p_k r_k^T - r_k p_k^T, sqrt(2)
q_k r_k^T)``, the gradient of its residual with respect to a turn of U. Pulls of honest rows are independent:
``T = |sum S_k|^2 / sum |S_k|^2`` is 1 on average, and more than COHERENT standard deviations of a chi-squared
variable above it hardly ever. Rows that were turned alike have a T of up to their number.

They are *far*: those with ``e_k > l = min(1, FAR s^2)``, farther than any honest row or worse than the
target's mean, add up to more, by EXCESS, than normal residuals of the same median would:

    sum_{far k} e_k / K  >  EXCESS + s^2 P(chi2_{d+2} > l d / s^2)

Otherwise no row is left out, and the fit is that of all rows, bit for bit. Of agents that share little, an
honest row cannot be told from another one.
"""

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

from alignment.arrays import AnyArray
from alignment.core import ROUNDING
from alignment.fit import check_pairs

# Correlation from which a direction takes part. Rows chosen by their residuals correlate by up to 0.75 in a
# private direction, by chance; directions that agree as well as AGREEING asks reach 0.87 in all rows.
STRONG: Final = 0.85
AGREEING: Final = 0.25  # s^2, correlations of about 0.87
# Share of the residual. In 2,032 sets of honest rows (of trained agents, encoders of digits, planted pairs)
# unusual rows that pull to one side moved the map by 0.16 at most, but for one set (0.38).
INFLUENCE: Final = 0.2
COHERENT: Final = 4.0  # standard deviations; of the cube root of chi-squared (Wilson and Hilferty 1931)
FAR: Final = 10.0  # times what an honest row has on average
EXCESS: Final = 0.15  # trained agents reach 0.09 in 64 rows and 0.06 in 256; a fifth of unrelated rows, 0.24
MIN_ROWS: Final = 64  # below which honest rows of trained agents were once left out
ROWS_PER_DIM: Final = 10  # rows for each dimension of both sides, below which half of them fit anything
MAX_ROUNDS: Final = 20


class _Fit(NamedTuple):
    """A robust fit.

    Attributes:
        source: x U, [K, d].
        target: y V, [K, d].
        axes: V, [D_j, d].
        residuals: e, [K].
        scale: s^2.
        unusual: Which rows are, bool [K].
    """

    source: Tensor
    target: Tensor
    axes: Tensor
    residuals: Tensor
    scale: float
    unusual: Tensor


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
    fit = _fit(x, y)
    if fit is None or fit.scale > AGREEING:
        return none
    if fit.unusual.any() and _influence(x, y, fit) > INFLUENCE and _pull_to_one_side(x, fit):
        return fit.unusual
    limit, dim = min(1.0, FAR * fit.scale), fit.source.shape[1]
    far = fit.residuals > limit
    excess = float(fit.residuals[far].sum()) / len(x) - _expected(fit.scale, dim, limit)
    return far if excess > EXCESS else none


def _fit(x: Tensor, y: Tensor) -> _Fit | None:
    """Return the robust fit of pairs [K, D_i] and [K, D_j]; None where no direction correlates strongly."""
    half = len(x) // 2 + 1
    # outliers lower the correlations of all rows: the first half is chosen in all directions with any
    u, v = _correlated_directions(_clipped(x), _clipped(y), 0.0)
    rows = x.new_zeros(0)
    for _ in range(MAX_ROUNDS):
        residuals = (x @ u - y @ v).square().mean(1)
        chosen = residuals.argsort(stable=True)[:half].sort().values
        if torch.equal(chosen, rows):
            break
        rows = chosen
        u, v = _correlated_directions(x[rows], y[rows], STRONG)
        if not u.shape[1]:
            return None
    unusual = torch.zeros(0, dtype=torch.bool)
    for _ in range(MAX_ROUNDS):
        residuals, dim = (x @ u - y @ v).square().mean(1), u.shape[1]
        scale = max(float(residuals.median()) / _chi_squared(dim, 0.0), ROUNDING)
        found = residuals > min(1.0, scale * _chi_squared(dim, _one_of(2 * len(x))))
        if torch.equal(found, unusual):
            break
        unusual = found
        u, v = _correlated_directions(x[~unusual], y[~unusual], STRONG)
        if not u.shape[1]:
            return None
    return _Fit(x @ u, y @ v, v, residuals, scale, found)


def _correlated_directions(x: Tensor, y: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Return pairs of directions, [D_i, d] and [D_j, d], whose correlation about the origin exceeds `least`.

    Along each the rows have a mean square of 1.
    """
    a, b = _whitening(x), _whitening(y)
    u, correlations, vt = torch.linalg.svd(a.mT @ (x.mT @ y / len(x)) @ b, full_matrices=False)
    strong = correlations > least
    return a @ u[:, strong], b @ vt.mT[:, strong]


def _whitening(rows: Tensor) -> Tensor:
    """Return W, [D, r], such that rows W have the identity as second moments; r is the rank of the rows."""
    values, vectors = torch.linalg.eigh(rows.mT @ rows / len(rows))
    kept = values > ROUNDING * values.max().clamp_min(torch.finfo(rows.dtype).tiny)
    return vectors[:, kept] * values[kept].rsqrt()


def _influence(x: Tensor, y: Tensor, fit: _Fit) -> float:
    """Return the share of its mean squared residual in the others by which unusual rows move the map."""
    kept = ~fit.unusual
    a, b = x[kept], y[kept]
    own = a @ _rotation(a, b)
    moved = ((a @ _rotation(x, y) - own) @ fit.axes).square().sum()
    residual, size = ((own - b) @ fit.axes).square().sum(), (b @ fit.axes).square().sum()
    return float(moved / residual.clamp_min(ROUNDING * float(size)))


def _rotation(x: Tensor, y: Tensor) -> Tensor:
    """Return the rotation that Procrustes fits about the origin, [D_i, D_j]."""
    u, _, vt = torch.linalg.svd(x.mT @ y, full_matrices=False)
    return u @ vt


def _pull_to_one_side(x: Tensor, fit: _Fit) -> bool:
    """Return whether unusual rows pull the map to one side, as independent rows do not."""
    dim, private = fit.source.shape[1], x.shape[1] - fit.source.shape[1]
    turns = dim * (dim - 1) // 2 + dim * private
    if not turns:
        return False
    kept, p = ~fit.unusual, fit.source
    explained = torch.linalg.lstsq(p[kept], x[kept]).solution
    p, r, q = (rows[fit.unusual] for rows in (p, fit.target - p, x - p @ explained))
    cross = p.mT @ r
    together = (cross - cross.mT).square().sum() + 2 * (q.mT @ r).square().sum()
    lengths = p.square().sum(1) + q.square().sum(1)
    apart = 2 * (lengths * r.square().sum(1) - (p * r).sum(1).square()).sum()
    return float(together) > float(apart) * _chi_squared(turns, COHERENT)


def _clipped(rows: Tensor) -> Tensor:
    """Return rows that are no longer than their median length."""
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows * (length.median() / length.clamp_min(torch.finfo(rows.dtype).tiny)).clamp_max(1)


def _chi_squared(freedom: int, deviations: float) -> float:
    """Return the value of chi-squared over its mean at so many normal deviations (Wilson and Hilferty 1931).

    The cube root of chi-squared over its mean is nearly normal; 0 deviations give the median.
    """
    spread = 2 / (9 * freedom)
    return max(0.0, 1 - spread + deviations * math.sqrt(spread)) ** 3


def _one_of(count: int) -> float:
    """Return the value that one of so many normal numbers exceeds on average, in standard deviations."""
    return float(torch.special.ndtri(torch.tensor(1 - 1 / count, dtype=torch.float64)))


def _expected(scale: float, freedom: int, limit: float) -> float:
    """Return ``E[e; e > l]`` of normal residuals: ``e d / s^2`` is chi-squared with d degrees of freedom."""
    if scale <= 0:
        return 0.0
    shape, point = torch.tensor([(freedom + 2) / 2, limit * freedom / scale / 2], dtype=torch.float64)
    return scale * float(torch.special.gammaincc(shape, point))

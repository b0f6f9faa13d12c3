r"""Which coordinates of a latent space are functions of others, by nonlinear regression.

A latent space that predicts the next tick holds the factors of the world and, beside them, powers and
products of these, which are predictable too and uncorrelated with the factors. Correlation cannot tell a
factor from a product of two others; a nonlinear regression can: products are explained by the factors, and a
factor is explained by nothing that came before it. No constant of the world stands in this rule.
"""

from typing import Final

import torch
from torch import Tensor

# Share of a coordinate's variance, on held-out rows, from which it is a function of others. In the default
# world factors were measured at 0.00 to 0.05 and functions of factors at 0.92 to 0.98.
EXPLAINED: Final = 0.5
MIXED: Final = 0.1  # a direction of which others explain from this share to 1 minus it is a mixture
MAX_ROWS: Final = 512  # rows that a regression is fitted on: it solves systems of this size
MAX_HELD_ROWS: Final = 2048
MIN_ROWS: Final = 8  # fewer explain nothing on held-out rows
WIDTHS: Final = (1.0, 2.0, 4.0)  # of the kernel, in root mean squares of a row
RIDGES: Final = (1e-3, 1e-2, 1e-1)


def select_independent(
    before: Tensor, after: Tensor, allowed: Tensor, noise: float, given: int = 0, limit: float = EXPLAINED
) -> tuple[list[int], Tensor]:
    """Return the columns that the columns selected before them do not explain.

    Columns are tried in their order. An allowed one is selected if those selected so far explain less than
    a limit of it, and if what they leave of it still predicts its own next value: of a noisy function they
    explain little, and leave noise. Regressions are fitted on the first half of the rows and scored on the
    second: rows in the order of time are held out in time.

    Args:
        before: [K, D], white; of fewer than `MIN_ROWS` nothing is explained.
        after: [K, D], the same columns one tick later.
        allowed: [D], bool; other columns are never selected.
        noise: Autocorrelation at or below which the remainder of a column counts as noise.
        given: Number of leading columns that are selected whatever they are.
        limit: Share of its variance; half by default.

    Returns:
        The selected columns, ascending, and the share of each column that those before it explain, [D].
    """
    selected = list(range(given))
    explained = torch.zeros(before.shape[1], dtype=torch.float64, device=before.device)
    if len(before) < MIN_ROWS:
        return selected + [given + column for column in _indices(allowed[given:])], explained
    fit, (held, later) = _halves(before.double())[0], (_halves(rows.double())[1] for rows in (before, after))
    predictable = torch.ones_like(allowed)
    if given:
        explained[given:], predictable = _explain(fit, held, later, selected, noise, given)
    for column in range(given, before.shape[1]):
        if allowed[column] and predictable[column] and explained[column] < limit:
            selected.append(column)
            explained[column + 1 :], predictable = _explain(fit, held, later, selected, noise, column + 1)
    return selected, explained


def _indices(mask: Tensor) -> list[int]:
    return [int(index) for index in mask.nonzero().flatten()]


def _explain(
    fit: Tensor, held: Tensor, later: Tensor, columns: list[int], noise: float, start: int
) -> tuple[Tensor, Tensor]:
    """Return the share of later columns that some columns explain, and which columns they leave predictable.

    Args:
        fit: [n, D], rows that the regressions are fitted on.
        held: [m, D], rows that they are scored on.
        later: [m, D], the same one tick later.
        columns: The columns that explain.
        noise: Autocorrelation at or below which a remainder counts as noise.
        start: First column to explain.

    Returns:
        The shares of the columns from `start` on, and bool [D].
    """
    mean, rows = fit.mean(0), len(held)
    scored = torch.cat([held, later])
    best, autocorrelation = (torch.full_like(mean, value) for value in (0.0, 1.0))
    for predicted in _predictions(fit[:, columns], scored[:, columns], fit - mean):
        error = scored - mean - predicted
        share = _share(held, error[:rows])
        now, then = error[:rows] - error[:rows].mean(0), error[rows:] - error[rows:].mean(0)
        left = (now * then).sum(0) / (held - held.mean(0)).square().sum(0).clamp_min(torch.finfo().tiny)
        autocorrelation = torch.where(share > best, left, autocorrelation)
        best = torch.maximum(best, share)
    return best[start:], autocorrelation > noise


def unmix(rows: Tensor, lagged: Tensor, noise: float) -> Tensor:
    """Return a rotation of white coordinates after which no factor is mixed with functions of others, [D, D].

    Predictability alone cannot separate a factor from a product that happens to be as predictable. Directions
    are taken one after the other, the most predictable first. One that the factors before it do not explain
    is the next factor, one that they explain is a function of them, and one that they explain in part is a
    mixture: in its place stands the most predictable direction of those that they do not explain. A clear
    factor is left as it is, since every rotation that is estimated costs some accuracy.

    Args:
        rows: [K, D], white, in the order of time.
        lagged: [D, D], their symmetric covariance with the next tick.
        noise: Predictability at or below which a direction counts as noise.
    """
    if len(rows) < MIN_ROWS:
        return torch.eye(rows.shape[1], dtype=torch.float64, device=rows.device)
    fit, held = _halves(rows.double(), MAX_HELD_ROWS)
    mean = fit.mean(0)
    factors, functions = (rows.new_zeros(rows.shape[1], 0, dtype=torch.float64) for _ in range(2))
    predicted: Tensor | None = None  # of the centered held-out rows, from the factors
    while (rest := _complement(torch.cat([factors, functions], 1))).shape[1]:
        value, direction = _most_predictable(rest, lagged)
        if value <= noise:
            break
        share = 0.0 if predicted is None else _explained_part(held - mean, predicted, direction)
        if predicted is not None and share > MIXED:
            free = _unexplained(held - mean, predicted, rest)
            value, unmixed = _most_predictable(free, lagged) if free.shape[1] else (noise, direction)
            if share > 1 - MIXED or value <= noise:
                functions = torch.cat([functions, direction], 1)
                continue
            direction = unmixed
        factors = torch.cat([factors, direction], 1)
        predicted = _best_prediction(fit, held, factors)
    return torch.cat([factors, functions, rest], 1)


def _most_predictable(directions: Tensor, lagged: Tensor) -> tuple[float, Tensor]:
    """Return the largest predictability within some orthonormal directions, and its direction, [D, 1]."""
    values, axes = torch.linalg.eigh(directions.T @ lagged @ directions)
    return float(values[-1]), directions @ axes[:, -1:]


def _best_prediction(fit: Tensor, held: Tensor, factors: Tensor) -> Tensor:
    """Return the prediction of the centered held-out rows from factors [D, m] that has the least error."""
    mean = fit.mean(0)
    predictions = _predictions(fit @ factors, held @ factors, fit - mean)
    rest = _complement(factors)  # the factors predict themselves in every regression
    errors = [((held - mean - predicted) @ rest).square().sum() for predicted in predictions]
    return predictions[int(torch.stack(errors).argmin())]


def _explained_part(held: Tensor, predicted: Tensor, direction: Tensor) -> float:
    """Return the share of a direction [D, 1] that a prediction of all coordinates explains."""
    actual = held @ direction
    return float(_share(actual, actual - predicted @ direction)[0])


def _unexplained(held: Tensor, predicted: Tensor, rest: Tensor) -> Tensor:
    """Return the part of some orthonormal directions [D, r] that a prediction explains less than half of.

    The covariance of the held-out rows with their prediction is that of the explained part alone; its
    eigenvectors separate what is explained from what is not.
    """
    joint = (predicted @ rest).T @ (held @ rest) / len(held)
    values, axes = torch.linalg.eigh((joint + joint.T) / 2)
    return rest @ axes[:, values < EXPLAINED]


def _complement(directions: Tensor) -> Tensor:
    """Return orthonormal directions orthogonal to some orthonormal ones, [D, m] -> [D, D - m]."""
    full = torch.linalg.qr(torch.cat([directions, torch.eye(len(directions)).to(directions)], 1)).Q
    return full[:, directions.shape[1] :]


def _share(actual: Tensor, error: Tensor) -> Tensor:
    """Return the share of the variance of each column that predictions explain, [n, D] each -> [D]."""
    total = (actual - actual.mean(0)).square().sum(0)
    return torch.where(total > 0, 1 - error.square().sum(0) / total, 0.0)


def _predictions(x: Tensor, x_held: Tensor, y: Tensor) -> list[Tensor]:
    """Return predictions of y [n, D] at held-out rows by each regression, [m, D] each."""
    between, across = torch.cdist(x, x).square(), torch.cdist(x_held, x).square()
    grams = [(_monomial_products(x, x), _monomial_products(x_held, x))]
    for width in WIDTHS:
        scale = 2 * width**2 * x.square().sum(1).mean()
        grams.append((torch.exp(-between / scale), torch.exp(-across / scale)))
    predictions = []
    for gram, gram_held in grams:
        for ridge in RIDGES:
            padded = gram + ridge * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
            factor, failed = torch.linalg.cholesky_ex(padded)
            if not failed:
                predictions.append(gram_held @ torch.cholesky_solve(y, factor))
    return predictions


def _monomial_products(x: Tensor, y: Tensor) -> Tensor:
    """Return the inner products of rows in 1, the columns, and their products of degree two, [n, m].

    ``sum_{i <= j} x_i x_j y_i y_j = (G^2 + (x^2) (y^2)^T) / 2`` with G = x y^T, elementwise squares.
    """
    gram = x @ y.T
    return 1 + gram + (gram.square() + x.square() @ y.square().T) / 2


def _halves(rows: Tensor, held_rows: int = MAX_ROWS) -> tuple[Tensor, Tensor]:
    """Return equally spaced rows of each half: at most `MAX_ROWS` to fit on, and so many held out."""
    half = len(rows) // 2
    return rows[: half : max(1, -(-half // MAX_ROWS))], rows[half :: -(-(len(rows) - half) // held_rows)]

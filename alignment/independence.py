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


def select_independent(rows: Tensor, allowed: Tensor) -> tuple[list[int], Tensor]:
    """Return the columns that the columns selected before them do not explain.

    Columns are tried in their order; the first allowed one is selected. Regressions are fitted on the first
    half of the rows and scored on the second: rows in the order of time are held out in time.

    Args:
        rows: [K, D], white; of fewer than `MIN_ROWS` nothing is explained.
        allowed: [D], bool; other columns are never selected.

    Returns:
        The selected columns, ascending, and the share of each column that those before it explain, [D].
    """
    selected: list[int] = []
    explained = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    if len(rows) < MIN_ROWS:
        return allowed.nonzero().flatten().tolist(), explained
    fit, held = _halves(rows.double())
    for column in range(rows.shape[1]):
        if allowed[column] and explained[column] < EXPLAINED:
            selected.append(column)
            later = slice(column + 1, None)
            explained[later] = explained_share(fit, held, selected)[later]
    return selected, explained


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


def explained_share(fit: Tensor, held: Tensor, columns: list[int]) -> Tensor:
    """Return the share of the variance of each column that some columns explain on held-out rows, [D].

    The best of several regressions, of two kinds that fail in different places: kernel ridge regression with
    a Gaussian kernel, which finds any smooth function of few columns, and ridge regression on all monomials
    up to degree two, which finds products of many. At least 0.

    Args:
        fit: [n, D], rows that the regressions are fitted on.
        held: [m, D], rows that they are scored on.
        columns: The columns that explain.
    """
    x, x_held = fit[:, columns], held[:, columns]
    mean = fit.mean(0)
    best = torch.zeros_like(mean)
    for predicted in _predictions(x, x_held, fit - mean):
        best = torch.maximum(best, _share(held, held - mean - predicted))
    return best


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

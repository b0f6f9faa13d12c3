r"""Maps between raw latents: how near a least-squares map is to a rotation with one scale.

The coordinates of a `CoreBasis` are white, so that a map between them can only show what two agents share.
The raw latents of an encoder have lengths and angles as well, if its objective fixes them: then the raw map
shows whether two agents agree in these too. Coordinates y and raw latents z differ by ``z = mean + y A``, and
all that matters of A is the metric ``G = A A^T``: with ``L L^T = G``, the rows ``y L`` are the raw latents up
to a rotation about their mean, which changes no score here. The metric of some directions U of the
coordinates is ``U^T G U``.

An objective that any invertible linear map of the latents leaves unchanged fixes no metric: its raw latents
are an arbitrary choice, and no score of them means anything.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AnyArray, Array, check_finite, like, to_tensor
from alignment.fit import center, check_pairs, fit_ridge
from alignment.score import kappa, r2

STRONG: Final = 0.5  # correlation from which a direction is one that two agents agree in
LEAST_SQUARES: Final = 1e-9  # ridge in pairs: none, but a map of too few pairs stays finite

Pairs = tuple[AnyArray, AnyArray]


@dataclass(frozen=True)
class RawScore:
    """Held-out scores of maps between raw latents.

    Attributes:
        directions: Number of directions that are mapped.
        r2: R2 of the least-squares map W.
        r2_similarity: R2 of the best rotation with one scale and an offset.
        kappa: Condition number of W; infinite where it drops a direction.
        largest: Largest singular value of W.
        smallest: Smallest singular value of W.
    """

    directions: int
    r2: float
    r2_similarity: float
    kappa: float
    largest: float
    smallest: float


def raw_metric(transform: Array) -> Array:
    """Return ``G = A A^T`` [D, D] of the way back A from coordinates ``(z - mean) T`` to raw latents z."""
    given = to_tensor(transform, "transform").double()
    check_finite(given, "the transform", "check the encoder that it was found for")
    back = torch.linalg.pinv(given)
    return like(back @ back.mT, transform)


def score_raw(fit: Pairs, held: Pairs, metrics: Pairs, axes: Pairs | None = None) -> RawScore:
    """Return the scores of maps between the raw latents of some directions.

    Args:
        fit: White coordinates to fit on, [K, D_i] and [K, D_j].
        held: White coordinates to score on, [H, D_i] and [H, D_j].
        metrics: Metric of each side, [D_i, D_i] and [D_j, D_j].
        axes: Orthonormal directions of each side, [D_i, k] and [D_j, k]; by default all.
    """
    pairs, scored = check_pairs(*fit), check_pairs(*held)
    sides = []
    for number, metric in enumerate(metrics):
        given = to_tensor(metric, "metric").double()
        u = to_tensor(axes[number], "axes").double() if axes else torch.eye(len(given)).to(given)
        to_raw = u @ _square_root(u.mT @ given @ u)
        sides.append([rows[number].double() @ to_raw for rows in (pairs, scored)])
    (x, x_held), (y, y_held) = sides
    least_squares = fit_ridge(x, y, LEAST_SQUARES)
    values = torch.linalg.svdvals(least_squares.weight)
    return RawScore(
        directions=len(values),
        r2=r2(least_squares(x_held), y_held),
        r2_similarity=r2(_similarity(x, y, x_held), y_held),
        kappa=kappa(values),
        largest=float(values.max()),
        smallest=float(values.min()),
    )


def _similarity(source: Tensor, target: Tensor, held: Tensor) -> Tensor:
    """Return held-out rows mapped by the rotation, scale and offset that map source best onto target.

    ``s Q`` with ``X^T Y = U S V^T``, ``Q = U V^T`` and ``s = tr S / |X Q|^2`` (Umeyama 1991).
    """
    (x, x_mean), (y, y_mean) = center(source), center(target)
    u, values, vt = torch.linalg.svd(x.mT @ y, full_matrices=False)
    rotated = u @ vt
    size = (x @ rotated).square().sum()
    scale = values.sum() / size if size > 0 else 0.0
    return (held - x_mean) @ rotated * scale + y_mean


def _square_root(metric: Tensor) -> Tensor:
    """Return the symmetric R with ``R R = M`` of a matrix without negative eigenvalues."""
    values, axes = torch.linalg.eigh(metric)
    return axes * values.clamp_min(0).sqrt() @ axes.mT

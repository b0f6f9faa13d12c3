"""What orthogonal Procrustes reaches on the same anchors: the method that most toolboxes offer."""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from alignment.embeddings.alignment import Alignment, ComparedSides
from alignment.embeddings.edge import EmbeddingEdge, Side
from alignment.score import r2, retrieval_at


class MethodScore(NamedTuple):
    """Held-out scores of one method in one direction.

    Attributes:
        source: Name of the table that is translated.
        target: Name of the table whose space it is translated into.
        method: Name of the method.
        r2: R2 on all dimensions of the target in its own units.
        r2_white: R2 on all dimensions of the white target, each counted alike.
        r2_shared: R2 on the shared directions of the white target.
        retrieval_at_1: Share of anchors whose translation is nearest to the right one.
    """

    source: str
    target: str
    method: str
    r2: float
    r2_white: float
    r2_shared: float
    retrieval_at_1: float


def compare_methods(alignment: Alignment, sides: ComparedSides) -> list[MethodScore]:
    """Return the scores of an alignment's maps, and of Procrustes on the same rows, in both directions."""
    found = []
    for edge, source, target in (
        (alignment.forward, sides.first, sides.second),
        (alignment.backward, sides.second, sides.first),
    ):
        x, y = source.held[sides.scored], target.held[sides.scored]
        shared = edge.map.shared(x)
        found += [
            _score(edge, target, "shared directions", shared, y, edge.retrieval_at_1),
            _score(edge, target, "full regression", edge.map.full(x), y),
            _score(edge, target, "Procrustes, white rows", _procrustes_white(source, target, x), y),
            _score(edge, target, "Procrustes, raw rows", procrustes(source.fit, target.fit, x), y),
        ]  # fmt: skip
    return found


def procrustes(source: Tensor, target: Tensor, held: Tensor, scaled: bool = True) -> Tensor:
    """Return held-out rows translated by `scipy.linalg.orthogonal_procrustes` of centered rows, [H, D_j].

    The narrower side is padded with zeros, as is usual for unequal widths.

    Args:
        source: [K, D_i], rows to fit on.
        target: [K, D_j].
        held: [H, D_i].
        scaled: Whether the rotation is also scaled by least squares.
    """
    x_mean, y_mean = source.mean(0), target.mean(0)
    width = max(source.shape[1], target.shape[1])
    x, y, new = (
        np.pad(rows.numpy(), ((0, 0), (0, width - rows.shape[1])))
        for rows in (source - x_mean, target - y_mean, held - x_mean)
    )
    rotation, size = scipy.linalg.orthogonal_procrustes(x, y)
    scale = size / max(np.square(x).sum(), np.finfo(float).tiny) if scaled else 1.0
    return torch.from_numpy(scale * new @ rotation)[:, : target.shape[1]] + y_mean


def _procrustes_white(source: Side, target: Side, held: Tensor) -> Tensor:
    """Return held-out rows translated by Procrustes between white rows, in the target's own units."""
    found = procrustes(
        source.whitening(source.fit), target.whitening(target.fit), source.whitening(held), scaled=False
    )
    return found @ target.whitening.inverse + target.whitening.mean


def _score(
    edge: EmbeddingEdge,
    target: Side,
    method: str,
    predicted: Tensor,
    actual: Tensor,
    retrieval: float | None = None,
) -> MethodScore:
    """Return the scores of one method; retrieval is that of the prediction unless it is given.

    Retrieval of a baseline is the better one of its distances in the target's own units and in white ones.
    """
    white, white_actual = target.whitening(predicted), target.whitening(actual)
    axes = edge.map.target_axes
    leading = edge.map.target
    shared = r2(leading(predicted) @ axes, leading(actual) @ axes) if axes.shape[1] else 0.0
    if retrieval is None:
        retrieval = max(retrieval_at(predicted, actual), retrieval_at(white, white_actual))
    return MethodScore(
        edge.source, edge.target, method, r2(predicted, actual), r2(white, white_actual), shared, retrieval
    )

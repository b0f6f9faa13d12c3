"""One edge between two tables of embeddings: what they share, the map, and its held-out scores."""

import html
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from torch import Tensor

from alignment.arrays import Array, like, to_tensor
from alignment.embeddings.fit import calibrate, fit_ridge_left_out
from alignment.embeddings.whitening import Whitening
from alignment.held_out import HeldOut
from alignment.linear_map import LinearMap
from alignment.plots import draw_edge, new_axes
from alignment.score import r2, retrieval_at
from alignment.shapes_repr import shapes_repr
from alignment.shared_subspace import SharedSubspace, find_shared
from alignment.status import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERMUTATION: Final = "permutation"
TIME_SHIFT: Final = "time shift"


class Dimensions(NamedTuple):
    """Where the dimensions of one table are: they add up to all of them.

    Attributes:
        shared: Directions that agree with the other table.
        private: Directions that were compared and do not.
        undetermined: Directions that the rows are too few to compare.
        constant: Directions in which its rows do not vary.
    """

    shared: int
    private: int
    undetermined: int
    constant: int

    @property
    def total(self) -> int:
        """Dimensions of the table."""
        return sum(self)


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingMap:
    """The map of an edge, with the whitening of both tables.

    Attributes:
        source: Whitening of the source: its owner's, refined on the pairs.
        target: Whitening of the target.
        source_axes: [r_i, k], shared directions among the source's white coordinates.
        target_axes: [r_j, k], the direction of the target that belongs to each.
        slopes: [k], how much of each direction to trust, 0 to 1.
        errors: [k], root mean square of the error along each, in standard deviations of the target.
        full: Ridge regression of all dimensions of the target on all of the source, in their own units.
    """

    source: Whitening
    target: Whitening
    source_axes: Tensor
    target_axes: Tensor
    slopes: Tensor
    errors: Tensor
    full: LinearMap

    def __repr__(self) -> str:
        """Return sizes."""
        dims = f"{len(self.source.mean)} -> {len(self.target.mean)}"
        return f"{type(self).__name__}({dims}, {len(self.slopes)} shared directions)"

    @cached_property
    def shared(self) -> LinearMap:
        """The map of the shared directions in the tables' own units; the others are at the target's mean."""
        turned = (self.source_axes * self.slopes) @ self.target_axes.T
        weight = self.source.transform @ turned @ self.target.inverse
        return LinearMap(weight, self.target.mean - self.source.mean @ weight)

    def __call__(self, embeddings: Array) -> Array:
        """Return embeddings of the source in the target's space, [..., D_i] -> [..., D_j].

        Args:
            embeddings: A tensor or an array; the result is of the same kind, type and device.

        Raises:
            AlignmentError: The embeddings have another dimension.
        """
        return _of_same_kind(self.shared(_plain(embeddings)), embeddings)

    def translate_all(self, embeddings: Array) -> Array:
        """Return the prediction of all of the target by the full regression, [..., D_i] -> [..., D_j]."""
        return _of_same_kind(self.full(_plain(embeddings)), embeddings)

    def source_coordinates(self, embeddings: Array) -> Array:
        """Return coordinates of the source's embeddings among the target's, [..., D_i] -> [..., k].

        The distance to `target_coordinates` is in standard errors of the translation along each direction:
        the nearest target is the most likely one.
        """
        white = self.source(_plain(embeddings)) @ self.source_axes
        return _of_same_kind(white * (self.slopes / self.errors), embeddings)

    def target_coordinates(self, embeddings: Array) -> Array:
        """Return the target's side of `source_coordinates`, [..., D_j] -> [..., k]."""
        return _of_same_kind(self.target(_plain(embeddings)) @ self.target_axes / self.errors, embeddings)


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingEdge:
    """What is known about one ordered pair of tables; all scores are of held-out anchors.

    Attributes:
        source: Name of the table that is translated.
        target: Name of the table whose space it is translated into.
        status: Accepted if at least one direction is shared.
        reason: What is shared and what is private, or why nothing is translated: a sentence.
        null: Kind of the null: a permutation of rows, or a time shift.
        null_correlation: Correlation that a direction must exceed to be shared.
        correlations: Canonical correlation of each pair of directions, descending; source_dims.shared of them
            are shared.
        r2_shared: R2 of the map on the shared directions of the target; 0 without any.
        r2: R2 of the full regression on all dimensions of the target, in its own units.
        retrieval_at_1: Share of anchors whose translation is nearest to the right one of all held-out
            anchors.
        fit_anchors: Anchors that the map is fitted on.
        outliers: Further anchors, left out of the fit since they contradict all others.
        heldout_anchors: Anchors that it is scored on.
        source_dims: Dimensions of the source.
        target_dims: Dimensions of the target.
        map: The map.
    """

    source: str
    target: str
    status: Status
    reason: str
    null: str
    null_correlation: float
    correlations: tuple[float, ...]
    r2_shared: float
    r2: float
    retrieval_at_1: float
    fit_anchors: int
    outliers: int
    heldout_anchors: int
    source_dims: Dimensions
    target_dims: Dimensions
    map: EmbeddingMap

    @property
    def shared_dim(self) -> int:
        """Number of shared directions, k."""
        return self.source_dims.shared

    def __repr__(self) -> str:
        """Return the verdict on one line."""
        found = f"{self.shared_dim} directions shared, R2 {self.r2_shared:.3f}"
        return f"{type(self).__name__}({self.source} -> {self.target}, {self.status}, {found})"

    def _repr_html_(self) -> str:
        """Return the verdict and the scores."""
        scores = {"R²": self.r2, "R² shared": self.r2_shared, "retrieval@1": self.retrieval_at_1}
        rows = "".join(f"<tr><th>{name}</th><td>{value:.3f}</td></tr>" for name, value in scores.items())
        title = html.escape(f"{self.source} → {self.target}: {self.reason}")
        return f"<p><b>{title}</b></p><table><tbody>{rows}</tbody></table>"

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw the held-out correlation of each pair of directions and the null; return the axes.

        Args:
            axes: Where to draw; default: a new figure.
        """
        return draw_edge(axes if axes is not None else new_axes(5.0, 3.2), self, f"null ({self.null})")

    def __call__(self, embeddings: Array) -> Array:
        """Return embeddings of the source in the target's space, see `EmbeddingMap`."""
        return self.map(embeddings)


@dataclass(frozen=True, eq=False)
class Side:
    """One table as an edge needs it.

    Attributes:
        name: Its name.
        whitening: Its own whitening.
        fit: Embeddings of the anchors to fit on, [K, D].
        held: Embeddings of the held-out anchors; in the order of time the whole stretch, [P, D].
    """

    name: str
    whitening: Whitening
    fit: Tensor
    held: Tensor

    __repr__ = shapes_repr


def fit_edge(
    source: Side, target: Side, compared: tuple[Whitening, Whitening], scored: Tensor, memory: int | None,
    outliers: int = 0,
) -> EmbeddingEdge:  # fmt: skip
    """Return the edge from one table to another.

    Args:
        source: The table to translate.
        target: The table to translate into.
        compared: The coordinates of source and target to compare, white on the rows to fit on.
        scored: [H], int64, which of the held-out rows are scored.
        memory: Rows after which the embeddings no longer resemble themselves; None: rows have no order in
            time.
        outliers: Anchors that were left out.
    """
    from_, to = compared
    x, y, stretch = from_(source.fit), to(target.fit), to(target.held)
    held = HeldOut(from_(source.held)[scored], stretch, scored, memory)
    found = find_shared(x, y, held, extrapolate=memory is not None)
    k = found.dim
    axes, target_axes = found.source_axes[:, :k], found.target_axes[:, :k]
    slopes, errors = calibrate(x, y, target_axes) if k else (y.new_zeros(0), y.new_zeros(0))
    full = fit_ridge_left_out(source.fit, target.fit)
    made = EmbeddingMap(from_, to, axes, target_axes, slopes, errors, full)
    shared_r2 = r2(held.source @ (axes * slopes), held.target @ target_axes) if k else 0.0
    null = PERMUTATION if memory is None else TIME_SHIFT
    return _score(source, target, made, found, scored, shared_r2, null, outliers)


def _score(
    source: Side, target: Side, made: EmbeddingMap, found: SharedSubspace, scored: Tensor, shared_r2: float,
    null: str, outliers: int,
) -> EmbeddingEdge:  # fmt: skip
    """Return the edge of a fitted map with its scores on the held-out rows."""
    k, x, y = found.dim, source.held[scored], target.held[scored]
    dims = [
        Dimensions(k, white.dim - k, side.whitening.dim - white.dim, side.fit.shape[1] - side.whitening.dim)
        for side, white in ((source, made.source), (target, made.target))
    ]
    status, reason = _decide((source.name, target.name), dims, found, null, shared_r2)
    if outliers:
        share = f"{outliers} of {outliers + len(source.fit)} anchors"
        reason = f"{share} contradict the others in one of the tables: left out; {reason}"
    return EmbeddingEdge(
        source=source.name, target=target.name, status=status, reason=reason, null=null,
        null_correlation=found.null_level, correlations=tuple(found.correlations.tolist()),
        r2_shared=shared_r2, r2=r2(made.full(x), y), retrieval_at_1=_retrieval(made, x, y),
        fit_anchors=len(source.fit), outliers=outliers, heldout_anchors=len(scored),
        source_dims=dims[0], target_dims=dims[1], map=made,
    )  # fmt: skip


def _retrieval(made: EmbeddingMap, source: Tensor, target: Tensor) -> float:
    if not len(made.slopes):
        return 0.0
    return retrieval_at(made.source_coordinates(source), made.target_coordinates(target))


def _decide(
    names: tuple[str, str], dims: list[Dimensions], found: SharedSubspace, null: str, shared_r2: float
) -> tuple[Status, str]:
    """Return whether an edge is accepted, and a sentence."""
    of_names = list(zip(names, dims, strict=True))
    undetermined = _list((part.undetermined, part.total, name) for name, part in of_names)
    too_few = f"; the pairs are too few to compare {undetermined}" if undetermined else ""
    if found.dim == 0:
        strongest = float(found.correlations[0]) if len(found.correlations) else 0.0
        return Status.REFUSED, (
            f"no direction is shared: the strongest correlation on held-out anchors ({strongest:.2f}) does "
            f"not exceed the null ({null}: {found.null_level:.2f}){too_few}"
        )
    if shared_r2 <= 0:
        return Status.REFUSED, (
            f"the {found.dim} directions above the null translate no better than their mean (held-out R2 "
            f"{shared_r2:.2f}){too_few}"
        )
    verb = "direction is" if found.dim == 1 else "directions are"
    private = _list((part.private, part.total, name) for name, part in of_names)
    return Status.ACCEPTED, (
        f"{found.dim} {verb} shared"
        + (f", private are {private}" if private else ", none is private")
        + too_few
    )


def _list(counts: Any) -> str:
    return ", ".join(f"{count} of {total} of {name}" for count, total, name in counts if count)


def _plain(embeddings: Any) -> Tensor:
    """Return embeddings as a float64 tensor on the CPU."""
    return to_tensor(embeddings, "embeddings").detach().double().cpu()


def _of_same_kind(found: Tensor, given: Array) -> Array:
    """Return a result in the kind, floating type and device of what was given."""
    if isinstance(given, Tensor):
        return found.to(given.device, given.dtype if given.is_floating_point() else None)
    made = like(found, given)
    kind = getattr(given, "dtype", made.dtype)
    return made.astype(kind) if kind.kind == "f" else made

"""A scikit-learn estimator that translates embeddings of one encoder into the space of another.

scikit-learn is an optional dependency, so no other module imports this one.
"""

import warnings
from typing import Any, ClassVar, Final

import numpy as np

from alignment.arrays import AlignmentError
from alignment.embeddings.alignment import Alignment
from alignment.embeddings.edge import EmbeddingEdge
from alignment.embeddings.pairs import MIN_HELD, AlignSettings
from alignment.embeddings.peer import align
from alignment.score import r2
from alignment.status import Status

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_array, check_is_fitted, validate_data
except ModuleNotFoundError as error:
    raise ImportError(
        "alignment.adapters.scikit_learn needs scikit-learn: pip install 'social-jepa[sklearn]'"
    ) from error

SHARED: Final = "shared"
ALL: Final = "all"
MIN_ROWS: Final = 2 * MIN_HELD
FLOATS: Final = [np.float64, np.float32]


class NoSharedDirectionWarning(UserWarning):
    """Two tables share no direction, so that every row is translated to the mean of the target."""


class EmbeddingTranslator(TransformerMixin, BaseEstimator):
    """Translate embeddings of one encoder into the space of another.

    ``fit`` compares paired rows as `alignment.embeddings` does: it finds the directions that the two tables
    share, on rows that no map is fitted on and against a null, and fits a map in each direction. Row k of X
    and row k of y are embeddings of the same item; at least 32 are needed.

    Args:
        directions: "shared" translates the shared directions and puts all others at the target's mean;
            "all" is a ridge regression of all dimensions of y on all of X.
        pairs: Pairs to fit on; None for all that are not held out, up to 32,768.
        heldout: Share of the rows that decides what is shared and gives the scores of the edges.
        seed: Seed of the choice of the held-out rows.
        time_order: Whether rows are consecutive ticks: the null then is a shift in time.
        memory: Rows after which the embeddings no longer resemble themselves, for time_order.

    Attributes:
        alignment_: The edges in both directions, `alignment.embeddings.alignment.Alignment`.
        edge_: The edge from X to y, with its reason, correlations and null.
        shared_dim_: Number of shared directions.
        r2_shared_: R2 of the map on the shared directions of y, on held-out rows.
        n_features_in_: Dimensions of X.
        n_features_out_: Dimensions of y.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((400, 8))
        >>> y = X[:, :3] @ rng.standard_normal((3, 5)) + 0.1 * rng.standard_normal((400, 5))
        >>> found = EmbeddingTranslator().fit(X, y)
        >>> found.shared_dim_, found.transform(X).shape
        (3, (400, 5))
    """

    _min_rows: ClassVar[int] = MIN_ROWS

    def __init__(
        self,
        directions: str = SHARED,
        *,
        pairs: int | None = None,
        heldout: float = 0.5,
        seed: int = 0,
        time_order: bool = False,
        memory: int | None = None,
    ) -> None:
        self.directions = directions
        self.pairs = pairs
        self.heldout = heldout
        self.seed = seed
        self.time_order = time_order
        self.memory = memory

    def fit(self, X: Any, y: Any) -> "EmbeddingTranslator":
        """Find what two tables share, and fit the maps in both directions.

        Args:
            X: [K, D_i], embeddings by the source's encoder.
            y: [K, D_j], embeddings of the same items by the target's; or [K].

        Warns:
            NoSharedDirectionWarning: No direction exceeds the null.

        Raises:
            AlignmentError: The tables cannot be compared, or a parameter is out of range; a ValueError.
        """
        if self.directions not in (SHARED, ALL):
            raise AlignmentError(f"directions is {self.directions!r}", f"choose {SHARED!r} or {ALL!r}")
        names = getattr(y, "columns", None)
        X, y = validate_data(
            self, X, y, multi_output=True, y_numeric=True, dtype=FLOATS, ensure_min_samples=self._min_rows
        )
        self._single_output = y.ndim == 1
        settings = AlignSettings(
            pairs=self.pairs, heldout=self.heldout, seed=self.seed, time_order=self.time_order,
            memory=self.memory,
        )  # fmt: skip
        target = _as_table(y)
        self.alignment_ = self._compared(X, target, settings)
        self.n_features_out_ = target.shape[1]
        self._target_names = None if names is None else np.asarray([str(name) for name in names], object)
        if self.edge_.status is not Status.ACCEPTED and self.directions == SHARED:
            warnings.warn(self.edge_.reason, NoSharedDirectionWarning, stacklevel=2)
        return self

    @property
    def edge_(self) -> EmbeddingEdge:
        """The edge from X to y."""
        return self.alignment_.forward

    @property
    def shared_dim_(self) -> int:
        """Number of shared directions."""
        return self.edge_.shared_dim

    @property
    def r2_shared_(self) -> float:
        """R2 of the map on the shared directions of y, on held-out rows; 0 without any."""
        return self.edge_.r2_shared

    def transform(self, X: Any) -> np.ndarray:
        """Return embeddings of the source in the target's space, [K, D_i] -> [K, D_j]."""
        check_is_fitted(self)
        return self._translated(self.edge_, validate_data(self, X, dtype=FLOATS, reset=False))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return embeddings of the target in the source's space, [K, D_j] -> [K, D_i].

        This is the map that was fitted in that direction, not the inverse of the other: where few directions
        are shared, or y is noisy, the two differ.
        """
        check_is_fitted(self)
        rows = _as_table(check_array(X, dtype=FLOATS, ensure_2d=not self._single_output))
        if rows.shape[1] != self.n_features_out_:
            raise AlignmentError(
                f"the target has {self.n_features_out_} dimensions, got rows of {rows.shape[1]}",
                "pass rows in the space of y",
            )
        return self._translated(self.alignment_.backward, rows)

    def score(self, X: Any, y: Any) -> float:
        """Return R2 of ``transform(X)`` against y over all dimensions: the share of their variance explained.

        Score on rows that were not passed to ``fit``. `r2_shared_` has the R2 on the shared directions alone.
        """
        predicted = self.transform(X)
        return r2(predicted, _as_table(check_array(y, dtype=FLOATS, ensure_2d=False)))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return a name for each column of ``transform``: those of y, if ``fit`` was given a DataFrame."""
        check_is_fitted(self)
        if self._target_names is not None:
            return self._target_names
        prefix = type(self).__name__.lower()
        return np.asarray([f"{prefix}{column}" for column in range(self.n_features_out_)], object)

    def _compared(self, first: np.ndarray, second: np.ndarray, settings: AlignSettings) -> Alignment:
        return align(first, second, settings)

    def _translated(self, edge: EmbeddingEdge, rows: np.ndarray) -> np.ndarray:
        return edge.map(rows) if self.directions == SHARED else edge.map.translate_all(rows)

    def __sklearn_tags__(self) -> Any:
        """Return the tags of the estimator, which scikit-learn asks for."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _as_table(rows: np.ndarray) -> np.ndarray:
    return rows[:, None] if rows.ndim == 1 else rows

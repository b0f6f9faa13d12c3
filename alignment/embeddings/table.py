"""A table of embeddings: one row for each anchor of a peer, in memory, on disk, or made by a callable."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from alignment.anchor_ids import AnchorIds, to_ids
from alignment.arrays import AlignmentError, AnyArray, check_finite, to_tensor

Embed = Callable[[Sequence[Any]], AnyArray]
BATCH: Final = 256  # ids that a callable embeds at once


class EmbeddingTable:
    """One embedding for each of a peer's anchors.

    Attributes:
        name: Its name.
        ids: K ids of the anchors, or None where row numbers take their place.
    """

    def __init__(self, name: str, ids: Iterable[object] | None, vectors: AnyArray | Embed) -> None:
        """Check names and shapes; values are checked when they are read.

        Args:
            name: Name of the peer.
            ids: One id for each row: integers, strings (such as the ids of `AnchorItems`) or bytes. None:
                rows
                are matched by position.
            vectors: [K, D], a tensor or an array, which may be memory-mapped and is then read by need; or a
                callable that returns the embeddings [n, D] of a list of n ids, called once for every id.

        Raises:
            AlignmentError: The parts do not fit together.
        """
        self.name = name
        self.ids: AnchorIds | None = None if ids is None else to_ids(ids, name)
        if callable(vectors) and self.ids is None:
            raise AlignmentError(f"{name} embeds ids and has none", "pass the ids of its anchors")
        self._embed = vectors if callable(vectors) else None
        self._vectors: AnyArray | None = None if callable(vectors) else self._checked(vectors)

    def __len__(self) -> int:
        """Return the number of anchors."""
        return len(self.ids) if self.ids is not None else len(self.vectors)

    def __repr__(self) -> str:
        """Return name and size."""
        dim = self._vectors.shape[1] if self._vectors is not None else "?"
        return f"{type(self).__name__}({self.name!r}, {len(self)} anchors, {dim} dimensions)"

    @property
    def vectors(self) -> AnyArray:
        """Embeddings of all anchors, [K, D], as they were given; a callable is called on first use."""
        if self._vectors is None:
            assert self._embed is not None
            assert self.ids is not None
            batches = [self.ids[start : start + BATCH] for start in range(0, len(self.ids), BATCH)]
            parts = [self._embedded(self._embed, batch) for batch in batches]
            self._vectors = self._checked(torch.cat(parts) if parts else torch.zeros(0, 0))
        return self._vectors

    @property
    def dim(self) -> int:
        """Number of dimensions, D."""
        return int(self.vectors.shape[1])

    @property
    def resolution(self) -> float:
        """Relative rounding of a value in the type that the embeddings are stored in."""
        dtype = self.vectors.dtype
        if isinstance(dtype, torch.dtype):
            return torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
        return float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0

    def take(self, rows: Tensor) -> Tensor:
        """Return the embeddings of these rows, float64 [len(rows), D].

        Raises:
            AlignmentError: One holds a value that is not finite; the message names its id.
        """
        if isinstance(self.vectors, Tensor):
            found = self.vectors.detach()[rows.to(self.vectors.device)].cpu()
        else:
            found = to_tensor(self.vectors[rows.numpy()], self.name)
        found = found.double()
        if not torch.isfinite(found).all():
            row = int(rows[(~torch.isfinite(found)).any(1).nonzero()[0, 0]])
            where = f"row {row}" + (f" (id {self.ids[row]!r})" if self.ids is not None else "")
            raise AlignmentError(
                f"{where} of {self.name} holds a value that is not finite",
                "leave this anchor out of both tables, or embed it again",
            )
        return found

    def _embedded(self, embed: Embed, batch: Sequence[Any]) -> Tensor:
        rows = to_tensor(embed(list(batch)), f"what {self.name} embeds")
        if rows.ndim != 2 or len(rows) != len(batch):
            raise AlignmentError(
                f"{self.name} returned {tuple(rows.shape)} for {len(batch)} ids",
                "return one row [D] for each id, in their order",
            )
        check_finite(rows, f"what {self.name} embeds", "check its encoder")
        return rows.detach().cpu()

    def _checked(self, vectors: Any) -> AnyArray:
        array = vectors if isinstance(vectors, Tensor | np.ndarray) else np.asarray(vectors)
        if array.ndim != 2:
            raise AlignmentError(
                f"{self.name} has embeddings of shape {tuple(array.shape)}, not [K, D]",
                "pass one row for each anchor; pool tokens or patches into one vector first",
            )
        to_tensor(array[:1], self.name)  # its type is one of real numbers
        if self.ids is not None and len(array) != len(self.ids):
            raise AlignmentError(
                f"{self.name} has {len(array)} rows and {len(self.ids)} ids", "pass one id for each row"
            )
        return array

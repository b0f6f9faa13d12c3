"""Anchor ids of any kind: ticks of a scene, or names such as the content hashes of files.

An id is an integer or a string; ids of one set are of one kind. Two peers agree on anchors by their ids
alone, so that no order of rows, no library and no machine may change what is chosen.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TypeVar

import numpy as np
from torch import Tensor

from alignment.arrays import AlignmentError, to_integers

AnchorId = int | str
Id = TypeVar("Id", int, str)
AnchorIds = tuple[int, ...] | tuple[str, ...]


def to_ids(values: Iterable[object], name: str) -> AnchorIds:
    """Return ids as Python integers or strings; bytes become hexadecimal digits.

    Args:
        values: Integers, strings or bytes, all of one kind; also as an array.
        name: Whose ids they are, for the message.

    Raises:
        AlignmentError: They are of several kinds or of another one, or an id is listed twice.
    """
    given = values.tolist() if isinstance(values, Tensor | np.ndarray) else list(values)
    named = [value.hex() if isinstance(value, bytes) else value for value in given]
    texts = [str(value) for value in named if isinstance(value, str)]
    if texts and len(texts) < len(named):
        raise AlignmentError(f"{name} has ids of several kinds", "pass all as integers or all as strings")
    ids: AnchorIds = tuple(texts) or to_integers(named, f"ids of {name}")
    if len(set(ids)) < len(ids):
        seen: set[AnchorId] = set()
        twice = next(each for each in ids if each in seen or seen.add(each))  # type: ignore[func-returns-value]
        raise AlignmentError(f"{name} lists the id {twice!r} twice", "keep one row for each id")
    return ids


def choose_ids(pool: Sequence[Id], count: int, seed: int) -> tuple[Id, ...]:
    """Return ``count`` distinct ids of a pool in the order of their hash, which is the same everywhere.

    A hash of (seed, id), unlike a random generator, is the same in every version of every library, which
    peers on different machines need; and a larger count only adds ids to those of a smaller one.

    Args:
        pool: Ids to choose from; their order does not matter.
        count: How many to choose, 0 to the number of ids.
        seed: The joint seed of the two peers.
    """
    start = blake2b(f"{int(seed)}:".encode(), digest_size=16)

    def hash_of(each: Id) -> tuple[bytes, Id]:
        hashed = start.copy()  # a third of the cost of a new one, a thousand times for each edge
        hashed.update(str(each).encode())
        return hashed.digest(), each

    return tuple(sorted(pool, key=hash_of)[:count])

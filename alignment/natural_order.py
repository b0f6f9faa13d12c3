"""The order of names, agent-2 before agent-10, and lists of them in messages."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

NAMED: Final = 8  # names of a longer list that a message spells out


@lru_cache(maxsize=4096)
def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that compares numbers within a name by value: agent-2 comes before agent-10."""
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name


def list_names(names: Iterable[str], most: int = NAMED) -> str:
    """Return names in their natural order as one text; of more than `most`, how many are left out."""
    ordered = sorted(names, key=natural_key)
    left = len(ordered) - most
    return ", ".join(ordered) if left <= 0 else f"{', '.join(ordered[:most])} and {left:,} more"

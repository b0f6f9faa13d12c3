"""The order of names: agent-2 before agent-10."""

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that compares numbers within a name by value: agent-2 comes before agent-10."""
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name

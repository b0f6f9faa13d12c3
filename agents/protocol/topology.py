"""Which pairs of agents negotiate edges: all of them, or O(N) of them, along which the others translate."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import nsmallest
from typing import Final

TOPOLOGIES: Final = "all, ring, k_regular(K), hubs(H), or tree"
_FORM: Final = re.compile(r"(all|ring|tree|k_regular|hubs)(?:\((\d{1,6})\))?")


@dataclass(frozen=True)
class Topology:
    """A rule that names the pairs which negotiate, from the names of the agents in the order of their number.

    - ``all``: every pair, N (N - 1) / 2.
    - ``ring``: each agent and the next one, N.
    - ``k_regular(K)``: a ring, and each agent with K - 2 others, about N K / 2 or a little more: each chooses
      those whose names, hashed together with its own, come first (rendezvous hashing: Thaler and Ravishankar,
      1998). A joiner or a leaver changes about K pairs, whatever N.
    - ``hubs(H)``: each of the first H agents with all, N H.
    - ``tree``: each agent with one earlier agent, chosen by such a hash, N - 1: the least that connects all.

    Attributes:
        kind: Word before the parenthesis.
        degree: Number in the parenthesis; 0 where there is none.
    """

    kind: str = "all"
    degree: int = 0

    @classmethod
    def parse(cls, text: str) -> "Topology":
        """Return the topology that a text names, such as ``k_regular(6)``.

        Raises:
            ValueError: It names none.
        """
        found = _FORM.fullmatch(text.replace(" ", ""))
        if found is None or (found[1] in ("k_regular", "hubs")) is not bool(found[2]):
            raise ValueError(f"{text!r} is no topology: choose {TOPOLOGIES}")
        least = {"k_regular": 2, "hubs": 1}.get(found[1], 0)
        if int(found[2] or 0) < least:
            raise ValueError(f"the number of {found[1]} must be at least {least}")
        return cls(found[1], int(found[2] or 0))

    @property
    def has_hub(self) -> bool:
        """Whether some agent negotiates with all others."""
        return self.kind in ("all", "hubs")

    def __str__(self) -> str:
        """Return the text that `parse` takes."""
        return f"{self.kind}({self.degree})" if self.degree else self.kind

    def pairs(self, names: Sequence[str]) -> set[tuple[str, str]]:
        """Return the ordered pairs that negotiate, both directions of each.

        Args:
            names: All agents, in the order of their number.
        """
        found = {pair for pair in self._pairs(names) if pair[0] != pair[1]}
        return found | {(target, source) for source, target in found}

    def partners(self, names: Sequence[str]) -> Mapping[str, set[str]]:
        """Return the agents that each agent negotiates with; for the names see `pairs`."""
        found: dict[str, set[str]] = {name: set() for name in names}
        for source, target in self.pairs(names):
            found[source].add(target)
        return found

    def _pairs(self, names: Sequence[str]) -> Iterable[tuple[str, str]]:
        ring = list(zip(names, [*names[1:], *names[:1]], strict=True))
        match self.kind:
            case "ring":
                return ring
            case "k_regular":
                chosen = _choices(names, (self.degree - 1) // 2)  # as many on average choose each
                return [*ring, *((name, peer) for name, first in chosen.items() for _, peer in first)]
            case "hubs":
                return [(hub, name) for hub in names[: self.degree] for name in names]
            case "tree":
                return [(name, parent) for name, (_, parent) in _parents(names).items()]
            case _:
                return [(source, target) for number, source in enumerate(names) for target in names[:number]]


Ranked = list[tuple[bytes, str]]  # hashes with another name, and that name
_newest: dict[int, dict[str, Ranked]] = {}  # the newest result of `_choices`, by count


def _choices(names: Sequence[str], count: int) -> dict[str, Ranked]:
    """Return for each agent those that it chooses, see `_first`; a joiner or a leaver costs O(N) hashes.

    All agents anew cost N^2: two seconds for a thousand.
    """
    before = _newest.get(count, {})
    joined, left = [name for name in names if name not in before], before.keys() - set(names)

    def chosen(name: str) -> Ranked:
        kept = before.get(name)
        if kept is None or any(peer in left for _, peer in kept):
            return _first(name, names, count)
        return sorted([*kept, *_hashed(name, joined)])[:count]

    _newest[count] = found = {name: chosen(name) for name in names}
    return found


_newest_tree: tuple[list[str], dict[str, tuple[bytes, str]]] = ([], {})  # names and result of `_parents`


def _parents(names: Sequence[str]) -> dict[str, tuple[bytes, str]]:
    """Return for each agent but the first the earlier one that it chooses; see `_choices` for the cost."""
    global _newest_tree
    known, before = _newest_tree
    present, everyone = set(names), set(known)
    if [name for name in known if name in present] != [name for name in names if name in everyone]:
        everyone, before = set(), {}  # in another order
    found: dict[str, tuple[bytes, str]] = {}
    earlier: set[str] = set()
    joined: list[str] = []
    for name in names:
        kept = before.get(name)
        if kept is not None and kept[1] in earlier:
            found[name] = min([kept, *_hashed(name, joined)])
        elif earlier:
            found[name] = _first(name, earlier, 1)[0]
        earlier.add(name)
        if name not in everyone:
            joined.append(name)
    _newest_tree = list(names), found
    return found


def _first(name: str, names: Iterable[str], count: int) -> Ranked:
    """Return the first agents other than this one in the order of the hash of both names."""
    return nsmallest(count, _hashed(name, names))


def _hashed(name: str, names: Iterable[str]) -> Ranked:
    # both names in this order: with them sorted, two that choose each other would often count once
    start = f"{name}\0".encode()
    return [
        (blake2b(start + peer.encode(), digest_size=8).digest(), peer)  # of a thousand agents a million times
        for peer in names
        if peer != name
    ]

"""One edge of the translation graph: the target's verdict on a map into its space, and the map."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final

import torch

from alignment.arrays import AlignmentError
from alignment.linear_map import LinearMap
from alignment.status import Status

# An accepted edge that keeps nothing stays usable, but any other path is better.
MIN_KEPT: Final = 1e-6
# Fields of an edge that are attributes in a network.
SCORES: Final = ("reason", "r2", "r2_shared")
MAPS: Final = ("map", "regression")


def scalars(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that are a number or text, which GraphML can hold."""
    return {key: value for key, value in fields.items() if isinstance(value, bool | int | float | str)}


@dataclass(frozen=True, eq=False, repr=False)
class Edge:
    """The result of negotiating a map from one agent's space into another's.

    Attributes:
        source: Agent whose embeddings the map takes.
        target: Agent whose space it maps into; the one that fitted it and gave the verdict.
        status: Status; its value as a string is converted, so that an edge can be read from JSON.
        reason: Why it was not accepted; required unless accepted.
        r2: Held-out R2 of the full map.
        r2_shared: Held-out R2 of the map on the shared directions.
        map: Map of the shared directions from core to core; required when accepted.
        regression: The same with each direction scaled by its correlation; by default all by (1 + R2) / 2,
            which is their mean.
        details: Further values: spectrum, null, bytes, versions, time.
    """

    source: str
    target: str
    status: Status
    reason: str = ""
    r2: float = 0.0
    r2_shared: float = 0.0
    map: LinearMap | None = None
    regression: LinearMap | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for an edge that contradicts itself, and freeze the details."""
        name = f"edge {self.source} -> {self.target}"
        if self.source == self.target:
            raise ValueError(f"{name}: an agent needs no map to itself")
        try:
            object.__setattr__(self, "status", Status(self.status))
        except ValueError:
            known = ", ".join(Status)
            raise ValueError(f"{name}: status must be one of {known}; got {self.status!r}") from None
        if self.status is Status.ACCEPTED and self.map is None:
            raise ValueError(f"{name}: an accepted edge carries its map")
        if self.status is not Status.ACCEPTED and not self.reason:
            raise ValueError(f"{name}: say why it was {self.status}")
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))

    def __repr__(self) -> str:
        """Return the verdict on one line."""
        scores = f", R2 {self.r2_shared:.3f}" if self.map is not None else ""
        return f"{type(self).__name__}({self.source} -> {self.target}, {self.status}{scores})"

    @cached_property
    def kept_share(self) -> float:
        """Share of the source's core that an accepted edge keeps, (0, 1]: ``sum c / D_source``; else 0."""
        if self.map is None:
            return 0.0
        weight = self.least_squares_map().weight.double()
        kept = float(torch.linalg.matrix_norm(weight, "nuc")) / max(1, len(weight))
        return min(max(kept, MIN_KEPT), 1.0)

    def accepted_map(self) -> LinearMap:
        """Return the map of an accepted edge, which has one."""
        assert self.map is not None
        return self.map

    def least_squares_map(self) -> LinearMap:
        """Return the least-squares map of an accepted edge on its shared directions."""
        if self.regression is not None:
            return self.regression
        found = self.accepted_map()
        return LinearMap((1 + self.r2_shared) / 2 * found.weight, found.bias)

    @property
    def length(self) -> float:
        """Length in a search for the best path: ``-log(kept_share)``; infinite without a map."""
        return math.inf if self.map is None else -math.log(self.kept_share)

    def attributes(self, maps: bool = False) -> dict[str, object]:
        """Return the attributes of the edge in a network: see `TranslationGraph.to_networkx`."""
        found = scalars(self.details) | {name: getattr(self, name) for name in SCORES}
        if maps:
            found |= {name: value for name in MAPS if (value := getattr(self, name)) is not None}
        if self.status is Status.ACCEPTED:
            found["length"] = self.length
        return found | {"status": self.status.value}

    @classmethod
    def from_attributes(cls, source: str, target: str, attributes: Mapping[str, object]) -> "Edge":
        """Return the edge that has these attributes with its maps; others become details.

        Raises:
            AlignmentError: They contradict each other, name no status, or lack the map of an accepted edge.
        """
        own = {name: attributes[name] for name in ("status", *SCORES, *MAPS) if name in attributes}
        details = {key: value for key, value in attributes.items() if key not in own and key != "length"}
        try:
            return cls(source, target, details=details, **own)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise AlignmentError(str(error), "pass what to_networkx(maps=True) returns") from error

"""Which anchors two tables share, which of them a map is fitted on, and which ones score it."""

from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor

from alignment.anchor_ids import AnchorIds, choose_ids
from alignment.arrays import AlignmentError
from alignment.embeddings.table import EmbeddingTable
from alignment.shapes_repr import shapes_repr

MAX_FIT: Final = 32_768  # pairs to fit on; more would improve a map little
MAX_HELD: Final = 4_096  # pairs to score on: retrieval compares each with each
MAX_STRETCH: Final = 65_536  # consecutive held-out rows of which those are scored
MIN_HELD: Final = 16  # fewer cannot tell a correlation from chance


@dataclass(frozen=True)
class AlignSettings:
    """How two tables of embeddings are compared.

    Attributes:
        pairs: Pairs to fit on; None for all that are not held out, up to 32,768.
        heldout: Share of the shared anchors that scores the maps and that nothing is fitted on; up to 4,096
            pairs are scored.
        seed: Seed of the choice of anchors; equal seeds choose equal anchors on every machine.
        time_order: Whether rows are consecutive ticks: the null then is a shift in time, the last stretch of
            time is held out, and a gap of one memory is left before it.
        memory: Rows after which the embeddings no longer resemble themselves, for time_order; None:
            estimated.
        min_shared: Shared anchors that are needed at least.
    """

    pairs: int | None = None
    heldout: float = 0.5
    seed: int = 0
    time_order: bool = False
    memory: int | None = None
    min_shared: int = 2 * MIN_HELD

    def __post_init__(self) -> None:
        """Raise AlignmentError for a value out of range."""
        if not 0 < self.heldout < 1:
            raise AlignmentError(
                f"heldout is the share of anchors to score on, got {self.heldout}", "choose between 0 and 1"
            )
        for name, value, least in (
            ("pairs", self.pairs, 2),
            ("memory", self.memory, 1),
            ("min_shared", self.min_shared, 2 * MIN_HELD),
        ):
            if value is not None and value < least:
                raise AlignmentError(f"{name} is {value}", f"choose {least} or more")
        if self.memory is not None and not self.time_order:
            raise AlignmentError(
                "memory is given for rows without an order in time", "set time_order as well"
            )


@dataclass(frozen=True, eq=False)
class SharedAnchors:
    """Rows of the anchors that two tables share.

    Attributes:
        first: [N], int64, row of each shared anchor in the first table.
        second: [N], its row in the second table.
        by_id: Whether they were matched by id, otherwise by position.
    """

    first: Tensor
    second: Tensor
    by_id: bool

    __repr__ = shapes_repr

    def __len__(self) -> int:
        """Return the number of shared anchors."""
        return len(self.first)

    def select(self, which: Tensor) -> "SharedAnchors":
        """Return some of the anchors, by their place among them."""
        return SharedAnchors(self.first[which], self.second[which], self.by_id)


def match(first: EmbeddingTable, second: EmbeddingTable, settings: AlignSettings) -> SharedAnchors:
    """Return the anchors that both tables have: in the order of their hash, or of time.

    The order of the rows of either table changes nothing where anchors have ids.

    Raises:
        AlignmentError: One table alone has ids, ids are of different kinds, tables without ids differ in
            length, or the tables share too few anchors.
    """
    if (first.ids is None) != (second.ids is None):
        with_ids, without = (second, first) if first.ids is None else (first, second)
        raise AlignmentError(
            f"{with_ids.name} has ids and {without.name} has none",
            f"give the ids of {without.name} too, for example with --ids once for each table",
        )
    ids_first, ids_second = first.ids, second.ids
    if ids_first is None or ids_second is None:
        if len(first) != len(second):
            raise AlignmentError(
                f"{first.name} has {len(first)} rows and {second.name} {len(second)}, and neither has ids",
                "give ids, or tables of the same anchors in the same order",
            )
        ids_first = ids_second = tuple(range(len(first)))
    shared = _intersect(ids_first, ids_second, first.name, second.name)
    if len(shared) < settings.min_shared:
        raise AlignmentError(
            f"{first.name} and {second.name} share {len(shared)} anchors of {len(first)} and {len(second)}, "
            f"and at least {settings.min_shared} are needed",
            f"embed more anchors with both, under the same ids: the first ones are {_first(ids_first)} and "
            f"{_first(ids_second)}",
        )
    ordered = _in_time(shared) if settings.time_order else _by_hash(shared, settings.seed)
    row_first, row_second = ({each: row for row, each in enumerate(ids)} for ids in (ids_first, ids_second))
    return SharedAnchors(
        torch.tensor([row_first[each] for each in ordered]),
        torch.tensor([row_second[each] for each in ordered]),
        first.ids is not None,
    )


def _by_hash(ids: AnchorIds, seed: int) -> AnchorIds:
    return choose_ids(cast("tuple[int, ...]", ids), len(ids), seed)  # or strings: of one kind


def _first(ids: AnchorIds) -> str:
    return repr(ids[0]) if ids else "none"


def _intersect(first: AnchorIds, second: AnchorIds, name: str, other: str) -> AnchorIds:
    if first and second and type(first[0]) is not type(second[0]):
        raise AlignmentError(
            f"ids of {name} are {type(first[0]).__name__} ({first[0]!r}) and those of {other} "
            f"{type(second[0]).__name__} ({second[0]!r})",
            "give both tables ids of one kind",
        )
    known = set(second)
    return tuple(sorted(each for each in first if each in known))  # type: ignore[return-value]


def _in_time(ids: AnchorIds) -> AnchorIds:
    """Return ticks in their order.

    Raises:
        AlignmentError: They are no ticks, or not at equal distances.
    """
    if isinstance(ids[0], str):
        raise AlignmentError(
            f"ids such as {ids[0]!r} have no order in time",
            "leave time order out, or number the rows by tick",
        )
    ticks = torch.tensor(ids)
    steps = ticks.diff()
    if len(steps) and (steps != steps[0]).any():
        place = int((steps != steps[0]).nonzero()[0])
        raise AlignmentError(
            f"shared ticks are not at equal distances: {ids[place]} is followed by {ids[place + 1]}",
            "give both tables the same ticks without gaps, or leave time order out",
        )
    return ids


def split(
    shared: SharedAnchors, settings: AlignSettings, gap: int = 0
) -> tuple[SharedAnchors, SharedAnchors]:
    """Return the anchors to fit on and the held-out ones: of `match`, the first and the last.

    Args:
        shared: Shared anchors, in the order of `match`.
        settings: How many.
        gap: Anchors between the two that are neither.

    Raises:
        AlignmentError: Too few are left on one side.
    """
    held = round(settings.heldout * len(shared))
    available = len(shared) - held - gap
    if held < MIN_HELD or available < 2:
        raise AlignmentError(
            f"{len(shared)} shared anchors leave {max(available, 0)} to fit on and {held} held out, and at "
            f"least 2 and {MIN_HELD} are needed",
            "share more anchors, or change heldout",
        )
    if settings.pairs is not None and settings.pairs > available:
        raise AlignmentError(
            f"{settings.pairs} pairs to fit on are requested, and {len(shared)} shared anchors with {held} "
            f"held out leave {available}",
            "lower pairs or heldout, or embed more anchors",
        )
    fit = min(available, settings.pairs or MAX_FIT)
    places = torch.arange(len(shared))
    fit_places, held_places = places[:available], places[len(shared) - held :]
    if settings.time_order:
        return shared.select(spread(fit_places, fit)), shared.select(held_places[-MAX_STRETCH:])
    return shared.select(fit_places[:fit]), shared.select(held_places[:MAX_HELD])


def spread(places: Tensor, count: int) -> Tensor:
    """Return at most this many places, evenly spread."""
    return places[
        torch.linspace(0, len(places) - 1, min(count, len(places)), dtype=torch.float64).round().long()
    ]

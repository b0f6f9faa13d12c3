"""The order and the part of a list that a request asks for.

Sorting is stable, and what has no value comes last in either direction: a list has an order of its own,
which decides between equal values, so that the pages of a list neither overlap nor leave anything out.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from alignment.natural_order import natural_key
from social_jepa.server.responses import Item, ListPage

MAX_KEYS = 3  # that a list is sorted by

Shown = TypeVar("Shown")


def sort_parameter(keys: Sequence[str]) -> Any:
    """Return the type of the parameter ``sort`` of a list whose items have these fields."""
    names = ", ".join(keys)

    def check(text: str) -> str:
        wanted = text.split(",")
        if len(wanted) > MAX_KEYS or not {each.removeprefix("-") for each in wanted} <= {*keys}:
            raise ValueError(
                f"sort by up to {MAX_KEYS} of {names}, with commas between them; - before one begins with "
                "its largest value"
            )
        return text

    one = f"-?({'|'.join(keys)})"
    return Annotated[
        str,
        BeforeValidator(check),
        Field(
            description=f"Up to {MAX_KEYS} of {names}, with commas between them; - before one: descending. "
            "Items without a value come last.",
            json_schema_extra={"pattern": f"^{one}(,{one}){{0,{MAX_KEYS - 1}}}$"},
        ),
    ]


def sorted_by(items: Iterable[Item], sort: str | None) -> list[Item]:
    """Return items in the order of fields, as ``sort`` names them; None: in their own order."""
    found = list(items)
    for key in reversed(sort.split(",") if sort else []):
        field, descending = key.removeprefix("-"), key.startswith("-")
        values = [_comparable(getattr(item, field)) for item in found]
        known = [place for place, value in enumerate(values) if value is not None]
        known.sort(key=values.__getitem__, reverse=descending)  # equal ones keep their order in both
        unknown = [place for place, value in enumerate(values) if value is None]
        found = [found[place] for place in known + unknown]
    return found


def _comparable(value: Any) -> Any:
    """Return a value that has an order among its kind; None for one that responses leave out."""
    if isinstance(value, str):
        return natural_key(value) if value else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def page_of(items: Sequence[Item], query: Any) -> ListPage[Item]:
    """Return a part of a list; the query has ``limit`` and ``offset``."""
    end = query.offset + query.limit
    return ListPage(
        items=list(items[query.offset : end]), total=len(items), offset=query.offset, limit=query.limit,
        next_offset=end if end < len(items) else None,
    )  # fmt: skip


def map_page(page: ListPage[Item], show: Callable[[Item], Shown]) -> ListPage[Shown]:
    """Return a page with the value of a function in the place of each item."""
    return ListPage(
        items=[show(item) for item in page.items], total=page.total, offset=page.offset, limit=page.limit,
        next_offset=page.next_offset,
    )  # fmt: skip

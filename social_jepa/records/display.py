"""Values on one short line, and their fields as an HTML table, for notebooks."""

import html
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

MAX_REPR: Final = 200  # characters
BIG: Final = 1e5  # from which a number is shown with all its digits before the point
MAX_TEXT: Final = 60  # characters of one text
MAX_ITEMS: Final = 8  # leading items of a sequence that a table shows


def short_repr(name: str, fields: Mapping[str, Any]) -> str:
    """Return ``name(key=value, ...)`` of at most 200 characters; containers are counted, not shown."""
    text = f"{name}({', '.join(f'{key}={_short(value)}' for key, value in fields.items())})"
    return text if len(text) <= MAX_REPR else f"{text[: MAX_REPR - 2]}…)"


def _short(value: Any) -> str:
    match value:
        case str():
            return repr(str(value) if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…")
        case float():
            return f"{value:.4g}"
        case bool() | int() | None:
            return str(value)
        case Mapping() | Sequence():
            return f"[{len(value)}]"
        case _:
            return f"{type(value).__name__}(…)"


def fields_html(title: str, fields: Mapping[str, Any], descriptions: Mapping[str, str]) -> str:
    """Return a table of names and values; long sequences show their first items.

    Args:
        title: Heading.
        fields: Names and values.
        descriptions: Tooltip of each name.
    """
    rows = "".join(
        f'<tr><th style="text-align:left" title="{html.escape(descriptions.get(key, ""))}">{html.escape(key)}'
        f'</th><td style="text-align:left">{html.escape(_cell(value))}</td></tr>'
        for key, value in fields.items()
    )
    return f"<table><caption>{html.escape(title)}</caption><tbody>{rows}</tbody></table>"


def _cell(value: Any) -> str:
    match value:
        case str():
            return str(value)
        case None:
            return "–"
        case float():
            return f"{value:.4g}" if abs(value) < BIG else f"{value:,.0f}"
        case Mapping():
            return ", ".join(f"{key}: {_cell(item)}" for key, item in value.items())
        case [Struct() as first, *_]:
            return f"{len(value)} of {type(first).__name__}"
        case Sequence():
            left = len(value) - MAX_ITEMS
            more = f" … {left} more" if left > 0 else ""
            return ", ".join(_cell(item) for item in value[:MAX_ITEMS]) + more
        case _:
            return repr(value) if not isinstance(value, bool | int) else str(value)

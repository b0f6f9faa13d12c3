"""The R2 of every ordered pair as an HTML table, for notebooks."""

import html
from collections.abc import Callable, Sequence
from typing import Final

MAX_AGENTS: Final = 64  # rows that a notebook shows; more would take seconds to lay out
CELL: Final = "text-align:right;padding:2px 6px"
REFUSED: Final = "color:#777;text-align:center;padding:2px 6px"


def matrix_html(names: Sequence[str], cell: Callable[[str, str], tuple[float | None, str]]) -> str:
    """Return a table with sources down and targets across.

    Args:
        names: Agents.
        cell: Returns R2 and a remark of an ordered pair; R2 is None where there is no accepted map.
    """
    shown = names[:MAX_AGENTS]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in shown)
    rows = "".join(
        f"<tr><th>{html.escape(source)}</th>"
        + "".join(_cell(*cell(source, target)) if source != target else "<td></td>" for target in shown)
        + "</tr>"
        for source in shown
    )
    left = len(names) - len(shown)
    note = f"<p>{left} more agents are not shown.</p>" if left else ""
    return f"<table><thead><tr><th>from \\ to</th>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


def _cell(r2: float | None, remark: str) -> str:
    title = f' title="{html.escape(remark)}"' if remark else ""
    if r2 is None:
        return f'<td style="{REFUSED}"{title}>–</td>'
    share = min(
        max(r2, 0.0), 1.0
    )  # readable on light and dark backgrounds: only the background's alpha changes
    return f'<td style="{CELL};background:rgba(47,109,181,{0.6 * share:.2f})"{title}>{r2:.2f}</td>'

"""Tables about several runs."""

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from social_jepa.records import RunRecord

SHOWN_SETTINGS = 4  # of a run in the list; --json has all


def make_runs(runs: Iterable["RunRecord"]) -> Table:
    """Return a table with one row for each run."""
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "state", "agents", "accepted", "R2", "started"):
        justify = "right" if heading in ("agents", "accepted", "R2") else "left"
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("settings, or what is wrong", overflow="fold")
    for run in runs:
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.time))
        table.add_row(
            escape(run.name), run.state, _known(run.agents),
            "" if run.edges is None else f"{run.accepted} of {run.edges}",
            "" if run.r2_shared is None else f"{run.r2_shared:.3f}", started, escape(_remark(run)),
        )  # fmt: skip
    return table


def _remark(run: "RunRecord") -> str:
    """Return why a run is damaged or was stopped, or the first of its settings that are not the default."""
    if run.state == "damaged":
        return run.reason
    words = [f"{name}={setting_text(value)}" for name, value in run.settings.items()]
    more = len(words) - SHOWN_SETTINGS
    text = " ".join(words[:SHOWN_SETTINGS]) + (f" and {more} more" if more > 0 else "")
    return f"({run.reason}) {text}" if run.reason else text


def setting_text(value: object) -> str:
    """Return the value of a setting as `run` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _known(value: int | None) -> str:
    return "" if value is None else str(value)

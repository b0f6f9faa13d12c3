"""How the agents of a living simulation are doing, and an edge's life, as tables for people."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from social_jepa.cli.tables import make_console

if TYPE_CHECKING:
    from social_jepa.graph.records import EdgeRecord


def make_status(agents: Iterable[Mapping[str, Any]]) -> Table:
    """Return one row for each agent."""
    table = Table(box=None, pad_edge=False)
    for heading, right in (
        ("agent", False), ("phase", False), ("step", True), ("loss", True), ("drift", True),
        ("speed", True), ("device", False), ("node", False), ("saved", True), ("life", True), ("pid", True),
    ):  # fmt: skip
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    remarks = []
    for agent in agents:
        progress = agent["progress"]
        cells = ["", "", "", "", ""] if progress is None else [
            f"{progress['step']:,}", _number(progress["loss"], 3), _number(progress["drift"], 3),
            f"{progress['frames_per_s']:,.0f} frames/s", _ago(progress["saved_at"]),
        ]  # fmt: skip
        phase = "failed" if agent["failure"] else agent["phase"]
        table.add_row(
            agent["name"], phase, *cells[:4], agent["device"], agent["node"][:6], cells[4],
            str(agent["incarnation"]), str(agent["pid"] or ""),
        )  # fmt: skip
        if agent["failure"]:
            remarks.append(f"{agent['name']}: {agent['failure']}")
        if agent["note"]:
            remarks.append(f"{agent['name']} {agent['note']}")
        if agent["waiting_for"]:
            remarks.append(f"{agent['name']} waits for {agent['waiting_for']}")
    table.caption, table.caption_justify = escape("\n".join(remarks)) or None, "left"
    return table


def print_edges(edges: Iterable["EdgeRecord"]) -> None:
    """Print edges one below the other, oldest first."""
    console = make_console()
    table = Table(box=None, pad_edge=False)
    for heading in ("edge", "since", "round", "versions", "verdict", "R2 core", "null", "bytes", "remark"):
        table.add_column(heading)
    for edge in edges:
        table.add_row(
            f"{edge.source} > {edge.target}", time.strftime("%H:%M:%S", time.localtime(edge.time)),
            str(edge.round), f"{edge.source_checkpoint[:8]} > {edge.target_checkpoint[:8]}",
            edge.status, _number(edge.r2_core, 3), _number(edge.null_r2, 3), f"{edge.bytes:,}",
            escape(edge.reason),
        )  # fmt: skip
    console.print(table)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _ago(when: float) -> str:
    return f"{time.time() - when:.0f} s ago" if when else ""

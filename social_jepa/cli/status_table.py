"""Tables of the agents of a simulation, and of the history of an edge."""

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.markup import escape

from agents.models.settings import FROZEN
from social_jepa.cli.clock import describe_age
from social_jepa.cli.fitted_table import FittedTable
from social_jepa.cli.status_options import AgentChoice, shown_phase
from social_jepa.cli.tables import make_console
from social_jepa.config.time_format import format_time
from social_jepa.runtime.agent_notes import agent_notes, anchor_notes

if TYPE_CHECKING:
    from social_jepa.records import AgentStatus, EdgeRecord, RawMapRecord


HEADINGS = (
    "agent", "phase", "step", "loss", "drift", "speed", "device", "node", "saved", "incarnation", "pid",
)  # fmt: skip
TEXTS = frozenset(("agent", "phase", "device", "node"))  # headings; the others are of numbers
SPARE = ("pid", "incarnation", "node", "device", "saved", "drift", "speed", "loss", "step")


def make_status(
    agents: Iterable["AgentStatus"], anchor_seed: int | None = None, choice: AgentChoice | None = None
) -> FittedTable:
    """Return a table with one row for each agent.

    Args:
        agents: The agents.
        anchor_seed: Seed of the public scene whose frames are anchors; None: they are the run's own.
        choice: Which agents are shown, in which order; None: all, in theirs.
    """
    table = FittedTable(spare=SPARE)
    for heading in HEADINGS:
        (table.add_texts if heading in TEXTS else table.add_numbers)(heading)
    every, choice = list(agents), choice or AgentChoice()
    agents = choice.of(every)
    nodes: dict[str, set[str]] = defaultdict(set)
    for agent in every:
        nodes[agent.host].add(agent.node)
    for agent in agents:
        progress = agent.progress
        frozen = agent.kind.startswith(FROZEN)
        cells = ["", "", "", "", ""] if progress is None else [
            "frozen" if frozen else f"{progress.step:,}", _number(progress.loss, 3),
            _number(progress.drift, 3), _speed(progress.frames_per_s), _ago(progress.saved_at),
        ]  # fmt: skip
        table.add_row(
            agent.name, shown_phase(agent), *cells[:4], agent.device,
            _node(agent, len(nodes[agent.host]) > 1), cells[4], str(agent.incarnation), str(agent.pid or ""),
        )  # fmt: skip
    remark = choice.remark(every, agents)
    table.notes += [*filter(None, [remark]), *anchor_notes(anchor_seed), *agent_notes(agents)]
    return table


def _node(agent: "AgentStatus", ambiguous: bool) -> str:
    """Return the host of an agent, with the id of its node where several nodes share that name."""
    if not agent.host:
        return agent.node[:6]
    return f"{agent.host} {agent.node[:6]}" if ambiguous else agent.host


def print_edges(edges: Iterable["EdgeRecord"]) -> None:
    """Print one row for each edge, in the given order, and what the maps of raw latents say."""
    edges = list(edges)
    console = make_console()
    table = FittedTable(spare=("bytes", "versions", "round", "null"), prose=("reason",))
    table.add_texts("edge")
    table.add_texts("since", "round", "versions", "verdict", whole=True)
    table.add_numbers("R2", "null", "bytes")
    table.add_texts("reason")
    for edge in edges:
        table.add_row(
            f"{edge.source} > {edge.target}", format_time(edge.time),
            str(edge.round), f"{edge.source_checkpoint[:8]} > {edge.target_checkpoint[:8]}",
            edge.status, _number(edge.r2_shared, 3), _number(edge.null_correlation, 3), f"{edge.bytes:,}",
            edge.reason,
        )  # fmt: skip
    console.print(table)
    for edge in edges:
        if edge.raw is not None:
            console.print(escape(_raw_maps(edge, edge.raw)), highlight=False)
    if any(edge.anchors for edge in edges) and all(edge.raw is None for edge in edges):
        console.print("Raw latents are not compared: a raw metric has no meaning for this objective.")


def _raw_maps(edge: "EdgeRecord", raw: "RawMapRecord") -> str:
    """Return a sentence about the maps between raw latents."""
    start = f"{edge.source} > {edge.target}, raw latents:"
    parts = [
        f"{name}: R2 {found.r2:.3f}, of a rotation with one scale {found.r2_similarity:.3f}, kappa "
        + ("infinite" if found.kappa is None else f"{found.kappa:.2f}")
        + f", singular values {found.smallest:.3g} to {found.largest:.3g}"
        for name, found in (
            (f"all {raw.directions} directions", raw),
            ("those that correlate by 0.5 or more", edge.raw_strong),
        )
        if found
    ]
    return f"{start} " + "; ".join(parts)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _ago(when: float) -> str:
    return f"{describe_age(time.time() - when)} ago" if when else ""


def _speed(frames_per_s: float | None) -> str:
    return "" if frames_per_s is None else f"{frames_per_s:,.0f} frames/s"

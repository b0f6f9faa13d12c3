"""A graph document and the doctor's checks as tables for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from social_jepa.doctor import Check


def print_graph(document: Mapping[str, Any], console: Console | None = None) -> None:
    """Print agents, edges, cycles and times."""
    console = console or Console()
    console.print(_agents(document["agents"]))
    console.print(_edges(document["edges"]))
    console.print(_budget(document["budget"]))
    cycles = document["cycles"]
    if cycles:
        errors = sorted(cycle["error"] for cycle in cycles)
        console.print(
            f"{len(cycles)} cycles of three: error {errors[len(errors) // 2]:.3f} in the middle, "
            f"{errors[-1]:.3f} at worst (0 is consistent, about 2 unrelated)"
        )
    seconds = document["seconds"]
    console.print("  ".join(f"{name} {value:.1f} s" for name, value in seconds.items()), highlight=False)


def _agents(agents: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(title="agents", title_justify="left", box=None, pad_edge=False)
    for heading in ("agent", "kind", "camera x, y, z, yaw, pitch", "device"):
        table.add_column(heading)
    for heading in ("dim", "core", "probe R2", "frames/s", "checkpoint"):
        table.add_column(heading, justify="right")
    for agent in agents:
        pose = agent["pose"]
        place = ", ".join(f"{pose[key]:g}" for key in ("x", "y", "z", "yaw", "pitch"))
        core = "collapsed" if agent["collapsed"] else str(agent["core_dim"])
        table.add_row(
            agent["name"], agent["kind"], place, agent["device"], str(agent["dim"]), core,
            f"{agent['probe_r2']:.3f}", f"{agent['frames_per_s']:,.0f}", agent["checkpoint"][:8],
        )  # fmt: skip
    return table


def _edges(edges: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(title="edges, on held-out anchors", title_justify="left", box=None, pad_edge=False)
    table.add_column("edge")
    table.add_column("verdict")
    for heading in (
        "R2 core",
        "R2 all",
        "null",
        "singular values",
        "kappa",
        "retrieval@1",
        "anchors",
        "bytes",
    ):
        table.add_column(heading, justify="right")
    for edge in edges:
        values = edge["spectrum"]
        span = f"{min(values):.3f}-{max(values):.3f}" if values else ""
        table.add_row(
            f"{edge['source']} > {edge['target']}", edge["status"], _number(edge["r2_core"]), _number(edge["r2"]),
            _number(edge["null_r2"]), span, _number(edge["kappa"], 2), _number(edge["retrieval_at_1"], 2),
            str(edge["anchors"]), f"{edge['bytes']:,}",
        )  # fmt: skip
        if edge["reason"]:
            table.add_row("", f"[dim]{edge['reason']}[/]")
    return table


def _budget(budget: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(
        title="held-out R2 by anchor pairs, mean (worst) over edges",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    rows = list(budget)
    pairs = sorted({row["pairs"] for row in rows})
    table.add_column("method")
    for count in pairs:
        table.add_column(str(count), justify="right")
    found = {(row["method"], row["pairs"]): row for row in rows}
    for method in sorted({row["method"] for row in rows}):
        cells = [found[method, count] for count in pairs if (method, count) in found]
        table.add_row(method, *(f"{cell['r2_mean']:.3f} ({cell['r2_min']:.3f})" for cell in cells))
    return table


def print_checks(checks: Iterable[Check], console: Console | None = None) -> None:
    """Print what the doctor found, each trouble with its remedy."""
    console = console or Console()
    for check in checks:
        mark = "[green]ok[/]   " if check.ok else "[red]amiss[/]"
        console.print(f"{mark}  {check.name:<22} {check.found}", highlight=False)
        if not check.ok:
            console.print(f"       [bold]remedy:[/] {check.remedy}", highlight=False)


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"

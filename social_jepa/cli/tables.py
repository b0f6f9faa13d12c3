"""A graph document and the doctor's checks as tables for people."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from social_jepa.cli.fitted_table import FittedTable
from social_jepa.system.check import Check

if TYPE_CHECKING:
    from social_jepa.records import (
        AgentRecord,
        BudgetSummary,
        CycleRecord,
        EdgeRecord,
        FullGraphDocument,
        GraphDocument,
        QueryAnswer,
        TrustRecord,
    )

NO_LIMIT = 1_000_000  # columns where there is no terminal: a pipe gets whole lines
AGENT_SPARE = ("checkpoint", "frames/s", "device", "dim", "camera x, y, z, yaw, pitch")
EDGE_SPARE = ("bytes", "anchors", "retrieval@1", "correlations", "R2 all", "null", "shared")


def make_console() -> Console:
    """Return a console for results on stdout: as wide as its terminal, without one of no limit."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=NO_LIMIT)


def print_summary(document: "GraphDocument", console: Console) -> None:
    """Print in a sentence or two how well pairs translate."""
    from social_jepa.graph.summary import summarize

    summary = summarize(document)
    for sentence in filter(None, (summary.headline(), summary.remark())):
        console.print(f"{sentence}.".replace("R²", "R2"), soft_wrap=True)
    console.print()


def print_graph(
    document: "FullGraphDocument",
    console: Console | None = None,
    edges: Sequence["EdgeRecord"] | None = None,
) -> None:
    """Print how well pairs translate, agents, edges, the pair budget, cycles and times.

    Args:
        document: The graph.
        console: Console to print to; default: stdout.
        edges: Edges to print; default: all.
    """
    console = console or make_console()
    print_summary(document, console)
    shown = document.edges if edges is None else edges
    tables = [_agents(document.agents, document.training), _edges(shown, len(document.edges))]
    if document.budget:
        tables.append(_budget(document.budget))
    for table in tables:
        console.print(table)
        console.print()
    console.print(_cycles(document.cycles, document.unscored_cycles, document.unlisted_cycles))
    for record in document.trust:
        if record.trust is not None and record.trust < 1:
            console.print(escape(_trust(record)), soft_wrap=True)
    if universe := document.universe:
        console.print(
            f"universe of {len(universe.agents)}: {universe.dim} dimensions, {universe.common_dim} of them "
            f"common to all; held-out R2 {universe.r2:.3f} through one map each, "
            f"{universe.direct_r2:.3f} along the direct edges"
        )
    if spent := document.seconds:
        seconds = {name: getattr(spent, name) for name in spent.__struct_fields__}
        console.print("  ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))


def make_table(
    title: str, left: Iterable[str], right: Iterable[str], spare: Iterable[str] = (),
    prose: Collection[str] = (),
) -> FittedTable:  # fmt: skip
    """Return an empty table with columns of text, aligned left, before those of numbers, aligned right.

    Args:
        title: Markup; empty: none.
        left: Headings of the columns of text.
        right: Headings of the columns of numbers.
        spare: Headings of columns that a narrow terminal leaves out, the least important first.
        prose: Headings of columns of sentences.
    """
    table = FittedTable(title, spare, prose)
    table.add_texts(*left)
    table.add_numbers(*right)
    return table


def _agents(agents: Iterable["AgentRecord"], training: Iterable[str]) -> FittedTable:
    table = make_table(
        "agents",
        ("agent", "kind", "camera x, y, z, yaw, pitch", "device"),
        ("dim", "core", "probe R2", "frames/s", "checkpoint"),
        AGENT_SPARE,
    )
    for agent in agents:
        pose = agent.pose
        place = ", ".join(f"{round(v, 2) + 0:g}" for v in (pose.x, pose.y, pose.z, pose.yaw, pose.pitch))
        probe = "" if agent.probe_r2 is None else f"{agent.probe_r2:.3f}"
        place = place if pose.view is None else f"view {pose.view}"
        core = "collapsed" if agent.collapsed else str(agent.core_dim)
        table.add_row(
            agent.name, agent.kind, place, agent.device, str(agent.dim), core,
            probe, f"{agent.frames_per_s:,.0f}", agent.checkpoint[:8],
        )  # fmt: skip
    table.notes += [f"{name} has no published model of its view yet" for name in training]
    return table


def _edges(edges: Sequence["EdgeRecord"], total: int) -> FittedTable:
    some = f", {len(edges)} of {total}" if len(edges) < total else ""
    table = make_table(
        f"edges{some}: scores on held-out anchors",
        ("edge", "verdict"),
        ("shared", "R2", "R2 all", "correlations", "null", "retrieval@1", "anchors", "bytes"),
        EDGE_SPARE,
    )
    for edge in edges:
        values = edge.correlations[: edge.shared_dim]
        span = f"{min(values):.3f}-{max(values):.3f}" if values else ""
        table.add_row(
            f"{edge.source} > {edge.target}", edge.status, _shared(edge), _number(edge.r2_shared),
            _number(edge.r2), span, _number(edge.null_correlation, 2),
            _number(edge.retrieval_at_1, 2), str(edge.anchors), f"{edge.bytes:,}",
        )  # fmt: skip
    table.notes += [f"{edge.source} > {edge.target}: {edge.reason}" for edge in edges if edge.reason]
    return table


def _shared(edge: "EdgeRecord") -> str:
    """Return the number of shared directions, of the core dimensions of source and target."""
    source, target = edge.core_dims
    return f"{edge.shared_dim} of {source}" + (f", {target}" if target != source else "")


def _trust(record: "TrustRecord") -> str:
    """Return a sentence on an agent that others do not confirm entirely."""
    flagged = f", and its edges are refused: {record.reason}" if record.flagged else ""
    return (
        f"trust in {record.agent}: {record.trust:.2f}; {record.confirmed} agents confirm it and "
        f"{record.contradicted} contradict it{flagged}"
    )


def _budget(budget: Iterable["BudgetSummary"]) -> FittedTable:
    found = {(row.method, row.pairs): row for row in budget}
    pairs = sorted({pairs for _, pairs in found})
    numbers = [str(count) for count in pairs]
    table = make_table(
        "held-out R2 by anchor pairs, mean over edges and worst edge", ("method", ""), numbers, numbers[:-1]
    )
    for method in sorted({method for method, _ in found}):
        rows = [found[method, count] for count in pairs]
        table.add_row(method, "mean", *(f"{row.r2_mean:.3f}" for row in rows))
        table.add_row("", "worst", *(f"{row.r2_min:.3f}" for row in rows))
    return table


def _cycles(cycles: Iterable["CycleRecord"], unscored: int, unlisted: int) -> str:
    listed = list(cycles)
    errors = sorted(cycle.error for cycle in listed if cycle.error is not None)
    empty, lines = len(listed) - len(errors), []
    if errors:
        drawn = f" of {len(listed) + unscored + unlisted:,}, drawn at random" if unlisted else ""
        lines.append(
            f"{len(errors):,} cycles of three{drawn}: error {errors[len(errors) // 2]:.4f} in the middle, "
            f"{errors[-1]:.4f} at worst (0 is consistent, about 2 unrelated)"
        )
    if empty:
        lines.append(f"{empty:,} cycles of three have no direction that all their agents share")
    if unscored:
        lines.append(
            f"{unscored:,} cycles of three have all their edges accepted, but cannot be scored: the anchors "
            "of their first agent are not in the run folder, as after an import without anchors, or they are "
            "of another model, which it has published since"
        )
    return "\n".join(lines) or "no cycle of three agents has all its edges accepted"


def print_answer(answer: "QueryAnswer") -> None:
    """Print the answer of a query."""
    console = make_console()
    scores = f"expected R2 {answer.expected_r2:.3f}, held-out {answer.measured_r2:.3f}"
    console.print(escape(f"{' > '.join(answer.path)}   {scores}"))
    for name, vector in (("vector", answer.vector), ("translated", answer.translated)):
        console.print(f"{name:<11}" + " ".join(f"{number:7.3f}" for number in vector))
    console.print(escape(f"nearest held-out ticks of {answer.target}"))
    table = make_table("", (), ("tick", "distance"))
    for near in answer.nearest:
        table.add_row(str(near.tick), f"{near.distance:.3f}")
    console.print(table)
    if answer.picture is not None:
        console.print(escape(f"picture    {answer.picture}"), soft_wrap=True)


def print_checks(checks: Iterable[Check]) -> list[Check]:
    """Print the doctor's checks as they come, a failed one with its remedy; return them."""
    console, found = make_console(), []
    for check in checks:
        found.append(check)
        mark = "[green]ok[/]   " if check.ok else "[red]FAIL[/] "
        console.print(f"{mark}  {check.name:<22} {escape(check.found)}", soft_wrap=True)
        if not check.ok:
            console.print(f"       [bold]remedy:[/] {escape(check.remedy)}", soft_wrap=True)
    return found


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"

"""An alignment as tables for people."""

from rich.console import Console
from rich.markup import escape

from social_jepa.cli.fitted_table import FittedTable
from social_jepa.cli.tables import make_console, make_table
from social_jepa.records.alignment import AlignmentRecord, DimensionsRecord, EmbeddingEdgeRecord

SHOWN = 12  # correlations that are printed


def print_alignment(record: AlignmentRecord, console: Console | None = None) -> None:
    """Print the sentence, scores and directions of both edges, and other methods where there are any."""
    console = console or make_console()
    for edge in record.edges:
        console.print(escape(f"{edge.source} > {edge.target}: {edge.status}: {edge.reason}"), soft_wrap=True)
    console.print(f"\n{_how(record)}", soft_wrap=True)
    for table in (_scores(record), _dimensions(record), *([_methods(record)] if record.methods else [])):
        console.print()
        console.print(table)
    console.print()
    for edge in record.edges:
        console.print(
            escape(f"correlations {edge.source} > {edge.target}: {_correlations(edge)}"), soft_wrap=True
        )


def _how(record: AlignmentRecord) -> str:
    """Return sentences on the pairing of rows and on the null."""
    edge = record.edges[0]
    sentences = [
        f"{record.shared_anchors:,} anchors matched by {record.matched_by}:",
        f"{edge.fit_anchors:,} fit the maps, {edge.heldout_anchors:,} others score them.",
    ]
    if record.memory is None:
        sentences += [
            "Rows have no order in time: the null permutes them, no direction has a predictability,",
            "and directions are in the order of their held-out canonical correlation.",
        ]
    else:
        sentences += [
            "Rows are consecutive ticks: the null shifts them in time by their memory of",
            f"{record.memory} rows or more.",
        ]
    if record.repeated:
        sentences += [f"{record.repeated} held-out anchors repeat others in both tables and were left out."]
    return " ".join(sentences)


def _scores(record: AlignmentRecord) -> FittedTable:
    table = make_table(
        "edges: scores on held-out anchors",
        ("edge", "verdict"),
        ("shared", "R2 shared", "R2 all", "retrieval@1", "null", "kind of null"),
        spare=("kind of null", "retrieval@1", "R2 all", "null", "shared"),
    )
    for edge in record.edges:
        table.add_row(
            f"{edge.source} > {edge.target}", edge.status, str(edge.shared_dim),
            f"{edge.r2_shared:.3f}", f"{edge.r2:.3f}", f"{edge.retrieval_at_1:.3f}",
            f"{edge.null_correlation:.2f}", edge.null,
        )  # fmt: skip
    return table


def _dimensions(record: AlignmentRecord) -> FittedTable:
    table = make_table("dimensions", ("table",), ("all", "shared", "private", "undetermined", "constant"))
    edge = record.edges[0]
    sides: tuple[tuple[str, DimensionsRecord], ...] = (
        (edge.source, edge.source_dims), (edge.target, edge.target_dims),
    )  # fmt: skip
    for name, dims in sides:
        counts = (dims.shared, dims.private, dims.undetermined, dims.constant)
        table.add_row(name, *map(str, (sum(counts), *counts)))
    return table


def _methods(record: AlignmentRecord) -> FittedTable:
    table = make_table(
        "the same anchors by other methods",
        ("edge", "method"),
        ("R2 all", "R2 all, white", "R2 shared", "retrieval@1"),
        spare=("retrieval@1",),
    )
    for score in record.methods:
        table.add_row(
            f"{score.source} > {score.target}", score.method, f"{score.r2:.3f}",
            f"{score.r2_white:.3f}", f"{score.r2_shared:.3f}", f"{score.retrieval_at_1:.3f}",
        )  # fmt: skip
    return table


def _correlations(edge: EmbeddingEdgeRecord) -> str:
    shown = " ".join(f"{value:.2f}" for value in edge.correlations[:SHOWN])
    return shown + (f" … {edge.correlations[-1]:.2f}" if len(edge.correlations) > SHOWN else "")

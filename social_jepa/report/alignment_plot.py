"""The picture of an alignment: a bar for each pair of directions, against the null."""

import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from social_jepa.records.alignment import AlignmentRecord, EmbeddingEdgeRecord

COLOR, QUIET = "#2f6db5", "#777777"


def draw_alignment(record: AlignmentRecord, kind: str) -> bytes:
    """Return a picture of both directions side by side; equal records give equal bytes.

    Args:
        record: What to draw.
        kind: Format of the picture: svg, png or pdf.
    """
    buffer = io.BytesIO()
    style: dict[Any, object] = {"svg.hashsalt": "alignment", "svg.fonttype": "none"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(9.0, 3.2), layout="constrained")
        for axes, edge in zip(figure.subplots(1, len(record.edges), sharey=True), record.edges, strict=True):
            _draw_edge(axes, edge)
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def _draw_edge(axes: Axes, edge: EmbeddingEdgeRecord) -> None:
    values = np.array(edge.correlations)
    ranks = np.arange(1, len(values) + 1)
    shared = ranks <= edge.shared_dim
    for part, face, name in ((shared, COLOR, "shared"), (~shared, "none", "private")):
        axes.bar(ranks[part], values[part], 0.8, facecolor=face, edgecolor=COLOR, linewidth=0.9, label=name)
    axes.axhline(edge.null_correlation, color="black", linewidth=1.4, label=f"null ({edge.null})")
    axes.axhline(1.0, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.set(xlabel="direction", ylabel="held-out correlation", ylim=(1.1 * min([0.0, *values]), 1.08))
    title = f"{edge.source} to {edge.target}: {edge.shared_dim} shared, R² {edge.r2_shared:.2f}"
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.legend(loc="upper right", framealpha=0.9, fontsize="small")

"""The picture of an alignment: a bar for each pair of directions, against the null."""

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from alignment.plots import draw_edge
from social_jepa.records.alignment import AlignmentRecord


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
            draw_edge(axes, edge, f"null ({edge.null})")
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()

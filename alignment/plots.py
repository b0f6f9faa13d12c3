"""Plots of an edge and of a graph. matplotlib is imported by the functions that need it.

`draw_directions`, `draw_edge` and `draw_matrix` draw into axes of the caller; `new_axes` makes axes that a
notebook shows by itself. Only these write names into a plot, as plain text: a dollar sign begins no formula.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOR: Final = "#2f6db5"
INK: Final = "black"
MUTED: Final = "#777777"
DASHES: Final = (0, (2, 3))
MAX_NAMES: Final = 64  # of agents along an axis of a matrix; of more, evenly spread ones
MAX_LABELS: Final = 16  # agents up to which the matrix has its numbers written into the cells


class Directions(Protocol):
    """What is drawn of an edge, whether of agents or of two tables of embeddings."""

    @property
    def source(self) -> str:
        """Agent whose latents are translated."""

    @property
    def target(self) -> str:
        """Agent whose space they are translated into."""

    @property
    def correlations(self) -> Sequence[float]:
        """Held-out correlation of each pair of directions."""

    @property
    def shared_dim(self) -> int:
        """How many of them, from the first on, are shared."""

    @property
    def null_correlation(self) -> float | None:
        """Correlation that a shared direction exceeds; None: not measured."""

    @property
    def r2_shared(self) -> float | None:
        """Held-out R2 on the shared directions; None: not measured."""


def new_axes(width: float, height: float) -> "Axes":
    """Return axes of a new figure of this size in inches, which pyplot and notebooks show."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def draw_edge(axes: "Axes", edge: Directions, name: str = "null") -> "Axes":
    """Draw a bar for each pair of directions of one edge, with title and legend; return the axes.

    Args:
        axes: Where to draw.
        edge: What to draw.
        name: What the level of chance is called in the legend.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    draw_directions(axes, [(edge, COLOR)])
    shown = "" if edge.r2_shared is None else f", R² {edge.r2_shared:.2f}"
    axes.set_title(
        f"{edge.source} to {edge.target}: {edge.shared_dim} shared{shown}", loc="left", parse_math=False
    )
    axes.set_ylabel("held-out correlation")
    axes.spines[["top", "right"]].set_visible(False)
    handles = [
        Patch(facecolor=COLOR, edgecolor=COLOR, label="shared"),
        Patch(facecolor="none", edgecolor=COLOR, label="private"),
        Line2D([], [], color=INK, linewidth=1.6, label=name),
    ]
    axes.legend(handles=handles, loc="upper right", framealpha=0.9, fontsize="small")
    return axes


def draw_directions(
    axes: "Axes", edges: Sequence[tuple[Directions, str]], ink: str = INK, muted: str = MUTED
) -> None:
    """Draw a bar for each pair of directions of some edges, hollow where private, and each edge's null.

    Args:
        axes: Where to draw.
        edges: Edges and their colors, drawn beside each other.
        ink: Color of the null.
        muted: Color of the line of perfect correlation.
    """
    from matplotlib.ticker import MaxNLocator

    width = 0.8 / max(1, len(edges))
    for place, (edge, color) in enumerate(edges):
        values = np.array(edge.correlations)
        ranks = np.arange(1, len(values) + 1) + width * (place - (len(edges) - 1) / 2)
        shared = np.arange(len(values)) < edge.shared_dim
        for part, face in ((shared, color), (~shared, "none")):
            axes.bar(ranks[part], values[part], 0.9 * width, facecolor=face, edgecolor=color, linewidth=0.9)
        if edge.null_correlation is not None:
            half = 0.55 * width
            axes.hlines([edge.null_correlation] * len(ranks), ranks - half, ranks + half, ink, linewidth=1.6)
    lowest = min([0.0, *(value for edge, _ in edges for value in edge.correlations)])
    axes.axhline(1.0, color=muted, linewidth=0.9, linestyle=DASHES)
    axes.set(xlabel="direction", ylim=(1.1 * lowest, 1.08))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def draw_matrix(axes: "Axes", names: Sequence[str], values: np.ndarray) -> "Axes":
    """Draw the R2 of every ordered pair as a matrix, sources down and targets across; return the axes.

    Args:
        axes: Where to draw.
        names: N agents.
        values: [N, N]; NaN where there is no accepted map.
    """
    shown = axes.imshow(np.ma.masked_invalid(values), vmin=0.0, vmax=1.0, cmap="viridis")
    bar = axes.figure.colorbar(shown, ax=axes, shrink=0.8)
    bar.set_label("held-out R² of what two agents share")
    places = range(0, len(names), math.ceil(len(names) / MAX_NAMES) or 1)
    shown_names = [names[place] for place in places]
    axes.set_xticks(places, shown_names, rotation=90, parse_math=False)
    axes.set_yticks(places, shown_names, parse_math=False)
    axes.set(xlabel="to", ylabel="from")
    if len(names) <= MAX_LABELS:
        for row, column in np.argwhere(np.isfinite(values)):
            value = values[row, column]
            color = "black" if value > 0.6 else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize="small", color=color)
    return axes

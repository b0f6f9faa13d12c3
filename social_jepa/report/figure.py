"""Plots of the report: matplotlib SVG in the colors of the page, which differ in light and dark mode."""

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.report.tables import escape

# matplotlib needs colors, the page has CSS variables: each of these is replaced by one in the SVG.
INKS = {"ink": "#010101", "muted": "#010102", "line": "#010103"} | {
    f"s{i}": f"#0102{i:02d}" for i in range(8)
}
STYLE: dict[Any, object] = {
    "font.size": 10,
    "svg.fonttype": "none",
    "text.color": INKS["ink"],
    "axes.labelcolor": INKS["muted"],
    "axes.edgecolor": INKS["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INKS["line"],
    "grid.linewidth": 0.5,
    "xtick.color": INKS["line"],
    "ytick.color": INKS["line"],
    "xtick.labelcolor": INKS["muted"],
    "ytick.labelcolor": INKS["muted"],
    "lines.solid_capstyle": "round",
}
WIDE, SMALL = (4.8, 3.0), (4.1, 2.4)  # inches; the page scales them


def color(index: int) -> str:
    """Return the name of an agent's color."""
    return f"s{index % 8}"


def plot(
    name: str, title: str, size: tuple[float, float], draw: Callable[[Axes], None], note: str = ""
) -> str:
    """Return a plot with its title as HTML; equal arguments give equal text.

    Args:
        name: Prefix of its ids, unique on the page.
        title: A sentence, plain text.
        size: Width and height in inches.
        draw: Draws into the axes.
        note: Remark below the plot, plain text.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = re.sub(
        r"<metadata>.*?</metadata>", "", buffer.getvalue()[buffer.getvalue().index("<svg") :], flags=re.DOTALL
    )
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(|xlink:href=")#', rf"\1#{name}-", text)
    for ink, placeholder in INKS.items():
        text = text.replace(placeholder, f"var(--{ink})")
    opening = f'<svg viewBox="0 0 {72 * size[0]:g} {72 * size[1]:g}" role="img" aria-label="{escape(title)}" '
    text = opening + 'xmlns:xlink="http://www.w3.org/1999/xlink">' + text[text.index(">") + 1 :]
    remark = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<figure class="plot"><figcaption>{escape(title)}</figcaption>{text}{remark}</figure>'

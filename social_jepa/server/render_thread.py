"""Everything that is drawn, on one thread: OpenGL and matplotlib's settings belong to one at a time."""

import asyncio
import io
import re
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from PIL import Image

from alignment.status import Status
from env.scene import Scene
from social_jepa.graph.observer import Observer
from social_jepa.graph.records import body_events
from social_jepa.graph.results import Results
from social_jepa.report.figure import INKS, SMALL, color, plot
from social_jepa.report.graph_svg import agent_cards, draw_graph
from social_jepa.report.rendering import data_uri
from social_jepa.report.tables import number
from social_jepa.report.templating import REPORT, read_static
from social_jepa.server.problems import BUSY, ProblemError
from social_jepa.server.snapshots import Snapshot
from social_jepa.server.static_files import graph_style

MOST_WAITING = 200  # drawings that may wait for their turn
KEPT = 512  # pictures that are kept
BINS = 150  # points of a loss curve
MARKS = {Status.REFUSED: "✕", Status.FAILED: "!", Status.STALE: "↻"}  # said besides colour and dashes
T = TypeVar("T")


class RenderThread:
    """Draws what cameras see, and curves."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "eyes")
        self._waiting = 0
        self._observer: tuple[Results, Observer] | None = None
        self._kept: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()

    async def run(self, draw: Callable[[], T]) -> T:
        """Draw on the drawing thread.

        Raises:
            ProblemError: Too many drawings wait already.
        """
        if self._waiting >= MOST_WAITING:
            raise ProblemError(BUSY, f"{MOST_WAITING} drawings wait already: ask again in a second")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, draw)
        finally:
            self._waiting -= 1

    def see(self, snapshot: Snapshot, name: str, tick: int) -> bytes:
        """Return what an agent's camera sees as PNG; on the drawing thread.

        Raises:
            RuntimeError: OpenGL is missing; the text names the remedy.
        """
        key = (snapshot.results.member(name).pose, name, tick, len(snapshot.results.bodies))
        if key not in self._kept:
            buffer = io.BytesIO()
            Image.fromarray(self._look(snapshot.results, name, tick)).save(buffer, "PNG")
            self._kept[key] = buffer.getvalue()
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _look(self, results: Results, name: str, tick: int) -> np.ndarray:
        if self._observer is None or self._observer[0] is not results:
            fresh = Observer(results)  # before the old one is closed: they share a renderer
            self._forget()
            self._observer = results, fresh
        return self._observer[1].render(name, tick)

    def graph(self, snapshot: Snapshot, tick: int, pictures: str, styled: bool) -> bytes:
        """Return the graph as an SVG file; on the drawing thread."""
        results = snapshot.results
        found: dict[str, str] = {}
        for name in results.graph.agents if pictures != "none" else ():
            if pictures == "linked":
                found[name] = f"/api/agents/{quote(name)}/view.png?tick={tick}"
                continue
            try:
                found[name] = data_uri(self._look(results, name, tick))
            except RuntimeError:
                break  # a machine without OpenGL still gets the graph
        scene = Scene(results.config.scene, results.config.seed, body_events(results.bodies))
        drawing = draw_graph(
            agent_cards(results), results.document.edges, results.config.scene, scene.state(tick), found
        )
        return _dressed(_mark(drawing), graph_style() if styled else "").encode()

    def close(self) -> None:
        """Free the renderer and end the thread."""
        self._thread.submit(self._forget).result()
        self._thread.shutdown()

    def _forget(self) -> None:
        if self._observer is not None:
            self._observer[1].__exit__()
            self._observer = None


def loss_curve(results: Results, name: str) -> bytes:
    """Return an agent's loss by training step as an SVG file, as it stood when it last published."""
    losses = np.array(results.agent(name).losses, dtype=float)
    losses = losses[np.isfinite(losses)]

    def paint(axes: Axes) -> None:
        parts = np.array_split(losses, max(1, min(BINS, len(losses)))) if len(losses) else []
        steps = np.cumsum([len(part) for part in parts])
        axes.plot(steps, [part.mean() for part in parts], color=INKS[_ink(results, name)], linewidth=1.2)
        axes.set(xlabel="training step", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    last = number(float(losses[-1]) if len(losses) else None, 2)
    return _figure(plot(f"loss-{name}", f"{name}: loss, now {last}", SMALL, paint))


def spectrum(results: Results, source: str, target: str) -> bytes:
    """Return an edge's singular values against those of shuffled pairs as an SVG file."""
    edge = dict(results.graph.edge(source, target).details)
    values, null = np.array(edge["singular_values"]), np.array(edge["null_singular_values"])

    def paint(axes: Axes) -> None:
        ink = INKS[_ink(results, source)]
        axes.axhline(1.0, color=INKS["muted"], linewidth=0.9, linestyle=(0, (2, 3)))
        for line, style, size in ((values, "o-", 4), (null, "s--", 3)):
            axes.plot(np.arange(1, len(line) + 1), line, style, color=ink, linewidth=1.1, markersize=size)
        if len(values):
            axes.annotate("real pairs", (1, values[0]), (6, -12), textcoords="offset points")
            axes.annotate("shuffled", (1, null[0]), (6, 5), textcoords="offset points")
        else:
            axes.text(0.5, 0.5, "nothing was measured", ha="center", transform=axes.transAxes)
        tallest = max([1.0, *values, *null])
        axes.set(xlabel="rank", ylabel="singular value", ylim=(0, 1.12 * tallest))
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))

    title = f"Singular values of the map from {source} to {target}, and of shuffled pairs"
    return _figure(plot(f"spectrum-{source}-{target}", title, SMALL, paint))


def _ink(results: Results, name: str) -> str:
    return color([member.name for member in results.members].index(name))


def _figure(figure: str) -> bytes:
    """Return a figure of the report as a file of its own."""
    start, end = figure.index("<svg"), figure.rindex("</svg>") + len("</svg>")
    return _dressed(figure[start:end], read_static(REPORT, ("theme.css",))).encode()


def _dressed(drawing: str, style: str) -> str:
    """Return a drawing with the colours that it names, which follow the reader's light or dark."""
    opening, rest = drawing.split(">", 1)
    if "xmlns=" not in opening:
        opening = opening.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    dress = f"<style>svg {{ font-family: system-ui, sans-serif; }}\n{style}</style>" if style else ""
    return f"{opening}>{dress}{rest}\n"


def _mark(drawing: str) -> str:
    """Put a sign before the figure of every edge that was not accepted."""
    return re.sub(
        r'(<text class="figure (refused|failed|stale)"[^>]*>)',
        lambda found: f"{found[1]}{MARKS[Status(found[2])]} ",
        drawing,
    )

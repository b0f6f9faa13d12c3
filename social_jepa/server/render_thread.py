"""Rendering of views and drawings on one thread, as OpenGL and matplotlib's settings require."""

import asyncio
import io
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from PIL import Image

from alignment.plots import draw_directions
from alignment.status import Status
from env.scene import Scene
from social_jepa.graph.observer import Observer, check_tick
from social_jepa.graph.results import Results
from social_jepa.records import EdgeRecord, body_events
from social_jepa.report.figure import INKS, SMALL, color, plot
from social_jepa.report.graph_svg import agent_cards, draw_graph
from social_jepa.report.rendering import data_uri
from social_jepa.report.tables import number
from social_jepa.report.templating import REPORT, read_static
from social_jepa.server.problems import BUSY, ProblemError
from social_jepa.server.responses import LossCurves
from social_jepa.server.snapshots import Snapshot
from social_jepa.server.static_files import graph_style

MAX_QUEUED = 200  # calls that may wait
MAX_CACHED = 512  # views that are kept
MARKS = {Status.REFUSED: "✕", Status.FAILED: "!", Status.STALE: "↻"}  # besides color and dashes
T = TypeVar("T")


class RenderThread:
    """The thread that renders for all runs of a server, one call at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "render")
        self._queued = 0
        self._newest: RunRenderer | None = None  # the one that rendered last

    async def run(self, renderer: "RunRenderer", function: Callable[[], T]) -> T:
        """Run a function of a run on the thread and return its value.

        Raises:
            ProblemError: Too many calls are waiting.
        """
        if self._queued >= MAX_QUEUED:
            raise ProblemError(
                BUSY, f"{MAX_QUEUED} pictures are waiting to be rendered: try again in a second"
            )
        self._queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._run, renderer, function
            )
        finally:
            self._queued -= 1

    def _run(self, renderer: "RunRenderer", function: Callable[[], T]) -> T:
        """Run a function; another run's renderer is freed before, since MiniWorld allows one per process."""
        if self._newest is not None and self._newest is not renderer:
            self._newest.free()
        self._newest = renderer
        return function()

    def close(self) -> None:
        """Free the renderer and end the thread."""
        if self._newest is not None:
            self._thread.submit(self._newest.free).result()
        self._thread.shutdown()


class RunRenderer:
    """Renders camera views, plots and the graph of one run, on the thread of all runs."""

    def __init__(self, thread: RenderThread) -> None:
        self._thread = thread
        self._observer: tuple[Results, Observer] | None = None
        self._views: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function on the render thread and return its value; see `RenderThread.run`."""
        return await self._thread.run(self, function)

    def render_view(self, snapshot: Snapshot, name: str, tick: int) -> bytes:
        """Return the view of an agent's camera as PNG; to be called on the render thread.

        Raises:
            RuntimeError: OpenGL is missing; the text names the remedy.
        """
        key = (snapshot.results.member(name).pose, name, tick, len(snapshot.results.bodies))
        if key not in self._views:
            buffer = io.BytesIO()
            Image.fromarray(self._render(snapshot.results, name, tick)).save(buffer, "PNG")
            self._views[key] = buffer.getvalue()
            while len(self._views) > MAX_CACHED:
                self._views.popitem(last=False)
        self._views.move_to_end(key)
        return self._views[key]

    def _render(self, results: Results, name: str, tick: int) -> np.ndarray:
        if self._observer is None or self._observer[0] is not results:
            observer = Observer(results)  # before the old one is closed: they share a renderer
            self.free()
            self._observer = results, observer
        return self._observer[1].render(name, tick)

    def render_graph(
        self, snapshot: Snapshot, agents: Sequence[str], edges: Sequence[EdgeRecord], tick: int,
        pictures: str, styled: bool,
    ) -> bytes:  # fmt: skip
        """Return some agents and edges between them as an SVG file; to be called on the render thread."""
        results = snapshot.results
        views: dict[str, str] = {}
        for name in agents if pictures != "none" else ():
            if pictures == "linked":
                views[name] = f"agents/{quote(name)}/view.png?tick={tick}"  # relative to api/graph.svg
                continue
            try:
                views[name] = data_uri(self._render(results, name, tick))
            except RuntimeError:
                break  # without OpenGL the graph has no pictures
        scene = Scene(results.config.scene, results.config.seed, body_events(results.bodies))
        check_tick(scene, tick)
        cards = [card for card in agent_cards(results) if card.name in agents]
        drawing = draw_graph(cards, edges, results.config.scene, scene.state(tick), views)
        return _with_style(_mark(drawing), graph_style() if styled else "").encode()

    def free(self) -> None:
        """Free what renders the scene, until the next call; to be called on the render thread."""
        if self._observer is not None:
            self._observer[1].__exit__()
            self._observer = None


def loss_plot(results: Results, name: str, curves: LossCurves) -> bytes:
    """Return a plot of an agent's loss by step as an SVG file: distillation dashed, with its own axis."""
    ink = INKS[_ink(results, name)]

    def draw(axes: Axes) -> None:
        axes.set(xlabel="step", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if curves.distill:
            right = axes.twinx() if curves.train else axes
            right.spines["right"].set_visible(right is not axes)
            right.grid(visible=right is axes)
            right.set_ylabel("distillation loss")
            right.plot(*zip(*curves.distill, strict=True), color=ink, linewidth=1.2, linestyle=(0, (4, 2)))
        if curves.train:
            axes.plot(*zip(*curves.train, strict=True), color=ink, linewidth=1.2)
        elif not curves.distill:
            axes.text(0.5, 0.5, "no training step yet", ha="center", transform=axes.transAxes)

    newest = [number(curve[-1][1], 2) if curve else "–" for curve in (curves.train, curves.distill)]
    title = f"{name}: newest loss {newest[0]}" + (f", of distillation {newest[1]}" if curves.distill else "")
    return _figure(plot(f"loss-{name}", title, SMALL, draw))


def directions(results: Results, edge: EdgeRecord) -> bytes:
    """Return a plot of what an edge shares and what is private, as an SVG file."""

    def draw(axes: Axes) -> None:
        if edge.correlations:
            draw_directions(axes, [(edge, INKS[_ink(results, edge.source)])], INKS["ink"], INKS["muted"])
            axes.set_ylabel("held-out correlation")
        else:
            axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)

    title = f"Shared directions of {edge.source} and {edge.target}: {edge.shared_dim}"
    return _figure(plot(f"directions-{edge.source}-{edge.target}", title, SMALL, draw))


def _ink(results: Results, name: str) -> str:
    names = [member.name for member in results.members]
    return color(names.index(name) if name in names else len(names))  # a joiner follows them


def _figure(figure: str) -> bytes:
    """Return a plot of the report as an SVG file."""
    start, end = figure.index("<svg"), figure.rindex("</svg>") + len("</svg>")
    return _with_style(figure[start:end], read_static(REPORT, ("theme.css",))).encode()


def _with_style(drawing: str, style: str) -> str:
    """Return a drawing with a style sheet, which defines its colors for light and dark mode."""
    opening, rest = drawing.split(">", 1)
    if "xmlns=" not in opening:
        opening = opening.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    sheet = f"<style>svg {{ font-family: system-ui, sans-serif; }}\n{style}</style>" if style else ""
    return f"{opening}>{sheet}{rest}\n"


def _mark(drawing: str) -> str:
    """Put a mark before the label of every edge that was not accepted."""
    return re.sub(
        r'(<text class="figure (refused|failed|stale)"[^>]*>)',
        lambda found: f"{found[1]}{MARKS[Status(found[2])]} ",
        drawing,
    )

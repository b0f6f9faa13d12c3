"""Plots of the report: loss, autocorrelation, shared directions, R2 by number of anchor pairs, bytes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from alignment.plots import draw_directions
from social_jepa.records import AgentRecord, BudgetSummary, EdgeRecord
from social_jepa.report.figure import INKS, SMALL, WIDE, plot
from social_jepa.report.tables import in_bytes, number

LOWEST_R2, HIGHEST_R2 = -0.2, 1.0
ENOUGH = 0.95  # share of its final R2 at which a map counts as fitted
BINS = 150  # points of a loss curve
METHODS = {
    "procrustes": ("s0", "o", "rotation of the cores (Procrustes)"),
    "robust": ("s1", "s", "the same without the worst pairs"),
    "ridge": ("s2", "^", "any linear map of all dimensions (ridge)"),
}


def loss_plot(agents: Sequence[AgentRecord], inks: Mapping[str, str]) -> str:
    """Return a plot of every agent's loss by training step; inks are the names of their colors.

    Of a long training only the newest steps were published: the plot begins at the first of them.
    """

    def draw(axes: Axes) -> None:
        for agent in agents:
            if not agent.losses:
                continue  # it distilled, and has not trained alone since
            bins = np.array_split(np.array(agent.losses), min(BINS, len(agent.losses)))
            steps = _steps_before(agent) + np.cumsum([len(part) for part in bins])
            axes.plot(steps, [part.mean() for part in bins], color=INKS[inks[agent.name]], linewidth=1.1)
        axes.set(xlabel="training step", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))

    curves = [np.array(agent.losses) for agent in agents if agent.losses]
    tenths = [max(1, len(curve) // 10) for curve in curves]
    ends = [
        (curve[:tenth].mean(), curve[-tenth:].mean()) for curve, tenth in zip(curves, tenths, strict=True)
    ]
    title = "No published model was trained alone"
    if ends:
        before, after = np.median(ends, axis=0)
        change = f"{'fell' if after < before else 'changed'} from {number(before, 2)} to {number(after, 2)}"
        title = f"The loss {change}, first to last tenth of {_shown_steps(agents)}"
    distilled = [agent.name for agent in agents if not agent.losses]
    verb = "has" if len(distilled) == 1 else "have"
    note = f"{', '.join(distilled)} distilled and {verb} not trained alone since." if distilled else ""
    return plot("loss", title, WIDE, draw, note)


def _steps_before(agent: AgentRecord) -> int:
    """Return the steps before the first loss that was published."""
    return agent.steps - len(agent.losses)


def _shown_steps(agents: Sequence[AgentRecord]) -> str:
    """Return in words which steps a plot of losses shows: those of training, or the newest of them."""
    cut = {len(agent.losses) for agent in agents if agent.losses and _steps_before(agent) > 0}
    if not cut:
        return "training"
    return "the newest " + (f"{cut.pop():,} steps" if len(cut) == 1 else "steps")


def core_plots(
    agents: Sequence[AgentRecord], inks: Mapping[str, str], autocorrelation: float | None
) -> list[str]:
    """Return a plot of the autocorrelation of each agent's dimensions, for every agent.

    Args:
        agents: Records of the agents.
        inks: Name of each agent's color.
        autocorrelation: That of every coordinate of the scene, if theory predicts one for all.
    """

    def draw(axes: Axes, agent: AgentRecord, ink: str) -> None:
        values, core = agent.autocorrelation, agent.core_dim
        ranks = np.arange(1, len(values) + 1)
        if autocorrelation is not None:
            for level in (autocorrelation, autocorrelation**2):
                axes.axhline(level, color=INKS["muted"], linewidth=0.9, linestyle=(0, (2, 3)))
        axes.axvspan(0.4, core + 0.5, color=INKS[ink], alpha=0.1, linewidth=0)
        axes.axhline(agent.noise, color=INKS["muted"], linewidth=0.9)
        axes.plot(ranks, agent.explained, "_", color=INKS["muted"], markersize=6)
        axes.plot(ranks[:core], values[:core], "o", color=INKS[ink], markersize=4)
        axes.plot(ranks[core:], values[core:], "o", color=INKS[ink], markersize=4, fillstyle="none")
        axes.set(xlabel="dimension", xlim=(0.4, len(values) + 0.6), ylim=(min(0.0, *values) * 1.1, 1.04))
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))

    found = []
    for index, agent in enumerate(agents):
        title = f"{agent.name}: {agent.core_dim} of {agent.dim} dimensions are its core"
        ink = inks[agent.name]
        found.append(plot(f"core{index}", title, SMALL, lambda axes, a=agent, i=ink: draw(axes, a, i)))  # type: ignore[misc]
    return found


def shared_plots(inks: Mapping[str, str], edges: Sequence[EdgeRecord]) -> list[str]:
    """Return a plot of the directions of the edges into each agent: shared, private, and the null.

    Args:
        inks: Name of each agent's color, of all agents that edges join.
        edges: The edges.
    """
    found = []
    for index, name in enumerate(inks):
        into = [edge for edge in edges if edge.target == name and edge.correlations]
        if into:
            dims = sorted({edge.shared_dim for edge in into})
            shared = f"{dims[0]}" if len(dims) == 1 else f"{dims[0]} to {dims[-1]}"
            title = f"Into {name}: {shared} directions shared"
            bars = [(edge, INKS[inks[edge.source]]) for edge in into]
            found.append(plot(f"into{index}", title, SMALL, lambda axes, b=bars: _directions(axes, b)))  # type: ignore[misc]
    return found


def _directions(axes: Axes, edges: Sequence[tuple[EdgeRecord, str]]) -> None:
    draw_directions(axes, edges, INKS["ink"], INKS["muted"])


def budget_plot(budget: Sequence[BudgetSummary]) -> str:
    """Return a plot of held-out R2 by number of anchor pairs and method, mean and worst of the edges."""
    curves: dict[str, list[tuple[int, float, float]]] = {method: [] for method in METHODS}
    for row in sorted(budget, key=lambda row: row.pairs):
        curves[row.method].append((row.pairs, row.r2_mean, row.r2_min))

    def draw(axes: Axes) -> None:
        for method, curve in curves.items():
            if curve:
                ink, marker, _ = METHODS[method]
                pairs, mean, worst = zip(*curve, strict=True)
                axes.plot(pairs, mean, f"{marker}-", color=INKS[ink], linewidth=1.4, markersize=4)
                axes.plot(pairs, worst, f"{marker}:", color=INKS[ink], linewidth=0.9, markersize=2.5)
        counts = sorted({row.pairs for row in budget})
        axes.set_xscale("log", base=2)
        axes.set(ylim=(LOWEST_R2, HIGHEST_R2), ylabel="held-out R²")
        axes.set_xlabel("anchor pairs that the map is fitted on")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())

    rotation = curves["procrustes"]
    enough = [pairs for pairs, mean, _ in rotation if mean >= ENOUGH * rotation[-1][1] > 0]
    title = "How R² grows with the number of anchor pairs"
    if enough:
        title = f"With {enough[0]} pairs a rotation has 95 % of its R² with {rotation[-1][0]}"
    return plot("budget", title, WIDE, draw, _cut_off(curves))


def _cut_off(curves: Mapping[str, Sequence[tuple[int, float, float]]]) -> str:
    """Return a sentence about the points below the plot; empty if there are none."""
    points = [(r2, method, pairs) for method in curves for pairs, *both in curves[method] for r2 in both]
    below = [point for point in points if point[0] < LOWEST_R2]
    if not below:
        return ""
    lowest, method, pairs = min(below)
    return (
        f"{len(below)} points lie below {number(LOWEST_R2, 1)} and are cut off; "
        f"the lowest is {number(lowest, 2)} ({method}, {pairs} pairs)."
    )


def cost_plot(edges: Sequence[int], weights: Sequence[int], pixels: int, ticks: int) -> str:
    """Return a plot of the bytes of an edge, of raw pixels and of weights.

    Args:
        edges: Bytes of every scored edge.
        weights: Bytes of every agent's model whose checkpoint is on this machine.
        pixels: Bytes of the frames of the compared ticks, uncompressed.
        ticks: Number of ticks that an edge compared.
    """
    rows = [
        (f"the raw pixels of one camera at {ticks} ticks", [pixels], "s1"),
        ("the weights of one agent", weights, "s2"),
        ("one edge, as sent by both sides", edges, "s0"),
    ]  # from the bottom up
    rows = [row for row in rows if row[1]]
    everything = [value for _, values, _ in rows for value in values]

    def draw(axes: Axes) -> None:
        for row, (label, values, ink) in enumerate(rows):
            sizes = " to ".join(dict.fromkeys(in_bytes(end) for end in (min(values), max(values))))
            axes.plot(values, [row] * len(values), "o", color=INKS[ink], markersize=7, markeredgewidth=0)
            axes.text(0.012, row + 0.2, f"{label}: {sizes}", transform=axes.get_yaxis_transform())
        axes.set_xscale("log")
        axes.set(xlim=(min(everything) / 3, max(everything) * 3), xlabel="bytes")
        axes.set(ylim=(-0.5, len(rows) - 0.2), yticks=[])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: in_bytes(value)))
        axes.xaxis.set_minor_locator(NullLocator())

    edge = float(np.mean(edges))
    others = [("pixels", float(pixels)), *([("weights", float(np.mean(weights)))] if weights else [])]
    comparison = ", ".join(_compare(name, other / edge) for name, other in others)
    note = "" if weights else "The checkpoints are not on this machine, so the weights are left out."
    return plot("cost", f"An edge costs {in_bytes(edge)}: {comparison}", WIDE, draw, note)


def _compare(name: str, ratio: float) -> str:
    """Return a phrase that compares an edge with something of ``ratio`` times its bytes."""
    return f"{ratio:.3g} times less than {name}" if ratio >= 1 else f"{1 / ratio:.3g} times more than {name}"

"""Plots of probe-porting: scores by number of anchors, the loss, and one ported probe."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.probe_porting.metrics import CONDITION, MOST_LOST
from social_jepa.experiments.probe_porting.settings import Settings

BY_ANCHORS = {
    "ported, {}": "ported probe",
    "own probe, {} labels": "own probe, as many labels",
    "shuffled, {}": "ported probe, shuffled anchors",
}
LEVELS = {
    "own": "own probe, all labels", "no map": "no map", "random map": "random map",
    "chance": "constant guess",
}  # fmt: skip
LOWEST_R2 = -1.3  # lower end of the axis: a probe fitted on two labels can have any R2


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {
        "by-anchors": plot_by_anchors(results, settings),
        "loss": plot_loss(results, settings),
        "one-probe": plot_one_probe(results),
    }


def plot_by_anchors(results: Results, settings: Settings) -> Figure:
    """Plot R2 over the number of anchors, beside scores that do not depend on it."""
    figure = Figure(figsize=(6.5, 4.6), layout="constrained")
    axis = figure.subplots()
    for (name, label), color, marker in zip(BY_ANCHORS.items(), COLORS, "osv", strict=False):
        estimates = [results.estimate(CONDITION, name.format(count)) for count in settings.anchor_counts]
        draw_curve(axis, settings.anchor_counts, estimates, label, color, marker)
    levels = zip(LEVELS.items(), COLORS[3:], ("-", "--", ":", "-."), strict=False)
    for (name, label), color, style in levels:
        level = results.estimate(CONDITION, name).value
        axis.axhline(level, color=color, ls=style, lw=1.5, label=label)
    _set_anchor_axis(axis, settings.anchor_counts)
    axis.set_ylim(LOWEST_R2, 1.05)
    axis.set_ylabel("R2 of positions on held-out ticks")
    figure.legend(*axis.get_legend_handles_labels(), ncols=2, loc="outside lower center", frameon=False)
    return figure


def plot_loss(results: Results, settings: Settings) -> Figure:
    """Plot the score of the own probe minus that of the ported one over the number of anchors."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axis = figure.subplots()
    own = results.estimate(CONDITION, "own")
    counts = [count for count in settings.anchor_counts if count >= 8]
    losses = [own - results.estimate(CONDITION, f"ported, {count}") for count in counts]
    draw_curve(axis, counts, losses, "positions (R2)", COLORS[0], "o")
    label = f"threshold: at most {MOST_LOST:g}"
    axis.axhline(MOST_LOST, color="black", ls="--", lw=1, label=label)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_ylim(-0.01, 0.1)
    axis.set_ylabel("own minus ported, held-out ticks")
    _set_anchor_axis(axis, counts)
    axis.legend(frameon=False)
    return figure


def _set_anchor_axis(axis: Axes, counts: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    shown = counts[::2] if len(counts) > 8 else counts
    axis.set_xticks(shown, [str(count) for count in shown])
    axis.set_xlabel("anchors of the map")


def plot_one_probe(results: Results) -> Figure:
    """Plot the predictions for one agent by its own and by a ported probe."""
    figure = Figure(figsize=(7.5, 3.9), layout="constrained")
    true = results.array(CONDITION, "true")
    for axis, kind in zip(figure.subplots(1, 2), ("own", "ported"), strict=True):
        predicted = results.array(CONDITION, kind)
        axis.scatter(true[:, 0], predicted[:, 0], s=8, color=COLORS[0], label="x of object 0")
        axis.scatter(true[:, 1], predicted[:, 1], s=8, color=COLORS[1], label="z of object 0")
        axis.plot([-1, 1], [-1, 1], color="black", lw=0.8)
        axis.set(xlabel="true position", ylabel="predicted", xlim=(-1.1, 1.1), ylim=(-1.3, 1.3))
        axis.legend(frameon=False, fontsize=8, loc="upper left")
        axis.set_title(f"{kind} probe", loc="left", fontsize=10)
    figure.suptitle("One agent, held-out ticks")
    return figure

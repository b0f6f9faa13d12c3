"""Plots of the viewpoint experiment: agreement over separation and overlap, the views, and the wall."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve, error_bar
from social_jepa.experiments.common.similarity_baselines import UNTRAINED, baseline_name
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.viewpoint.settings import Settings
from social_jepa.experiments.viewpoint.views import CAMERAS, WALL


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {
        "separation": plot_separation(results, settings),
        "views": plot_views(results, settings),
        "wall": plot_wall(results),
    }


def plot_separation(results: Results, settings: Settings) -> Figure:
    """Plot R2 and overlap over the separation, and R2 over the overlap of object surfaces."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    names = settings.view_names
    labels = {
        "R2": f"R2, {settings.pairs} pairs", "R2 from few pairs": f"R2, {settings.few_pairs} pairs",
        "smallest singular value": "smallest singular value", "pixels": "overlap of all pixels",
        "surface": "overlap of object surfaces",
    }  # fmt: skip
    for (score, label), color, marker in zip(labels.items(), COLORS, "osv^D", strict=False):
        estimates = [results.estimate("separation", f"{score}, {name}") for name in names]
        draw_curve(left, settings.separations, estimates, label, color, marker)
    left.set_xticks(settings.separations)
    left.set_xlabel("degrees between the cameras")
    left.set_ylabel("R2 between cores; singular value; share of pixels")
    left.set_ylim(min(0, left.get_ylim()[0]), 1.03)
    null = np.mean([results.estimate("separation", f"null, {name}").value for name in names])
    name = baseline_name(UNTRAINED, f"R2, {settings.farthest}")
    untrained = results.estimate("separation", name).value
    title = f"R2 of shuffled pairs {null:.2f}, of untrained agents {untrained:.2f}"
    left.set_title(title, loc="left", fontsize=9)
    _draw_r2_over_overlap(right, results, settings)
    figure.legend(*left.get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return figure


def _draw_r2_over_overlap(axis: Axes, results: Results, settings: Settings) -> None:
    """Draw a point for every view without a wall."""
    views = [("separation", name) for name in settings.view_names]
    views += [("cameras", camera) for camera in CAMERAS]
    for condition, name in views:
        r2, share = (results.estimate(condition, f"{score}, {name}") for score in ("R2", "surface"))
        other = condition == "cameras"
        axis.errorbar(
            share.value, r2.value, yerr=error_bar(r2), color=COLORS[4 if other else 0],
            marker="D" if other else "o", ms=5, capsize=2,
        )  # fmt: skip
        label = name if other else name.replace(" degrees", "°")
        axis.annotate(label, (share.value, r2.value), (5, 3), textcoords="offset points", fontsize=8)
    axis.margins(x=0.12)
    axis.set_xlabel("overlap of object surfaces")
    axis.set_title(f"R2, {settings.pairs} pairs, of every camera", loc="left", fontsize=9)


def plot_views(results: Results, settings: Settings) -> Figure:
    """Plot the view of every camera at one tick, one row per condition."""
    rows = {
        "separation": ["reference", *settings.view_names],
        "cameras": ["reference", *CAMERAS, WALL],
    }
    width = max(map(len, rows.values()))
    figure = Figure(figsize=(1.4 * width, 3.4), layout="constrained")
    axes = figure.subplots(len(rows), width, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, (condition, names) in zip(axes, rows.items(), strict=True):
        for axis, name, frame in zip(row, names, results.array(condition, "frames"), strict=False):
            axis.imshow(frame)
            axis.set_title(name, fontsize=9)
    return figure


def plot_wall(results: Results) -> Figure:
    """Plot the canonical correlations across the wall, and probes on both parts of the core."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for seed in results.seeds:
        first = seed == results.seeds[0]
        for name, label, color, marker in (
            ("correlations, no wall", "high camera, no wall", COLORS[0], "s"),
            ("correlations", "behind the wall", COLORS[4], "o"),
        ):
            values = np.sort(results.array("cameras", name, seed))[::-1]
            ranks = np.arange(1, len(values) + 1)
            left.plot(ranks, values, color=color, marker=marker, ms=5, lw=1, label=label if first else None)
        null = float(results.array("cameras", "null", seed))
        left.axhline(null, color="black", ls=":", lw=1, label="largest of the shuffles" if first else None)
    left.set_xlabel("direction of the reference's core")
    left.set_ylabel("held-out canonical correlation")
    left.set_ylim(min(-0.1, left.get_ylim()[0]), 1.05)
    left.xaxis.get_major_locator().set_params(integer=True)
    left.legend(frameon=False, fontsize=8, loc="center left")
    _draw_probes(right, results)
    return figure


def _draw_probes(axis: Axes, results: Results) -> None:
    parts = {
        "mapped": "reference,\nmapped", "null space": "reference,\nnull space",
        "occluded": "agent behind\nthe wall",
    }  # fmt: skip
    for index, (what, color) in enumerate((("others", COLORS[0]), ("hidden", COLORS[1]))):
        estimates = [results.estimate("cameras", f"{part}, {what}") for part in parts]
        x = np.arange(len(parts)) + 0.36 * (index - 0.5)
        label = "the hidden object" if what == "hidden" else "the other objects"
        errors = np.concatenate([error_bar(estimate) for estimate in estimates], axis=1)
        heights = [estimate.value for estimate in estimates]
        axis.bar(x, heights, 0.34, yerr=errors, color=color, capsize=2, label=label)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xticks(range(len(parts)), parts.values())
    axis.set_ylabel("R2 of true positions, linear probe")
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2)

"""The pictures of the viewpoint experiment: agreement against separation and overlap, the views, the wall."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve, error_bar
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.viewpoint.views import CAMERAS, WALL, degrees_name


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "separation": separation_picture(results, settings),
        "views": views_picture(results, settings),
        "wall": wall_picture(results, settings),
    }


def separation_picture(results: Results, settings: Any) -> Figure:
    """Show R2 and overlap over the separation, and R2 against the overlap of object surfaces."""
    picture = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = picture.subplots(1, 2, width_ratios=(3, 2))
    names = [degrees_name(degrees) for degrees in settings.separations]
    lines = {
        "R2": f"R2, {settings.pairs} pairs", "R2 of few": f"R2, {settings.few} pairs",
        "smallest": "smallest singular value", "pixels": "overlap of all pixels",
        "surface": "overlap of object surfaces",
    }  # fmt: skip
    for (measure, label), color, marker in zip(lines.items(), COLORS, "osv^D", strict=False):
        found = [results.estimate("separation", f"{measure}, {name}") for name in names]
        draw_curve(left, settings.separations, found, label, color, marker)
    left.set_xticks(settings.separations)
    left.set_xlabel("degrees between the cameras")
    left.set_ylabel("R2 between cores; singular value; share of pixels")
    left.set_ylim(min(0, left.get_ylim()[0]), 1.03)
    null = np.mean([results.estimate("separation", f"null, {name}").value for name in names])
    untrained = results.estimate("separation", "untrained").value
    left.set_title(
        f"R2 of shuffled pairs {null:.2f}, of the untrained {untrained:.2f}", loc="left", fontsize=9
    )
    _against_overlap(right, results, settings)
    picture.legend(*left.get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return picture


def _against_overlap(axis: Axes, results: Results, settings: Any) -> None:
    """A point for every view whose scene is the whole scene."""
    views = [("separation", degrees_name(degrees)) for degrees in settings.separations]
    views += [("others", camera) for camera in CAMERAS]
    for part, name in views:
        r2, share = (results.estimate(part, f"{measure}, {name}") for measure in ("R2", "surface"))
        other = part == "others"
        axis.errorbar(
            share.value, r2.value, yerr=error_bar(r2), color=COLORS[4 if other else 0],
            marker="D" if other else "o", ms=5, capsize=2,
        )  # fmt: skip
        label = name if other else name.replace(" degrees", "°")
        axis.annotate(label, (share.value, r2.value), (5, 3), textcoords="offset points", fontsize=8)
    axis.margins(x=0.12)
    axis.set_xlabel("overlap of object surfaces")
    axis.set_title(f"R2, {settings.pairs} pairs, of every camera", loc="left", fontsize=9)


def views_picture(results: Results, settings: Any) -> Figure:
    """Show what every camera sees at one tick, a row for each part."""
    rows = {
        "separation": ["reference", *(degrees_name(degrees) for degrees in settings.separations)],
        "others": ["reference", *CAMERAS, WALL],
    }
    width = max(map(len, rows.values()))
    picture = Figure(figsize=(1.4 * width, 3.4), layout="constrained")
    axes = picture.subplots(len(rows), width, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, (part, names) in zip(axes, rows.items(), strict=True):
        for axis, name, frame in zip(row, names, results.array(part, "frames"), strict=False):
            axis.imshow(frame)
            axis.set_title(name, fontsize=9)
    return picture


def wall_picture(results: Results, settings: Any) -> Figure:
    """Show the canonical correlations across the wall, and what the two blocks of the core know."""
    picture = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = picture.subplots(1, 2)
    for seed in results.seeds:
        first = seed == results.seeds[0]
        for name, label, color, marker in (
            ("correlations without a wall", "high camera, no wall", COLORS[0], "s"),
            ("correlations", "behind the wall", COLORS[4], "o"),
        ):
            values = np.sort(results.array("others", name, seed))[::-1]
            ranks = np.arange(1, len(values) + 1)
            left.plot(ranks, values, color=color, marker=marker, ms=5, lw=1, label=label if first else None)
        null = float(results.array("others", "null", seed))
        left.axhline(null, color="black", ls=":", lw=1, label="largest of the shuffles" if first else None)
    left.set_xlabel("direction of the reference's core")
    left.set_ylabel("held-out canonical correlation")
    left.set_ylim(min(-0.1, left.get_ylim()[0]), 1.05)
    left.xaxis.get_major_locator().set_params(integer=True)
    left.legend(frameon=False, fontsize=8, loc="center left")
    _blocks(right, results)
    return picture


def _blocks(axis: Axes, results: Results) -> None:
    blocks = {
        "aligned": "reference,\naligned", "refused": "reference,\nrefused", "blind": "agent behind\nthe wall",
    }  # fmt: skip
    for place, (what, color) in enumerate((("others", COLORS[0]), ("hidden", COLORS[1]))):
        found = [results.estimate("others", f"{block}, {what}") for block in blocks]
        at = np.arange(len(blocks)) + 0.36 * (place - 0.5)
        label = "the hidden object" if what == "hidden" else "the other objects"
        spans = np.concatenate([error_bar(estimate) for estimate in found], axis=1)
        axis.bar(
            at, [estimate.value for estimate in found], 0.34, yerr=spans, color=color, capsize=2, label=label
        )
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xticks(range(len(blocks)), blocks.values())
    axis.set_ylabel("R2 of true places, linear probe")
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2)

"""The pictures of pair-free: R2 over anchors, R2 over the spacing of rates, and which axes are alike."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve
from social_jepa.experiments.framework.experiment import Results

LINES = {
    "signs": ("signs, random anchors", COLORS[0], "o"),
    "chosen": ("signs, chosen anchors", COLORS[2], "^"),
    "hedged": ("hedged signs", COLORS[5], "v"),
    "assigned": ("signed permutation", COLORS[3], "D"),
    "procrustes": ("Procrustes", COLORS[4], "s"),
}
APART = ("", COLORS[6], "P")  # fmt: skip


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "anchors": over_anchors(results, settings),
        "spacing": over_spacings(results, settings),
        "axes": alike(results, settings),
    }


def over_anchors(results: Results, settings: Any) -> Figure:
    """Show R2 over anchors by method, where rates are distinct and where they are equal."""
    picture = Figure(figsize=(9, 4.2), layout="constrained")
    axes = picture.subplots(1, 2, sharey=True)
    for axis, part in zip(axes, (settings.part(settings.distinct), settings.parts[-1]), strict=True):
        for method, (label, color, marker) in LINES.items():
            found = [results.estimate(part, f"{method}, {count}") for count in settings.anchors]
            draw_curve(axis, settings.anchors, found, label, color, marker)
        found = [results.estimate(part, "moments, 0"), results.estimate(part, "clouds, 0")]
        for estimate, mark, label in zip(found, "xP", ("third moments", "matched clouds"), strict=True):
            axis.plot([0], [estimate.value], ls="None", marker=mark, color="black", label=label)
        axis.axhline(0.9, color="black", lw=0.8, ls=":")
        axis.axhline(0, color="black", lw=0.8)
        axis.set_xticks([0, *settings.anchors])
        axis.set_xlabel("anchors")
        axis.set_title(f"{settings.axes} axes, {part} of the rates", loc="left", fontsize=10)
    axes[0].set_ylabel("held-out R2 (dotted: goal)")
    picture.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return picture


def over_spacings(results: Results, settings: Any) -> Figure:
    """Show R2 over the spacing of the rates, from one anchor and from the most."""
    most = settings.anchors[-1]
    picture = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = picture.subplots()
    shown = (
        ("signs", 1, "signs, 1 random anchor"), ("chosen", 1, "signs, 1 chosen anchor"),
        ("apart: chosen", 1, "chosen, axes of other stretches"),
        ("assigned", most, f"signed permutation, {most} anchors"),
        ("procrustes", most, f"Procrustes, {most} anchors"),
    )  # fmt: skip
    for method, count, label in shown:
        _, color, marker = LINES.get(method, APART)
        found = [results.estimate(part, f"{method}, {count}") for part in settings.parts]
        draw_curve(axis, settings.spacings, found, label, color, marker)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xlabel("spacing of the lag-1 autocorrelations")
    axis.set_ylabel("held-out R2")
    picture.legend(*axis.get_legend_handles_labels(), ncols=2, loc="outside lower center", frameon=False)
    return picture


def alike(results: Results, settings: Any) -> Figure:
    """Show how axes of one agent correlate with another's, found together and apart, and with the truth."""
    ends = (settings.part(settings.distinct), settings.parts[-1])
    names = {"axes": "axis of agent 1", "apart": "the same, of another stretch", "state": "true coordinate"}
    picture = Figure(figsize=(10.5, 6.8), layout="constrained")
    axes, ticks = picture.subplots(2, 3, squeeze=False), np.arange(settings.axes)
    for row, part in zip(axes, ends, strict=True):
        for axis, (name, other) in zip(row, names.items(), strict=True):
            values = np.abs(results.array(part, name))
            shown = axis.imshow(values, vmin=0, vmax=1, cmap="Blues")
            axis.set_xlabel(other)
            axis.set_xticks(ticks, ticks + 1)
            axis.set_yticks(ticks, ticks + 1)
            for (y, x), value in np.ndenumerate(values):
                color = "white" if value > 0.6 else "black"
                axis.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
        row[0].set_ylabel(f"{part}: axis of agent 0")
    picture.colorbar(shown, ax=axes, label="absolute correlation, held-out ticks", shrink=0.6)
    return picture

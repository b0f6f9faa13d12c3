"""The pictures of the theory experiment: what is measured, against what is allowed."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from social_jepa.experiments.common.plotting import COLORS, draw_curve, error_bar
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.theory.metrics import nearest_part, own_parts
from social_jepa.experiments.theory.symmetry import CONDITIONS

TICKS = (0.03, 0.1, 0.3, 1, 3)
DEVIATION = "measured E|h_B - R h_A|²"


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "bound": training_picture(results, settings),
        "correlations": correlation_picture(results, settings),
        "outside": outside_picture(results, settings),
        "symmetry": symmetry_picture(results),
    }


def training_picture(results: Results, settings: Any) -> Figure:
    """Show measured against allowed deviation of every pair, seed and look, a colour for each rho."""
    picture = Figure(figsize=(6.2, 5.0), layout="constrained")
    axis = picture.subplots()
    every = []
    for part, color, marker in zip(own_parts(settings), COLORS, "osD^vPX*", strict=False):
        allowed, measured = (
            np.concatenate([results.array(part, name, seed).ravel() for seed in results.seeds])
            for name in ("bound", "measured")
        )
        axis.plot(allowed, measured, marker, color=color, ms=4, alpha=0.7, mew=0, label=part)
        every += [allowed, measured]
    ends = np.array([np.min(every) / 1.5, np.max(every) * 1.5])
    vacuous(axis, 2 * settings.sizes.latents, ends[1])
    axis.plot(ends, ends, color="black", lw=1)
    axis.text(0.3, 0.5, "outside", transform=axis.transAxes, ha="right", fontsize=8)
    axis.loglog()
    axis.set_xlim(*ends)
    axis.set_ylim(*ends)
    axis.set_xlabel(
        "bound 2 (b_A + b_B), of each code alone,\ngiven the world's rho, which an agent cannot measure"
    )
    axis.set_ylabel(DEVIATION)
    axis.set_title("Pairs of agents, from no training (right) to all steps (left)", loc="left", fontsize=10)
    axis.legend(loc="upper left", frameon=False, fontsize=8)
    return picture


def vacuous(axis: Axes, limit: float, end: float) -> None:
    """Shade where a bound says less than that both codes are white."""
    axis.axvspan(limit, max(end, limit), color="0.92", zorder=0, label="says nothing (above 2 n)")


def correlation_picture(results: Results, settings: Any) -> Figure:
    """Show measured deviation over rho, beside bound, null and the untrained agents."""
    picture = Figure(figsize=(6.6, 4.2), layout="constrained")
    axis = picture.subplots()
    names = ("deviation, shuffled", "untrained", "bound", "deviation")
    labels = ("shuffled pairs", "untrained agents", "bound, trained agents", "measured, trained agents")
    for name, label, color, marker in zip(
        names, labels, ("#999999", *COLORS[1:3], COLORS[0]), "v^so", strict=True
    ):
        found = [results.estimate(part, name) for part in own_parts(settings)]
        draw_curve(axis, settings.rhos, found, label, color, marker)
    axis.set_yscale("log")
    axis.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axis.minorticks_off()
    axis.set_xticks(settings.rhos)
    axis.set_xlabel("correlation rho from tick to tick")
    axis.set_ylabel("E|h_B - R h_A|²")
    picture.legend(*axis.get_legend_handles_labels(), ncols=2, loc="outside lower center", frameon=False)
    return picture


def outside_picture(results: Results, settings: Any) -> Figure:
    """Show what is left of the promise where latents are not Gaussian."""
    own = nearest_part(settings)
    parts = (own, *settings.outside)
    picture = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = picture.subplots(1, 2)
    places = np.arange(len(parts))
    for shift, name, label in ((-0.2, "agreement", "between agents"), (0.2, "latents", "of the latents")):
        found = [results.estimate(part, name) for part in parts]
        span = np.concatenate([error_bar(estimate) for estimate in found], axis=1)
        color = COLORS[0 if shift < 0 else 1]
        heights = [estimate.value for estimate in found]
        left.bar(places + shift, heights, 0.38, yerr=span, color=color, label=label, capsize=2)
    left.axhline(0, color="black", lw=0.8)
    left.set_ylabel("held-out R2 of a rotation")
    for name, label, marker, color in (
        ("bound", "bound", "_", "black"), ("measured", "measured, each pair and seed", "o", COLORS[0]),
    ):  # fmt: skip
        for place, part in enumerate(parts):
            values = np.concatenate([results.array(part, name, seed)[-1] for seed in results.seeds])
            across = place + np.linspace(-0.2, 0.2, len(values))
            right.plot(across, values, marker, color=color, ms=5, label=label if place == 0 else None)
    right.set_yscale("log")
    right.set_ylabel("E|h_B - R h_A|²")
    for axis in (left, right):
        axis.set_xticks(places, [f"Gaussian,\n{own}", *settings.outside])
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return picture


def symmetry_picture(results: Results) -> Figure:
    """Show what an invertible A does to the raw loss and to the whitened one, from look to look."""
    loss, raw, white = (results.array("symmetry", name) for name in ("loss", "raw", "whitened"))
    picture = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = picture.subplots(1, 2)
    for row, (condition, color) in enumerate(zip(CONDITIONS, COLORS, strict=False)):
        label = f"condition {condition:g}"
        if condition > 1:
            change = np.abs(raw[:, row] - loss[:, None]).max(1)
            left.plot(loss, change, "o", color=color, label=label)
            left.plot(np.sort(loss), (condition - 1) * np.sort(loss), color=color, lw=1)
        seen = np.maximum(white[:, row].max(1), 1e-17)
        right.plot(loss, seen, "o", color=color, label=label)
    left.set_ylabel("greatest change of the raw loss; lines: limit")
    right.axhline(1e-6, color="black", lw=1, ls="--", label="goal")
    right.set_ylabel("greatest relative change of the whitened loss")
    for axis in (left, right):
        axis.loglog()
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("loss of the agent, at each look")
        axis.legend(loc="upper left", frameon=False, fontsize=8)
    right.set_ylim(top=10)  # leaves room above the goal
    return picture

"""Plots of the theory experiment: measured deviations against bounds, other worlds, and the symmetry."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from social_jepa.experiments.common.plotting import COLORS, draw_curve, error_bar
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.theory.settings import Settings
from social_jepa.experiments.theory.symmetry import CONDITION_NUMBERS

TICK_LABELS = (0.03, 0.1, 0.3, 1, 3)
DEVIATION = "E|h_B - R h_A|²"


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {
        "bound": plot_bound(results, settings),
        "correlations": plot_correlations(results, settings),
        "outside": plot_outside(results, settings),
        "symmetry": plot_symmetry(results),
    }


def plot_bound(results: Results, settings: Settings) -> Figure:
    """Plot the measured deviation of every pair, seed and evaluation over its bound, one color per rho."""
    figure = Figure(figsize=(6.2, 5.0), layout="constrained")
    axis = figure.subplots()
    values = []
    for condition, color, marker in zip(settings.theory_conditions, COLORS, "osD^vPX*", strict=False):
        allowed, measured = (
            np.concatenate([results.array(condition, name, seed).ravel() for seed in results.seeds])
            for name in ("bound", "measured")
        )
        axis.plot(allowed, measured, marker, color=color, ms=4, alpha=0.7, mew=0, label=condition)
        values += [allowed, measured]
    ends = np.array([np.min(values) / 1.5, np.max(values) * 1.5])
    limit = 2 * settings.encoder.factors  # above it the bound says less than that both latents are white
    label = "vacuous (above 2 n)"
    axis.axvspan(limit, max(ends[1], limit), color="0.92", zorder=0, label=label)
    axis.plot(ends, ends, color="black", lw=1)
    axis.text(0.3, 0.5, "above the bound", transform=axis.transAxes, ha="right", fontsize=8)
    axis.loglog()
    axis.set_xlim(*ends)
    axis.set_ylim(*ends)
    axis.set_xlabel(
        "bound 2 (b_A + b_B), from the latents of each agent alone,\n"
        "given the world's rho, which an agent cannot measure"
    )
    axis.set_ylabel(f"measured {DEVIATION}")
    axis.set_title("Pairs of agents, untrained (right) to fully trained (left)", loc="left", fontsize=10)
    axis.legend(loc="upper left", frameon=False, fontsize=8)
    return figure


def plot_correlations(results: Results, settings: Settings) -> Figure:
    """Plot the measured deviation over rho, beside the bound, the null and the untrained agents."""
    figure = Figure(figsize=(6.6, 4.2), layout="constrained")
    axis = figure.subplots()
    names = ("deviation, shuffled", "deviation, untrained", "bound", "deviation")
    labels = ("shuffled pairs", "untrained agents", "bound, trained agents", "measured, trained agents")
    colors = ("#999999", *COLORS[1:3], COLORS[0])
    for name, label, color, marker in zip(names, labels, colors, "v^so", strict=True):
        estimates = [results.estimate(condition, name) for condition in settings.theory_conditions]
        draw_curve(axis, settings.rhos, estimates, label, color, marker)
    axis.set_yscale("log")
    axis.set_yticks(TICK_LABELS, [f"{tick:g}" for tick in TICK_LABELS])
    axis.minorticks_off()
    axis.set_xticks(settings.rhos)
    axis.set_xlabel("autocorrelation rho of the factors")
    axis.set_ylabel(DEVIATION)
    figure.legend(*axis.get_legend_handles_labels(), ncols=2, loc="outside lower center", frameon=False)
    return figure


def plot_outside(results: Results, settings: Settings) -> Figure:
    """Plot agreement and deviations in worlds whose factors are not Gaussian."""
    conditions = (settings.nearest_condition, *settings.outside_worlds)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_agreement(left, results, conditions)
    _draw_deviations(right, results, conditions)
    for axis in (left, right):
        names = [f"Gaussian,\n{conditions[0]}", *settings.outside_worlds]
        axis.set_xticks(np.arange(len(conditions)), names)
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return figure


def _draw_agreement(axis: Axes, results: Results, conditions: tuple[str, ...]) -> None:
    x = np.arange(len(conditions))
    for shift, name, label, color in (
        (-0.2, "agreement", "between agents", COLORS[0]), (0.2, "factors", "of the factors", COLORS[1]),
    ):  # fmt: skip
        estimates = [results.estimate(condition, name) for condition in conditions]
        errors = np.concatenate([error_bar(estimate) for estimate in estimates], axis=1)
        heights = [estimate.value for estimate in estimates]
        axis.bar(x + shift, heights, 0.38, yerr=errors, color=color, label=label, capsize=2)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_ylabel("held-out R2 of an orthogonal map")


def _draw_deviations(axis: Axes, results: Results, conditions: tuple[str, ...]) -> None:
    for name, label, marker, color in (
        ("bound", "bound", "_", "black"), ("measured", "measured, each pair and seed", "o", COLORS[0]),
    ):  # fmt: skip
        for index, condition in enumerate(conditions):
            values = np.concatenate([results.array(condition, name, seed)[-1] for seed in results.seeds])
            x = index + np.linspace(-0.2, 0.2, len(values))
            axis.plot(x, values, marker, color=color, ms=5, label=label if index == 0 else None)
    axis.set_yscale("log")
    axis.set_ylabel(DEVIATION)


def plot_symmetry(results: Results) -> Figure:
    """Plot the change of the raw and of the whitened loss under an invertible A, at each evaluation."""
    loss, raw, white = (results.array("symmetry", name) for name in ("loss", "raw", "whitened"))
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for row, (number, color) in enumerate(zip(CONDITION_NUMBERS, COLORS, strict=False)):
        label = f"condition number {number:g}"
        if number > 1:
            change = np.abs(raw[:, row] - loss[:, None]).max(1)
            left.plot(loss, change, "o", color=color, label=label)
            left.plot(np.sort(loss), (number - 1) * np.sort(loss), color=color, lw=1)
        right.plot(loss, np.maximum(white[:, row].max(1), 1e-17), "o", color=color, label=label)
    left.set_ylabel("largest change of the raw loss; lines: limit")
    right.axhline(1e-6, color="black", lw=1, ls="--", label="threshold")
    right.set_ylabel("largest relative change of the whitened loss")
    for axis in (left, right):
        axis.loglog()
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("loss of the agent, at each evaluation")
        axis.legend(loc="upper left", frameon=False, fontsize=8)
    right.set_ylim(top=10)  # space above the threshold for the legend
    return figure

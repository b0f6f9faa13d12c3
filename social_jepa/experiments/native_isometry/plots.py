"""Plots of native-isometry: R2 and conditioning of W over the number of pairs, and methods from all pairs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.native_isometry.metrics import MOST_KAPPA
from social_jepa.experiments.native_isometry.settings import METHODS, OBJECTIVES, Settings

LOWEST_R2, HIGHEST_KAPPA = -0.2, 1e3  # ends of the axes


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {"pairs": plot_pairs(results, settings), "methods": plot_methods(results)}


def plot_pairs(results: Results, settings: Settings) -> Figure:
    """Plot R2, and below it the singular values and kappa of W, over the number of pairs, by objective."""
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    axes = figure.subplots(2, len(OBJECTIVES), sharex=True, sharey="row", squeeze=False)
    counts = settings.pair_counts
    for (name, method), (upper, lower) in zip(OBJECTIVES.items(), axes.T, strict=True):
        upper.set_title(method.title, loc="left", fontsize=10)
        for score, color, marker in (("R2", 0, "o"), ("similarity R2", 1, "s")):
            label = "W" if score == "R2" else "similarity transform"
            _draw_seeds(upper, results, name, score, counts, COLORS[color], marker, label)
        for score, color in (("kappa", 4), ("s_max", 2), ("s_min", 3)):
            _draw_seeds(lower, results, name, score, counts, COLORS[color], ".", score)
        lower.axhline(MOST_KAPPA, color="black", ls="--", lw=1)
        lower.set_xscale("log", base=2)
        lower.set_xlabel("pairs that W is fitted on")
    axes[0, 0].set_ylim(LOWEST_R2, 1.02)
    axes[1, 0].set_yscale("log")
    axes[1, 0].set_ylim(1e-2, HIGHEST_KAPPA)
    axes[0, 0].set_ylabel("held-out R2")
    axes[1, 0].set_ylabel("singular values and\nkappa of W, all directions")
    for row in axes:
        row[0].legend(frameon=False, fontsize=8)
    return figure


def _draw_seeds(
    axis: Axes, results: Results, condition: str, score: str, counts: tuple[int, ...], color: str,
    marker: str, label: str,
) -> None:  # fmt: skip
    """Draw the mean over seeds as a line and each seed as a dot; values that are not finite are left out."""
    by_seed = np.array([results.estimate(condition, f"{score}, {pairs}").seeds for pairs in counts])
    by_seed[~np.isfinite(by_seed)] = np.nan
    axis.plot(counts, by_seed.mean(1), "-", color=color, label=label, lw=1.4)
    axis.plot(counts, by_seed, marker, color=color, ms=2.5, alpha=0.6)


def plot_methods(results: Results) -> Figure:
    """Plot R2 of W and of the similarity transform, and kappa over strong directions, by method."""
    figure = Figure(figsize=(8.2, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    positions = np.arange(len(METHODS))
    for shift, score, color, label in (
        (-0.2, "R2", COLORS[0], "W"), (0.2, "similarity R2", COLORS[1], "similarity transform"),
    ):  # fmt: skip
        found = [results.estimate(name, score) for name in METHODS]
        half = np.nan_to_num([estimate.interval[1] - estimate.value for estimate in found])
        heights = [estimate.value for estimate in found]
        upper.bar(positions + shift, heights, 0.38, color=color, label=label, yerr=half, capsize=2)
        null = [results.estimate(name, f"shifted {score}").value for name in METHODS]
        upper.plot(positions + shift, null, "_", color="black", ms=12)
    for position, name in zip(positions, METHODS, strict=True):
        values = np.array(results.estimate(name, "strong kappa").seeds)
        lower.plot(np.full(len(values), position), values, "o", color=COLORS[4], ms=4, alpha=0.7)
    lower.axhline(MOST_KAPPA, color="black", ls="--", lw=1)
    lower.set_yscale("log")
    upper.set_ylabel("held-out R2, all pairs\n(dash: time shifts)")
    lower.set_ylabel("kappa of W,\nstrong directions")
    upper.set_ylim(LOWEST_R2, 1.02)
    upper.legend(frameon=False, ncols=2)
    lower.set_xticks(positions, [method.title for method in METHODS.values()])
    return figure

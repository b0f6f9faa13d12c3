"""Plots of plans: success by policy, and the distance to the goal over the ticks of an episode."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, MARKERS, draw_bars
from social_jepa.experiments.framework.experiment import Results


def plot_success(
    results: Results, titles: Mapping[str, str], policies: Sequence[str], success_distance: float
) -> Figure:
    """Plot success by policy, a bar for each condition.

    Args:
        results: Results with the scores of `common.planning.success_scores`.
        titles: Title of each condition.
        policies: Policies.
        success_distance: Largest distance to the goal that is a success.
    """
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axis = figure.subplots()
    for index, (condition, title) in enumerate(titles.items()):
        estimates = [results.estimate(condition, policy) for policy in policies]
        draw_bars(axis, estimates, index, len(titles), title, COLORS[index])
    axis.set_xticks(range(len(policies)), policies, rotation=20, ha="right")
    axis.set_ylim(0, 1.02)
    axis.set_ylabel(f"share of episodes that\nend within {success_distance:g} of the goal")
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), ncols=2, loc="outside upper center", frameon=False)
    return figure


def plot_distances(
    results: Results, titles: Mapping[str, str], policies: Sequence[str], success_distance: float
) -> Figure:
    """Plot the mean distance to the goal over ticks, a panel for each condition and a curve for each policy.

    Args:
        results: Results with an array "distance: POLICY", [T], of each policy.
        titles: Title of each condition.
        policies: Policies.
        success_distance: As for `plot_success`.
    """
    figure = Figure(figsize=(4.2 * len(titles) + 0.6, 4), layout="constrained")
    axes = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for axis, (condition, title) in zip(axes, titles.items(), strict=True):
        for policy, color, marker in zip(policies, COLORS, MARKERS, strict=False):
            distances = [results.array(condition, f"distance: {policy}", seed) for seed in results.seeds]
            axis.plot(np.mean(distances, axis=0), label=policy, color=color, marker=marker, ms=4, lw=1.4)
        axis.axhline(success_distance, color="black", lw=0.8, ls=":")
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel("tick of the episode")
    axes[0].set_ylabel("mean distance to the goal\n(positions from -1 to 1)")
    axes[0].set_ylim(bottom=0)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return figure

"""Table, pictures and notes of the collapse experiment."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.framework.experiment import Metric, Results, Threshold

if TYPE_CHECKING:
    from social_jepa.experiments.collapse.run import CollapseSettings

PLAIN = ("joint", "collapsed-start", "detached", "dynamics-only", "collapsed-dynamics")
AGAINST_NULL = ("merged pairs", "merged", "closest", "median distance", "informative", "bisimilar merged")
ENOUGH = 20  # processes whose losses must get below the threshold


def figures(results: Results, settings: "CollapseSettings") -> list[Metric]:
    """Return the lines of the table."""
    lines = [line for part in PLAIN for line in _plain(results, part)]
    return [*lines, *_searched(results, "search"), *_searched(results, "search-without-head")]


def _plain(results: Results, part: str) -> list[Metric]:
    joint, control = part in ("joint", "collapsed-start"), part in ("dynamics-only", "collapsed-dynamics")

    def line(name: str, measure: str, goal: Threshold | None = None) -> Metric:
        null = results.estimate("collapsed-dynamics", measure).value if measure in AGAINST_NULL else None
        value = results.estimate(part, measure)
        return Metric(f"{part}: {name}", value, null=null, threshold=goal, group=part)

    return [
        line("processes below the threshold", "below", Threshold(">=", ENOUGH) if joint else None),
        line("pairs not bisimilar in them", "pairs"),
        line("counter-examples to the bound", "counter-examples", Threshold("==", 0) if joint else None),
        line("pairs not bisimilar but merged", "merged pairs", Threshold("==", 0) if joint else None),
        line("share of pairs not bisimilar that merged", "merged", Threshold("==", 1) if control else None),
        line("smallest distance, not bisimilar", "closest"),
        line("median distance, not bisimilar", "median distance"),
        line("share of pairs with a bound above zero", "informative"),
        line("median of bound over distance", "tightness"),
        line("share of bisimilar pairs that merged", "bisimilar merged"),
        line("worst squared error of T", "worst dynamics"),
        line("worst squared error of P", "worst head"),
    ]


def _searched(results: Results, part: str) -> list[Metric]:
    control = part != "search"

    def line(name: str, measure: str, goal: Threshold | None = None, compared: bool = True) -> Metric:
        null = results.estimate("search-without-head", measure).value if compared else None
        return Metric(
            f"{part}: {name}", results.estimate(part, measure), null=null, threshold=goal, group=part
        )

    return [
        line("pairs pulled together", "searched", compared=False),
        line("of them, in models that got below the threshold", "reached", compared=False),
        line(
            "counter-examples to the bound",
            "found counter-examples",
            None if control else Threshold("==", 0),
            compared=False,
        ),
        line(
            "share of pulled pairs merged",
            "found merged",
            Threshold(">=", 0.9) if control else Threshold("==", 0),
        ),
        line("smallest distance reached", "found closest"),
        line("median of the distances reached", "found median"),
    ]


def pictures(results: Results, settings: "CollapseSettings") -> dict[str, Figure]:
    """Return distances against losses, one process in matrices, and the search."""
    return {
        "distances": _distances(results, settings),
        "example": _example(results),
        "search": _search(results, settings),
    }


def _distances(results: Results, settings: "CollapseSettings") -> Figure:
    picture = Figure(figsize=(13, 4.2), layout="constrained")
    axes = picture.subplots(1, 3, sharey=True)
    pairs = np.concatenate([results.array("joint", "pairs", seed) for seed in results.seeds])
    for ax, column, name in zip(axes, (2, 3), ("T", "P"), strict=False):
        for kind, label, colour in ((0, "not bisimilar", "C0"), (1, "bisimilar", "C1")):
            shown = pairs[pairs[:, 4] == kind]
            ax.loglog(shown[:, column], shown[:, 0].clip(1e-12), ".", color=colour, label=label, markersize=3)
        ax.axvline(settings.threshold, color="grey", linestyle=":", label="threshold")
        ax.set(
            xlabel=f"worst squared error of {name} in the process", title=f"joint: distance against {name}"
        )
    different = pairs[(pairs[:, 4] == 0) & (pairs[:, 1] > 0)]
    axes[2].loglog(different[:, 1], different[:, 0], ".", markersize=3)
    ends = [different[:, 1].min(initial=1), different[:, 1].max(initial=1)]
    axes[2].loglog(ends, ends, color="grey")
    axes[2].set(xlabel="lower bound", title="joint: distance against its bound")
    axes[0].set_ylabel("distance of codes")
    for ax in axes:
        ax.axhline(settings.tolerance, color="grey", linestyle="--", label="tolerance")
    axes[0].legend(fontsize=7)
    return picture


def _example(results: Results) -> Figure:
    picture = Figure(figsize=(14, 3.6), layout="constrained")
    axes = picture.subplots(1, 4)
    classes = results.array("joint", "example classes")
    axes[0].imshow(classes[:, None] != classes[None, :], cmap="magma")
    axes[0].set_title("bright: not bisimilar")
    for ax, part in zip(axes[1:], ("joint", "collapsed-start", "collapsed-dynamics"), strict=True):
        shown = ax.imshow(results.array(part, "example distances"), cmap="magma", vmin=0, vmax=1)
        ax.set_title(f"{part}: distance of codes", fontsize=9)
        picture.colorbar(shown, ax=ax, shrink=0.8)
    picture.suptitle("The process with the most bisimilar pairs, states sorted by class")
    return picture


def _search(results: Results, settings: "CollapseSettings") -> Figure:
    picture = Figure(figsize=(13, 4.2), layout="constrained")
    axes = picture.subplots(1, 3)
    for ax, part in zip(axes, ("search", "search-without-head"), strict=False):
        looks = results.array(part, "looks")
        steps = np.arange(len(looks)) * settings.steps / max(1, len(looks))
        ax.semilogy(steps, looks, linewidth=0.6, alpha=0.6)
        ax.set(title=part, xlabel="step", ylabel="distance of pulled pair, while below")
        ax.axhline(settings.tolerance, color="grey", linestyle="--")
    _against_bound(axes[2], results)
    return picture


def _against_bound(ax: Axes, results: Results) -> None:
    closest, bounds = (results.array("search", name) for name in ("closest", "bounds"))
    shown = np.isfinite(closest) & (bounds > 0)
    ax.loglog(bounds[shown], closest[shown], ".")
    ends = [bounds[shown].min(initial=1), bounds[shown].max(initial=0.01)]
    ax.loglog(ends, ends, color="grey")
    ax.set(title="search: closest against its bound", xlabel="lower bound", ylabel="distance reached")


def notes(results: Results, settings: "CollapseSettings") -> list[str]:
    """Return what a reader must know beside the table."""
    found = results.estimate("search", "found closest").value
    merged = results.estimate("dynamics-only", "merged").value
    return [
        f"Pulled together, the closest pair kept a distance of {found:.3g}, from codes with a spread "
        f"of 1 and the tolerance is {settings.tolerance:g}, with squared errors below "
        f"{settings.threshold:g}. The theorem rules out zero alone: closer codes need a steeper T or P.",
        "Dynamics alone may collapse and need not: from random first weights "
        f"{merged:.1%} of the pairs not bisimilar merged; in some processes T learnt transitions of codes "
        "that stayed apart, which is as well zero loss. From one code for all nothing moves, for the loss is "
        "zero there: that control is exact.",
    ]

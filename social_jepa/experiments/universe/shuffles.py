"""What becomes of maps and of a universe when rows are shuffled: those of everybody, or of a few."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from alignment.fit import fit_robust
from alignment.universe import fit_universe
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.universe.ways import (
    Cores,
    Edges,
    Way,
    chosen,
    direct,
    edges_r2,
    of_one_size,
    shuffled,
)

SHUFFLING, MIXING = 2, 4  # words
ENDS = ("two of them", "one of them and another", "two others")  # of edges, where a few mix up their rows


def kinds(keep: float) -> Mapping[str, Callable[[Cores], Way]]:
    """Return the ways that are compared; the trimmed ones trust a share of the rows."""
    robust = partial(fit_robust, keep=keep, centred=False)
    return {
        "universe": lambda cores: fit_universe(cores).between,
        "universe, trimmed": lambda cores: fit_universe(cores, keep).between,
        "pairwise": direct,
        "pairwise, trimmed": lambda cores: direct(cores, robust),
    }


def of_shuffles(strangers: Sequence[TrainedAgent], pairs: int, seed: int, settings: Any) -> dict[str, Score]:
    """Return R2 of all agents when a share of each agent's rows is shuffled; all of them are the null."""
    found = {}
    for share in sorted({*settings.shares, 1.0}):
        dealt = []
        for draw in range(settings.draws):
            rng = np.random.default_rng([seed, SHUFFLING, draw, pairs])
            dealt.append(shuffled(chosen(strangers, pairs, seed, draw), share, rng))
        for kind, fit in kinds(settings.keep).items():
            name = f"{kind}, {share:.0%} of {pairs} shuffled"
            found[name] = Score.average(edges_r2(strangers, [fit(cores) for cores in dealt]))
    return found


def of_a_few(strangers: Sequence[TrainedAgent], pairs: int, seed: int, settings: Any) -> dict[str, Score]:
    """Return R2 by kind of edge when a few of a company have shuffled rows; all of them are the null.

    Who belongs to it is those whose cores have the commonest size, and others only where these are too few.
    """
    alike = of_one_size(strangers)
    company = [*alike, *(each for each in strangers if each not in alike)][: settings.company]
    names = [each.name for each in company]
    honest, few = names[: -settings.few], names[-settings.few :]
    mixed = [edge for edge in permutations(names, 2) if len({*edge} & {*few}) == 1]
    edges: tuple[Edges, ...] = (list(permutations(few, 2)), mixed, list(permutations(honest, 2)))
    found = {}
    for ending, share in (("", settings.mixed), (", clean", 0.0), (", null", 1.0)):
        dealt = []
        for draw in range(settings.draws):
            rng = np.random.default_rng([seed, MIXING, draw, pairs])
            cores = chosen(company, pairs, seed, draw)
            dealt.append(cores | shuffled({name: cores[name] for name in few}, share, rng))
        for kind, fit in kinds(settings.keep).items():
            ways = [fit(cores) for cores in dealt]
            for ends, of_kind in zip(ENDS, edges, strict=True):
                name = f"few, {kind}, {ends}, {pairs}{ending}"
                found[name] = Score.average(edges_r2(company, ways, of_kind))
    return found

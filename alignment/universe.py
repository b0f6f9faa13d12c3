r"""The universe: one common space of many agents, each with a single map into it (arXiv:2602.06205).

Pairwise maps of N agents are N (N - 1) fits that may contradict each other around a cycle. Here each agent i
has one (semi-)orthogonal Q_i from its core into a common space of dimension D, and i is translated to j by
``Q_i Q_j^T``: consistent around every cycle where cores have one size, and a joiner costs one fit.

Generalized Procrustes analysis (Gower 1975; for latent spaces arXiv:2602.06205): with X_i agent i's core
embeddings of K shared ticks, minimize ``sum_i |X_i Q_i - G|_F^2`` over all Q_i and the consensus G in turn,

    1.  G   = mean_i X_i Q_i, scaled to the mean size of the X_i (else shrinking alone would be rewarded)
    2.  Q_i = U V^T of the decomposition ``X_i^T G = U S V^T``                     (`fit.fit_procrustes`)

Neither step increases the sum at a fixed scale of G, so that the iteration converges.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.fit import fit_procrustes, fit_robust
from alignment.linear_map import LinearMap

TOLERANCE = 1e-10  # relative decrease of the error below which the iteration has converged
MAX_ITERATIONS = 200  # about twelve suffice


@dataclass(frozen=True, eq=False)
class Universe:
    """The common space and each agent's map into it.

    Attributes:
        consensus: [K, D], the shared ticks in the common space.
        maps: Map of each agent's core into the common space, by name.
    """

    consensus: Tensor
    maps: Mapping[str, LinearMap]

    def between(self, source: str, target: str) -> LinearMap:
        """Return the translation from one agent's core to another's, through the common space.

        Raises:
            KeyError: One of them is not in this universe.
        """
        for name in (source, target):
            if name not in self.maps:
                raise KeyError(f"{name} is not in this universe: add it with join()")
        return self.maps[source].then(self.maps[target].inverse())

    def join(self, name: str, core: Tensor, keep: float = 1.0) -> "Universe":
        """Return the universe with one more agent; the maps of the others do not change.

        Args:
            name: Name of the joiner, or of an agent with a new core.
            core: Its core embeddings of the shared ticks, [K, D_i], in their order.
            keep: Share of the rows to keep, as for `fit_universe`.

        Raises:
            ValueError: The core has not one row for each tick.
        """
        if core.ndim != 2 or len(core) != len(self.consensus):
            raise ValueError(
                f"{name} needs one row for each of the {len(self.consensus)} shared ticks, "
                f"got {tuple(core.shape)}"
            )
        return Universe(self.consensus, {**self.maps, name: _fit(core, self.consensus, keep)})


def fit_universe(cores: Mapping[str, Tensor], keep: float = 1.0) -> Universe:
    """Return the common space of several agents; the module describes the method.

    The largest core sets its dimension, and the first agent of that size its axes: a universe is determined
    up to one rotation of all.

    Args:
        cores: Core embeddings of the same K ticks in the same order by agent, [K, D_i]: white, about the
            origin that the agent found.
        keep: Share of the rows to keep of each agent, in (0, 1]. Below 1, rows that disagree with the
            consensus are trimmed (`fit.fit_robust`) and do not influence it.

    Raises:
        ValueError: There are fewer than two agents, or the cores differ in their number of ticks.
    """
    rows = {core.shape[:1] for core in cores.values()}
    if len(cores) < 2 or len(rows) != 1 or any(core.ndim != 2 for core in cores.values()):
        shapes = {name: tuple(core.shape) for name, core in cores.items()}
        raise ValueError(f"a universe needs embeddings of the same ticks by two or more agents, got {shapes}")
    embeddings = {name: core.double() for name, core in cores.items()}
    consensus = max(embeddings.values(), key=lambda core: core.shape[1])
    size = torch.stack([core.square().sum() for core in embeddings.values()]).mean().sqrt()
    last = torch.inf
    for _ in range(MAX_ITERATIONS):
        maps = {name: _fit(core, consensus, keep) for name, core in embeddings.items()}
        mapped = torch.stack([maps[name](core) for name, core in embeddings.items()])  # [N, K, D]
        error = float((mapped - consensus).square().sum())
        if last - error <= TOLERANCE * max(error, float(size) ** 2 * TOLERANCE):
            break
        last = error
        center = _center(mapped, keep)
        consensus = center * size / torch.linalg.matrix_norm(center).clamp_min(1e-300)
    return Universe(consensus, maps)


def _fit(core: Tensor, consensus: Tensor, keep: float) -> LinearMap:
    if keep < 1:
        return fit_robust(core, consensus, keep=keep, centered=False)
    return fit_procrustes(core, consensus, centered=False)


def _center(mapped: Tensor, keep: float) -> Tensor:
    """Return the mean over agents, [N, K, D] -> [K, D]; the median by coordinate where rows are trimmed."""
    return mapped.mean(0) if keep == 1 else mapped.quantile(0.5, dim=0)

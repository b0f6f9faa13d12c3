r"""One common space for many agents: each holds a single map to it, and all translations follow.

Pairwise maps of N agents are N (N - 1) fits that may contradict each other around a cycle. Here each agent i
has one (semi-)orthogonal Q_i from its core into a common space of dimension D, and i is translated to j by
``Q_i Q_j^T``: consistent around every cycle where cores are of one size, and a newcomer costs one fit.

Generalised Procrustes analysis (Gower 1975; for latent spaces arXiv:2602.06205): with X_i what agent i makes
of K shared ticks, minimise ``sum_i |X_i Q_i - G|_F^2`` over all Q_i and the consensus G by turns,

    1.  G   = mean_i X_i Q_i, scaled to the mean size of the X_i (else shrinking alone would be rewarded)
    2.  Q_i = U V^T of the decomposition ``X_i^T G = U S V^T``                     (`fit.fit_procrustes`)

Neither step raises the sum at a fixed scale of G, so that the turns settle.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.fit import fit_procrustes, fit_robust
from alignment.linear_map import LinearMap

SETTLED = 1e-10  # share of the error that a turn must win to be worth another one
TURNS = 200  # at most; a dozen do


@dataclass(frozen=True, eq=False)
class Universe:
    """The common space and each agent's map into it.

    Attributes:
        consensus: [K, D], where the shared ticks lie in the common space.
        maps: By agent, from its core into the common space.
    """

    consensus: Tensor
    maps: Mapping[str, LinearMap]

    def between(self, source: str, target: str) -> LinearMap:
        """Return the translation from one agent's core to another's, through the common space.

        Raises:
            KeyError: One of them is not part of this universe.
        """
        for name in (source, target):
            if name not in self.maps:
                raise KeyError(f"{name} is not part of this universe: it joins with `join`")
        return self.maps[source].then(self.maps[target].inverse())

    def join(self, name: str, core: Tensor, keep: float = 1.0) -> "Universe":
        """Return the universe with one more agent; nobody else's map moves.

        Args:
            name: Who joins, or comes again with another core.
            core: What it makes of the shared ticks, [K, D_i], in their order.
            keep: Share of the rows to trust, as for `fit_universe`.

        Raises:
            ValueError: Not one row for each tick.
        """
        if core.ndim != 2 or len(core) != len(self.consensus):
            raise ValueError(
                f"{name} must show what it makes of all {len(self.consensus)} shared ticks, "
                f"got {tuple(core.shape)}"
            )
        return Universe(self.consensus, {**self.maps, name: _fit(core, self.consensus, keep)})


def fit_universe(cores: Mapping[str, Tensor], keep: float = 1.0) -> Universe:
    """Return the common space of several agents; see the module for the method.

    The largest core sets its dimension, and the first agent of that size the turn that it is seen in: a
    universe is given up to one rotation of all.

    Args:
        cores: By agent, what it makes of the same K ticks in one order, [K, D_i]: white, about the origin
            that its owner found.
        keep: Share of the rows to trust of each agent, in (0, 1]. Below 1, rows that disagree with the
            consensus are trimmed (`fit.fit_robust`) and weigh nothing in it.

    Raises:
        ValueError: Fewer than two agents, or not the same ticks.
    """
    rows = {core.shape[:1] for core in cores.values()}
    if len(cores) < 2 or len(rows) != 1 or any(core.ndim != 2 for core in cores.values()):
        shapes = {name: tuple(core.shape) for name, core in cores.items()}
        raise ValueError(f"a universe needs what two or more agents make of the same ticks, got {shapes}")
    shown = {name: core.double() for name, core in cores.items()}
    consensus = max(shown.values(), key=lambda core: core.shape[1])
    size = torch.stack([core.square().sum() for core in shown.values()]).mean().sqrt()
    last = torch.inf
    for _ in range(TURNS):
        maps = {name: _fit(core, consensus, keep) for name, core in shown.items()}
        seen = torch.stack([maps[name](core) for name, core in shown.items()])  # [N, K, D]
        error = float((seen - consensus).square().sum())
        if last - error <= SETTLED * max(error, float(size) ** 2 * SETTLED):
            break
        last = error
        middle = _middle(seen, keep)
        consensus = middle * size / torch.linalg.matrix_norm(middle).clamp_min(1e-300)
    return Universe(consensus, maps)


def _fit(core: Tensor, consensus: Tensor, keep: float) -> LinearMap:
    if keep < 1:
        return fit_robust(core, consensus, keep=keep, centred=False)
    return fit_procrustes(core, consensus, centred=False)


def _middle(seen: Tensor, keep: float) -> Tensor:
    """Return the mean of what agents see at each tick, [N, K, D] -> [K, D], or their median by coordinate."""
    return seen.mean(0) if keep == 1 else seen.quantile(0.5, dim=0)

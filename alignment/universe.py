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

from alignment.arrays import AlignmentError, AnyArray, check_devices, check_finite, to_tensor
from alignment.fit import fit_procrustes, fit_robust
from alignment.linear_map import LinearMap

TOLERANCE = 1e-10  # relative decrease of the error below which the iteration has converged
MAX_ITERATIONS = 200  # about twelve suffice


@dataclass(frozen=True, eq=False)
class Universe:
    """The common space and each agent's map into it.

    Attributes:
        consensus: [K, D], the shared ticks in the common space.
        maps: Map of each agent's core into the common space, by name; `LinearMap.undetermined` counts the
            directions of the core that the shared ticks leave undetermined.
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

    def join(self, name: str, core: AnyArray, keep: float = 1.0) -> "Universe":
        """Return the universe with one more agent; the maps of the others do not change.

        Args:
            name: Name of the joiner, or of an agent with a new core.
            core: Its core embeddings of the shared ticks, [K, D_i], in their order.
            keep: Share of the rows to keep, as for `fit_universe`.

        Raises:
            AlignmentError: The core has not one row for each tick, is larger than the common space, or does
                not vary.
        """
        _check_keep(keep)
        given = to_tensor(core, f"the core of {name}")
        check_devices(consensus=self.consensus, core=given)
        rows = _check_core(given, name)
        ticks, dim = self.consensus.shape
        if len(rows) != ticks:
            raise AlignmentError(
                f"{name} needs one row for each of the {ticks} shared ticks, got {tuple(rows.shape)}",
                "encode the ticks of the consensus, in their order",
            )
        if rows.shape[1] > dim:
            raise AlignmentError(
                f"the core of {name} has {rows.shape[1]} dimensions and the common space {dim}",
                "fit the universe again with fit_universe and all agents",
            )
        return Universe(self.consensus, {**self.maps, name: _fit(rows, self.consensus, keep)})


def fit_universe(cores: Mapping[str, AnyArray], keep: float = 1.0) -> Universe:
    """Return the common space of several agents; the module describes the method.

    The largest core sets its dimension, and the first agent of that size its axes: a universe is determined
    up to one rotation of all.

    Args:
        cores: Core embeddings of the same K ticks in the same order by agent, [K, D_i]: white, about the
            origin that the agent found.
        keep: Share of the rows to keep of each agent, in (0, 1]. Below 1, rows that disagree with the
            consensus are trimmed (`fit.fit_robust`) and do not influence it.

    Raises:
        AlignmentError: There are fewer than two agents, the cores differ in their number of ticks, a core
            does not vary, or holds a value that is not finite.
    """
    _check_keep(keep)
    given = {name: to_tensor(core, f"the core of {name}") for name, core in cores.items()}
    if given:
        check_devices(**given)
    embeddings = {name: _check_core(core, name) for name, core in given.items()}
    if len(embeddings) < 2 or len({len(core) for core in embeddings.values()}) != 1:
        shapes = {name: tuple(core.shape) for name, core in embeddings.items()}
        raise AlignmentError(
            f"a universe needs embeddings of the same ticks by two or more agents, got {shapes}",
            "encode the same ticks with every agent",
        )
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


def _check_keep(keep: float) -> None:
    if not 0 < keep <= 1:
        raise AlignmentError(f"a universe cannot keep {keep} of the rows", "choose keep above 0, up to 1")


def _check_core(core: Tensor, name: str) -> Tensor:
    """Return the core of an agent as a float64 tensor [K, D]."""
    rows = core.double()
    if rows.ndim != 2 or not len(rows):
        raise AlignmentError(
            f"the core of {name} is {tuple(rows.shape)}",
            "pass [K, D] for K shared ticks",
        )
    check_finite(rows, f"the core of {name}", "check the encoder that made it")
    if rows.shape[1] and not rows.any():  # an agent without a core, [K, 0], takes no part
        raise AlignmentError(f"the core of {name} is zero at all ticks", f"leave {name} out: it collapsed")
    return rows


def _fit(core: Tensor, consensus: Tensor, keep: float) -> LinearMap:
    if keep < 1:
        return fit_robust(core, consensus, keep=keep, centered=False)
    return fit_procrustes(core, consensus, centered=False)


def _center(mapped: Tensor, keep: float) -> Tensor:
    """Return the mean over agents, [N, K, D] -> [K, D]; the median by coordinate where rows are trimmed."""
    return mapped.mean(0) if keep == 1 or not mapped.numel() else mapped.quantile(0.5, dim=0)

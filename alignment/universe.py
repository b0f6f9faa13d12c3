r"""The universe: one common space of many agents, each with a single map into it (arXiv:2602.06205).

Pairwise maps of N agents are N (N - 1) fits that may contradict each other around a cycle. Here each agent i
has one map Q_i from its core into a common space of dimension D, and i is translated to j by ``Q_i Q_j^T``: a
joiner costs one fit, and what is common to all agents of a cycle comes back from it unchanged.

Generalized Procrustes analysis (Gower 1975; for latent spaces arXiv:2602.06205): with X_i agent i's core
embeddings of K shared ticks, minimize ``sum_i |X_i Q_i - G P_i|_F^2`` over all Q_i and the consensus G in
turn, where ``P_i = Q_i^T Q_i`` projects on what agent i has of the common space:

    1.  G   = (sum_i X_i Q_i) (sum_i P_i)^+, scaled to the mean size of the X_i per dimension (else shrinking
              alone would be rewarded); a direction that an agent lacks is no observation of zero
    2.  Q_i = U V^T of the decomposition ``X_i^T G = U S V^T``                     (`fit.fit_procrustes`)

Where agents share their whole cores, all P_i are the identity. Otherwise `overlap` places each agent's shared
directions in the common space, from pairwise maps, and private directions take no part. At the end the axes
of the common space are turned so that every agent has some of them and lacks the others entirely.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, AnyArray, check_devices, check_finite, to_tensor
from alignment.fit import fit_procrustes, fit_robust
from alignment.linear_map import KEPT, LinearMap
from alignment.overlap import Pair, place_shared
from alignment.shapes_repr import shapes_repr

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

    __repr__ = shapes_repr

    @property
    def common_axes(self) -> Tensor:
        """Which axes of the common space every agent has, bool [D]: around any cycle these come back."""
        lengths = torch.stack([found.weight.square().sum(0) for found in self.maps.values()])  # [N, D]
        return (lengths > KEPT).all(0)

    @property
    def common_dim(self) -> int:
        """Number of directions of the common space that every agent has."""
        return int(self.common_axes.sum())

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

        The whole core takes part: give the directions alone that the agent shares, where some are private. Of
        a core that is larger than the common space, the directions that fit it best are placed, and the
        others are private; to give these a place too, fit the universe again.

        Args:
            name: Name of the joiner, or of an agent with a new core.
            core: Its core embeddings of the shared ticks, [K, D_i], in their order.
            keep: Share of the rows to keep, as for `fit_universe`.

        Raises:
            AlignmentError: The core has not one row for each tick, or does not vary.
        """
        _check_keep(keep)
        given = to_tensor(core, f"the core of {name}")
        check_devices(consensus=self.consensus, core=given)
        rows = _check_core(given, name)
        ticks = len(self.consensus)
        if len(rows) != ticks:
            raise AlignmentError(
                f"{name} needs one row for each of the {ticks} shared ticks, got {tuple(rows.shape)}",
                "encode the ticks of the consensus, in their order",
            )
        return Universe(self.consensus, {**self.maps, name: _fit(rows, self.consensus, keep)})


def fit_universe(
    cores: Mapping[str, AnyArray], keep: float = 1.0, shared: Mapping[Pair, LinearMap] | None = None
) -> Universe:
    """Return the common space of several agents; the module describes the method.

    A universe is determined up to one rotation of all.

    Args:
        cores: Core embeddings of the same K ticks in the same order by agent, [K, D_i]: white, about the
            origin that the agent found.
        keep: Share of the rows to keep of each agent, in (0, 1]. Below 1, rows that disagree with the
            consensus are trimmed (`fit.fit_robust`) and do not influence it.
        shared: Map of the shared directions of each pair that has one, as `SharedSubspace.map`, by (source,
            target). By default each core is shared by all: the largest one sets the dimension of the common
            space, and the first agent of that size its axes.

    Raises:
        AlignmentError: There are fewer than two agents, the cores differ in their number of ticks, a core
            does not vary, or holds a value that is not finite.
    """
    _check_keep(keep)
    if keep < 1 and shared is not None:
        raise AlignmentError(
            f"keep={keep} trims rows of cores that are shared whole", "leave out keep, or the shared maps"
        )
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
    if shared is None:
        return _fit_all(embeddings, max(embeddings.values(), key=lambda core: core.shape[1]), keep)
    return _fit_placed(embeddings, shared, keep)


def _fit_placed(cores: Mapping[str, Tensor], shared: Mapping[Pair, LinearMap], keep: float) -> Universe:
    """Return the universe of the directions that cores [K, D_i] share."""
    dims = {name: core.shape[1] for name, core in cores.items()}
    placed = place_shared(dims, shared)
    own = {
        name: LinearMap(each.own, each.own.new_zeros(each.own.shape[1]), each.own.shape[1], 0)
        for name, each in placed.items()
    }
    common = {name: own[name](core) for name, core in cores.items()}
    places = [each.place for each in placed.values()]
    mapped = [core @ place for core, place in zip(common.values(), places, strict=True)]
    found = _fit_all(common, _consensus(mapped, places), keep)
    return Universe(found.consensus, {name: own[name].then(found.maps[name]) for name in common})


def _fit_all(cores: Mapping[str, Tensor], consensus: Tensor, keep: float) -> Universe:
    """Return the universe of cores that are shared whole, from a first consensus [K, D] on."""
    dim = consensus.shape[1]
    size = torch.stack([core.square().sum() / max(1, core.shape[1]) for core in cores.values()]).mean() * dim
    last = torch.inf
    for _ in range(MAX_ITERATIONS):
        maps = {name: _fit(core, consensus, keep) for name, core in cores.items()}
        mapped = [maps[name](core) for name, core in cores.items()]  # [K, D] each
        weights = [found.weight for found in maps.values()]
        error = sum(
            float((rows - consensus @ (weight.T @ weight)).square().sum())
            for rows, weight in zip(mapped, weights, strict=True)
        )
        if last - error <= TOLERANCE * max(error, float(size) * TOLERANCE):
            break
        last = error
        center = _center(torch.stack(mapped), weights) if keep < 1 else _consensus(mapped, weights)
        consensus = center * size.sqrt() / torch.linalg.matrix_norm(center).clamp_min(1e-300)
    return _turn_axes(Universe(consensus, maps), cores, keep)


def _turn_axes(universe: Universe, cores: Mapping[str, Tensor], keep: float) -> Universe:
    """Return the universe with axes of which every agent has some, and lacks the others entirely."""
    dim = universe.consensus.shape[1]
    if all(core.shape[1] == dim for core in cores.values()):
        return universe
    projections = [found.weight.T @ found.weight for found in universe.maps.values()]
    axes = torch.cat(_split_blocks(projections), dim=1)
    consensus, maps = universe.consensus @ axes, {}
    for (name, core), projection in zip(cores.items(), projections, strict=True):
        present = (axes.T @ projection @ axes).diagonal().argsort(descending=True)[: core.shape[1]]
        found = _fit(core, consensus[:, present], keep)
        into = torch.eye(dim).to(consensus)[present]
        maps[name] = LinearMap(found.weight @ into, found.bias @ into, found.rank, found.undetermined)
    return Universe(consensus, maps)


def _split_blocks(projections: Sequence[Tensor]) -> list[Tensor]:
    """Return blocks of axes, [D, m] each, that each agent has or lacks whole, from projections [D, D]."""
    blocks = [torch.eye(len(projections[0])).to(projections[0])]
    for projection in projections:
        split = []
        for block in blocks:
            values, axes = torch.linalg.eigh(block.T @ projection @ block)
            split += [block @ axes[:, part] for part in (values > KEPT, values <= KEPT) if part.any()]
        blocks = split
    return blocks


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


def _consensus(mapped: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return the mean of rows [K, D] over the agents that have each direction, by their maps [D_i, D]."""
    projections = torch.stack([weight.T @ weight for weight in weights]).sum(0)
    return torch.stack(list(mapped)).sum(0) @ torch.linalg.pinv(projections, hermitian=True, rtol=1e-6)


def _center(mapped: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Return the median over the agents that have each direction by their maps, [N, K, D] -> [K, D]."""
    dim = mapped.shape[-1]
    if not mapped.numel():
        return mapped.mean(0)
    if all(len(weight) >= dim for weight in weights):
        return mapped.quantile(0.5, dim=0)
    projections = [weight.T @ weight for weight in weights]
    axes = torch.cat(_split_blocks(projections), dim=1)
    present = torch.stack([(axes.T @ each @ axes).diagonal() > KEPT for each in projections])  # [N, D]
    turned = torch.where(present[:, None], mapped @ axes, torch.nan)
    return turned.nanquantile(0.5, dim=0).nan_to_num(0.0) @ axes.T

r"""Which pairs of agents a graph of maps confirms, and which it contradicts, from the maps alone.

Maps between white spaces keep some directions and drop the others. A walk from an agent back to itself has
the map M, and white latents x come back nearer to where they were than to the origin if

    E |x M - x P|^2 < E |x P|^2,  that is  2 tr M > |M|_F^2

with P the directions that M keeps: `score.cycle_error` is below 1. So a map that translates no better than
the mean does is the limit, as for an edge. Walks of two maps judge a pair by itself. Walks of three judge it
by others: they contradict a pair if more than half of them come back wrong, through two other agents or more.
While at most half of the other agents lie, the walks of an honest pair through honest agents decide.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from alignment.linear_map import KEPT, LinearMap

CHUNK: Final = 2**22  # numbers of maps that are multiplied at a time, 32 MiB


@dataclass(frozen=True, eq=False)
class StackedMaps:
    """The maps of a graph of N agents and E edges, in the memory of E maps and N^2 numbers.

    Attributes:
        weights: [E + 1, D, D], float64; the last one is zero.
        places: [N, N], int32: row of `weights` by source and target; E where there is no map.
    """

    weights: Tensor
    places: Tensor

    @property
    def present(self) -> Tensor:
        """Which pairs have a map, bool [N, N]."""
        return self.places < len(self.weights) - 1

    def between(self, sources: Tensor, targets: Tensor) -> Tensor:
        """Return the weights of pairs, int64 [P] each, as [P, D, D]."""
        return self.weights[self.places[sources, targets].long()]


def round_trips(maps: StackedMaps) -> Tensor:
    """Return which pairs come back by their two maps, bool [N, N], symmetric.

    More than half of the directions that both maps keep come back: ``2 tr M > min(|W_ij|^2, |W_ji|^2)``.
    """
    i, j = maps.present.nonzero(as_tuple=True)
    there, back = maps.between(i, j), maps.between(j, i)
    kept = torch.minimum(there.square().sum((1, 2)), back.square().sum((1, 2)))
    found = torch.zeros(maps.places.shape, dtype=torch.bool)
    found[i, j] = (kept > KEPT) & (2 * torch.einsum("eab,eba->e", there, back) > kept)
    return found


def contradicted(maps: StackedMaps) -> Tensor:
    """Return which pairs most walks over a third agent contradict, bool [N, N], symmetric.

    Walks of both directions count, i, j, k, i for the pair i, j, and j, i, k, j.
    """
    count = len(maps.places)
    wrong, walks = (torch.zeros(count * count, dtype=torch.int64) for _ in range(2))
    thirds = [torch.zeros(0, dtype=torch.int64)]
    for first, second, third, is_wrong in walk_thirds(maps):
        pair = torch.minimum(first, second) * count + torch.maximum(first, second)
        walks.index_add_(0, pair, torch.ones_like(pair))
        wrong.index_add_(0, pair, is_wrong.long())
        thirds.append((pair * count + third).unique())
    others = torch.bincount(torch.cat(thirds).unique() // count, minlength=count * count)
    found = ((others > 1) & (2 * wrong > walks)).view(count, count)
    return found | found.T


def walk_thirds(maps: StackedMaps) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield the walks i, j, k, i along maps that keep a direction, and whether each comes back wrong.

    Yields:
        (i, j, k, wrong), [P] each, some of the walks, in the order of i, j and k.
    """
    present = maps.present
    sources, targets = present.nonzero(as_tuple=True)
    leave = present.sum(1)
    starts = leave.cumsum(0) - leave  # of the edges from each agent, which are in the order of their source
    onward = leave[targets]  # how many edges follow each edge
    most = max(leave.tolist(), default=0) or 1
    for edges in torch.arange(len(sources)).split(max(1, CHUNK // maps.weights[0].numel() // most)):
        counts = onward[edges]
        places = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        first, second = (ends[edges].repeat_interleave(counts) for ends in (sources, targets))
        third = targets[starts[second] + places]
        closed = present[third, first]
        first, second, third = first[closed], second[closed], third[closed]
        walk = maps.between(first, second) @ maps.between(second, third) @ maps.between(third, first)
        size, trace = walk.square().sum((1, 2)), walk.diagonal(dim1=1, dim2=2).sum(1)
        arrives = size > KEPT  # one that drops all directions says nothing
        wrong = 2 * trace <= size
        yield first[arrives], second[arrives], third[arrives], wrong[arrives]


def stack_maps(names: Sequence[str], maps: Mapping[tuple[str, str], LinearMap]) -> StackedMaps:
    """Return the maps between some agents.

    Args:
        names: The N agents.
        maps: Maps of the shared directions from core to core, by (source, target); of others none is used.
    """
    numbers = {name: number for number, name in enumerate(names)}
    used = {pair: found for pair, found in maps.items() if numbers.keys() >= set(pair)}
    dim = max((max(found.weight.shape) for found in used.values()), default=1)
    weights = np.zeros((len(used) + 1, dim, dim))  # torch takes ten times as long to write one map of many
    places = np.full((len(names), len(names)), len(used), dtype=np.int32)
    for place, ((source, target), found) in enumerate(used.items()):
        rows, columns = found.weight.shape
        weights[place, :rows, :columns] = found.weight.detach().cpu().numpy()
        places[numbers[source], numbers[target]] = place
    return StackedMaps(torch.from_numpy(weights), torch.from_numpy(places))

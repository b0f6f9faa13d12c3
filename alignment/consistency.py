r"""Which pairs of agents a graph of maps confirms, and which it contradicts, from the maps alone.

Maps between white spaces keep some directions and drop the others. A walk from an agent back to itself has
the map M, and white latents x come back nearer to where they were than to the origin if

    E |x M - x P|^2 < E |x P|^2,  that is  2 tr M > |M|_F^2

with P the directions that M keeps: `score.cycle_error` is below 1. So a map that translates no better than
the mean does is the limit, as for an edge. Walks of two maps judge a pair by itself. Walks of three judge it
by others: they contradict a pair if more than half of them come back wrong, through two other agents or more.
While at most half of the other agents lie, the walks of an honest pair through honest agents decide.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from alignment.linear_map import KEPT, LinearMap


def round_trips(weights: Tensor) -> Tensor:
    """Return which pairs come back by their two maps, bool [N, N], symmetric.

    More than half of the directions that both maps keep come back: ``2 tr M > min(|W_ij|^2, |W_ji|^2)``.

    Args:
        weights: [N, N, D, D], see `stack_maps`.
    """
    trace = torch.einsum("ijab,jiba->ij", weights, weights)
    size = weights.square().sum((2, 3))
    kept = torch.minimum(size, size.T)
    return (kept > KEPT) & (2 * trace > kept)


def contradicted(weights: Tensor) -> Tensor:
    """Return which pairs most walks over a third agent contradict, bool [N, N], symmetric.

    Args:
        weights: [N, N, D, D], see `stack_maps`.
    """
    wrong, walks = walk_thirds(weights)
    wrong, walks = wrong + wrong.transpose(0, 1), walks + walks.transpose(0, 1)  # both directions of a walk
    return ((walks > 0).sum(2) > 1) & (2 * wrong.sum(2) > walks.sum(2))


def walk_thirds(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether each walk i, j, k, i comes back wrong, and whether it arrives, 0 or 1, [N, N, N] each.

    A walk that drops all directions says nothing.
    """
    wrong, arrives = [], []
    for agent in range(len(weights)):
        walk = weights[agent][:, None] @ weights @ weights[:, agent]  # [N, N, D, D], by j and k
        size, trace = walk.square().sum((2, 3)), walk.diagonal(dim1=2, dim2=3).sum(2)
        arrives.append((size > KEPT).long())
        wrong.append(((size > KEPT) & (2 * trace <= size)).long())
    return torch.stack(wrong), torch.stack(arrives)


def stack_maps(names: Sequence[str], maps: Mapping[tuple[str, str], LinearMap]) -> Tensor:
    """Return the weights of maps by source and target, zero where there is none, float64 [N, N, D, D].

    Args:
        names: The N agents.
        maps: Maps of the shared directions from core to core, by (source, target); of others none is used.
    """
    dim = max((max(found.weight.shape) for found in maps.values()), default=1)
    weights = torch.zeros(len(names), len(names), dim, dim, dtype=torch.float64)
    places = {name: place for place, name in enumerate(names)}
    for (source, target), found in maps.items():
        if source in places and target in places:
            rows, columns = found.weight.shape
            weights[places[source], places[target], :rows, :columns] = found.weight.double()
    return weights

"""Where the shared directions of many agents lie in one common space, from their pairwise maps.

A direction of one agent's core that two pairwise maps keep is one direction of the common space, whichever
agents it is mapped to. Agents are placed one after the other: what the maps relate to agents that are placed
already takes their place, and every other shared direction gets a new dimension.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.linear_map import KEPT, LinearMap

Pair = tuple[str, str]


class Placed(NamedTuple):
    """Shared directions of one agent, and their place.

    Attributes:
        own: [D_i, r], orthonormal: the directions of its core that it shares with any other agent.
        place: [r, D], where they lie in the common space; rows orthonormal.
    """

    own: Tensor
    place: Tensor


def place_shared(dims: Mapping[str, int], shared: Mapping[Pair, LinearMap]) -> dict[str, Placed]:
    """Return the shared directions of each agent and their place in one common space.

    Args:
        dims: Dimensions of each agent's core.
        shared: Maps of shared directions by (source, target), rotations that drop all others.
    """
    steps: dict[str, list[tuple[str, Tensor]]] = {name: [] for name in dims}  # to each agent's peers
    for (source, target), found in shared.items():
        weight = found.weight.double()
        steps[source].append((target, weight))
        steps[target].append((source, weight.T))
    own = {name: _own_directions(dim, steps[name]) for name, dim in dims.items()}
    related = dict.fromkeys(dims, 0.0)  # how much of an agent is mapped to those that are placed
    places: dict[str, Tensor] = {}
    total = 0
    while related:
        name = max(related, key=lambda each: (related[each], own[each].shape[1]))
        del related[name]
        places[name] = _place(own[name], _known_place(name, own, places, steps[name], total))
        total = places[name].shape[1]
        for peer, step in steps[name]:
            if peer in related:
                related[peer] += float(step.square().sum())
    return {name: Placed(own[name], _widened(places[name], total)) for name in dims}


def _own_directions(dim: int, steps: Sequence[tuple[str, Tensor]]) -> Tensor:
    """Return the directions of an agent's core that any of its maps keeps, [dim, r]."""
    kept = torch.zeros(dim, dim, dtype=torch.float64, device=steps[0][1].device if steps else None)
    for _, step in steps:
        kept += step @ step.T
    values, axes = torch.linalg.eigh(kept)
    return axes[:, values > KEPT].flip(1)


def _place(own: Tensor, known: Tensor) -> Tensor:
    """Return the place of an agent's directions [D_i, r], as [r, D]; the unknown ones get new dimensions."""
    u, s, vt = torch.linalg.svd(known, full_matrices=True)
    count = int((s > KEPT).sum())
    place = own.new_zeros(own.shape[1], known.shape[1] + own.shape[1] - count)
    place[:, : known.shape[1]] = u[:, :count] @ vt[:count]
    place[:, known.shape[1] :] = u[:, count:]
    return place


def _known_place(
    name: str, own: Mapping[str, Tensor], places: Mapping[str, Tensor], steps: Sequence[tuple[str, Tensor]],
    total: int,
) -> Tensor:  # fmt: skip
    """Return the mean place of an agent's directions by its maps to and from the agents that are placed.

    Directions that are mapped have a place of length 1, and others 0.
    """
    summed = own[name].new_zeros(own[name].shape[1], total)
    count = own[name].new_zeros(own[name].shape[1], own[name].shape[1])
    for peer, step in steps:
        if peer in places:
            kept = own[name].T @ step @ own[peer]
            summed += kept @ _widened(places[peer], total)
            count += kept @ kept.T
    return torch.linalg.pinv(count, hermitian=True, rtol=0.1) @ summed


def _widened(place: Tensor, total: int) -> Tensor:
    """Return a place [r, D] in a common space of more dimensions."""
    return torch.cat([place, place.new_zeros(len(place), total - place.shape[1])], 1)

"""Target networks: copies of a network that follow it by an exponential moving average."""

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def frozen_copy(network: Network) -> Network:
    """Return a copy with the same weights that takes no gradient."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def update_ema(target: nn.Module, online: nn.Module, momentum: float) -> None:
    r"""Move a target network towards the online network, in place.

    ``xi <- m xi + (1 - m) theta`` for every parameter (BYOL, arXiv:2006.07733, eq. 1). Buffers stay: each
    network keeps its own statistics of batch normalization.

    Args:
        target: xi, a frozen copy of online.
        online: theta.
        momentum: m, from 0 (copy) to 1 (stay).

    Raises:
        ValueError: The momentum is outside [0, 1].
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be from 0 to 1, got {momentum}")
    for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)

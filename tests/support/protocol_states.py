"""States of the protocol as values: copies, a form that == compares, and models of many versions."""

import copy
from collections import deque
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass

import msgspec
import numpy as np
import torch

from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.messages import encode
from agents.protocol.negotiation import Negotiation
from agents.protocol.settings import NegotiationConfig
from agents.protocol.verifier import ReplayWindow
from alignment.anchors import AnchorSet

CONFIG = NegotiationConfig(anchors=4, heldout=8, pool_ticks=16)
CORE, DIM = 1, 2
IGNORED = {  # what a protocol remembers and never acts on, or acts on by the clock alone
    "PeerProtocol": {"_lock", "_events", "_event_number", "busy_until", "_tried_at", "_heard_at"},
    "Channel": {"_transport", "sent", "received", "log", "on_addresses"},
    "EnvelopeVerifier": {"local", "refusals", "_limits", "_clock", "_monotonic"},
    "_PeerState": {"budget", "window", "sent"},
    "DistillExchange": set(),
    "Negotiation": {"rng", "pools", "config"},
}


def planted_version(index: int, version: int) -> Negotiation:
    """Return the negotiations of one version of a planted agent's model; no two versions embed alike."""
    ticks = range(2 * CONFIG.pool_ticks)
    factor = np.random.default_rng(3).standard_normal((len(ticks), CORE))
    rng = np.random.default_rng([7, index, version])
    vectors = np.concatenate([
        rng.choice([-1.0, 1.0]) * factor + 0.05 * rng.standard_normal(factor.shape),
        rng.standard_normal((len(ticks), DIM - CORE)),
    ], axis=1)  # fmt: skip
    halves = torch.from_numpy(vectors.astype(np.float32)).split(CONFIG.pool_ticks)
    ids = tuple(ticks[: CONFIG.pool_ticks]), tuple(ticks[CONFIG.pool_ticks :])
    pools = AnchorPools(*(AnchorSet(part, half, CORE) for part, half in zip(ids, halves, strict=True)))
    info = PeerInfo(f"agent-{index}", "5ce9e", "planted", f"c{index}.{version}", DIM, CORE, False)
    return Negotiation(info, pools, CONFIG, np.random.default_rng([0, index]), memory_rows=1)


def clone(value):
    """Return a copy whose containers and protocol objects are its own; what is frozen is shared."""
    if isinstance(value, dict):
        other = copy.copy(value)
        for key in other:
            other[key] = clone(other[key])
        return other
    if isinstance(value, (set, list, deque)):
        return copy.copy(value)
    if type(value).__name__ in IGNORED:
        other = copy.copy(value)
        for name, part in vars(value).items():
            setattr(other, name, clone(part))
        return other
    return copy.copy(value) if isinstance(value, ReplayWindow) else value


class Canonical:
    """Turns what a protocol remembers into nested tuples that are equal if and only if the content is."""

    def __init__(self):
        self._leaves = {}  # by id: the object, which thus stays alive, and its form

    def __call__(self, value):
        """Return the form of a value."""
        if isinstance(value, Mapping):
            return tuple(sorted(((repr(key), self(part)) for key, part in value.items()), key=lambda x: x[0]))
        if isinstance(value, Set):
            return tuple(sorted(map(repr, value)))
        if type(value).__name__ in IGNORED:
            ignored = IGNORED[type(value).__name__]
            return tuple((name, self(part)) for name, part in vars(value).items() if name not in ignored)
        if isinstance(value, (str, bytes, int, float, type(None))):
            return value
        if id(value) not in self._leaves:
            self._leaves[id(value)] = value, self._form(value)
        return self._leaves[id(value)][1]

    def _form(self, value):
        if isinstance(value, torch.Tensor):
            return tuple(value.shape), str(value.dtype), value.numpy().tobytes()
        if isinstance(value, np.ndarray):
            return value.shape, str(value.dtype), value.tobytes()
        if isinstance(value, msgspec.Struct):
            return type(value).__name__, encode(value)
        if is_dataclass(value):
            return type(value).__name__, *(self(getattr(value, part.name)) for part in fields(value))
        if isinstance(value, (tuple, list, deque)):
            return tuple(self(part) for part in value)
        raise TypeError(f"the checker cannot compare a {type(value).__name__}")

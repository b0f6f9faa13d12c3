"""Negotiate all edges between the agents of a seed, in one process, and score each edge."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np
import torch

from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.messages import AnyMessage
from agents.protocol.negotiation import Negotiation
from agents.protocol.settings import NegotiationConfig
from alignment.edge_score import fit_core
from alignment.score import r2
from alignment.status import Status
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.heterogeneous.settings import VARIANTS, HeterogeneousStream

Pair = tuple[str, str]  # names of source and target


@dataclass(frozen=True)
class Edge:
    """Result of the negotiation of one ordered pair.

    Attributes:
        accepted: Whether the target accepted the edge.
        reason: Why it refused, in one sentence.
        core: Held-out R2 of the map of the shared directions, on the whole core of the target.
        ridge: Held-out R2 of ridge regression from all dimensions of the source to the core of the target.
        null: Held-out R2 of a rotation between the cores with the target read at another time; NaN if nothing
            was scored.
    """

    accepted: bool
    reason: str
    core: Score
    ridge: Score
    null: float


@lru_cache(maxsize=16)  # metrics, plots and notes need the same edges
def negotiate_edges(
    results: Results, seed: int, config: NegotiationConfig, memory: int
) -> Mapping[Pair, Edge]:
    """Return the edge of every ordered pair (source, target) after all agents of a seed have negotiated.

    Args:
        results: Embeddings and descriptions of the agents.
        seed: Seed of the run.
        config: Settings of the negotiations.
        memory: Ticks after which the scene no longer resembles itself.
    """
    negotiations = {
        name: Negotiation(
            peer_info(results, name, seed), _pools(results, name, seed), config,
            HeterogeneousStream.NONCES.rng(seed, index), config.memory_rows(memory),
        )
        for index, name in enumerate(VARIANTS)
    }  # fmt: skip
    exchange_messages(negotiations)
    return {pair: _edge(negotiations, *pair) for pair in permutations(VARIANTS, 2)}


def exchange_messages(negotiations: Mapping[str, Negotiation]) -> None:
    """Deliver offers and replies between all agents until no message is left."""
    waiting: deque[AnyMessage] = deque()
    for name, negotiation in negotiations.items():
        waiting += negotiation.make_offers([peer for peer in negotiations if peer != name])
    while waiting:
        message = waiting.popleft()
        waiting += negotiations[message.receiver].receive(message)


def peer_info(results: Results, name: str, seed: int) -> PeerInfo:
    """Return the peer info that an agent published, under its name in this experiment."""
    return replace(PeerInfo(**json.loads(str(results.array(name, "peer info", seed)))), name=name)


def _pools(results: Results, name: str, seed: int) -> AnchorPools:
    arrays = results.condition_results[name, seed].arrays
    tensors = {key: torch.from_numpy(array) for key, array in arrays.items() if key.count(".")}
    return AnchorPools.from_tensors(tensors, peer_info(results, name, seed).core_dim)


def _edge(negotiations: Mapping[str, Negotiation], source: str, target: str) -> Edge:
    result = negotiations[target].edges[source]
    source_pools, target_pools = negotiations[source].pools, negotiations[target].pools
    accepted = result.status is Status.ACCEPTED
    if result.shared_map is None or result.map is None or result.score is None:
        ones = np.ones(len(target_pools.heldout.ids))
        zero = Score(ones, ones)  # R2 0
        return Edge(accepted, result.reason, zero, zero, np.nan)
    expected = target_pools.heldout.core().double()
    core = result.shared_map(source_pools.heldout.core().double())
    ridge = result.map(source_pools.heldout.vectors.double())[:, : expected.shape[1]]  # from the same anchors
    scores = [Score.pooled_r2(predicted.numpy(), expected.numpy()) for predicted in (core, ridge)]
    return Edge(accepted, result.reason, scores[0], scores[1], _null_r2(source_pools, target_pools))


def _null_r2(source: AnchorPools, target: AnchorPools) -> float:
    """Return the held-out R2 of a rotation that is fitted and scored with the target half a pool later."""
    (x, y), (x_held, y_held) = (
        (a.core().double(), b.core().double().roll(len(b.ids) // 2, 0))
        for a, b in ((source.anchors, target.anchors), (source.heldout, target.heldout))
    )
    return r2(fit_core(x, y)(x_held), y_held)

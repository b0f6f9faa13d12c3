"""The agents of the heterogeneous society, and what they come to when all talk with all."""

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
from agents.settings import ModelConfig
from alignment.status import Status
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Score

NONCES = 53  # a word


@dataclass(frozen=True)
class Member:
    """In what an agent differs from the default one; sizes are shares of the default agent's."""

    kind: str = "jepa"
    dim: float = 1.0
    width: float = 1.0
    hidden: float = 1.0
    objective: str = "whitened"
    task: str = "random"  # of a p_jepa
    trained: bool = True

    def model(self, default: ModelConfig) -> ModelConfig:
        """Return the settings of its model, given the default agent's."""
        return replace(
            default, dim=round(default.dim * self.dim), width=round(default.width * self.width),
            hidden=round(default.hidden * self.hidden), objective=self.objective,
            p_jepa=replace(default.p_jepa, task=self.task),
        )  # fmt: skip


MEMBERS: Mapping[str, Member] = {
    "jepa": Member(),
    "jepa-twin": Member(),
    "half-dim": Member(dim=0.5),
    "double-dim": Member(dim=2.0),
    "narrow": Member(width=0.5, hidden=0.5),
    "wide": Member(width=1.5),
    "vicreg": Member(objective="vicreg"),
    "log-det": Member(objective="log_det"),
    "patch-mixer": Member("social_jepa.experiments.common.other_encoders:PatchEncoderJepa"),
    "p-jepa-positions": Member("p_jepa", task="positions"),
    "p-jepa-random": Member("p_jepa", task="random"),
    "seq-jepa": Member("seq_jepa"),
    "untrained": Member(trained=False),
}
TRAINED = tuple(name for name, member in MEMBERS.items() if member.kind == "jepa" and member.trained)
SIZES = tuple(name for name in TRAINED if MEMBERS[name].objective == "whitened")  # differ in size alone


@dataclass(frozen=True)
class Edge:
    """What came of one ordered pair.

    Attributes:
        core: Held-out R2 of the orthogonal map between the cores.
        ridge: Held-out R2 of ridge regression from all of the source to the core of the target.
        null: The best that shuffled pairs reach; NaN where nothing was scored.
    """

    accepted: bool
    reason: str
    core: Score
    ridge: Score
    null: float


@lru_cache(maxsize=16)  # figures, pictures and notes all ask
def society(results: Results, seed: int, config: NegotiationConfig) -> Mapping[tuple[str, str], Edge]:
    """Return what comes of every ordered pair (source, target) when the agents of a seed talk.

    Args:
        results: What each agent would show.
        seed: Which society.
        config: How they compare notes.
    """
    sides = {
        name: Negotiation(*_shown(results, name, seed), config, np.random.default_rng([seed, NONCES, index]))
        for index, name in enumerate(MEMBERS)
    }
    converse(sides)
    return {pair: _edge(sides, *pair) for pair in permutations(MEMBERS, 2)}


def converse(sides: Mapping[str, Negotiation]) -> None:
    """Let all agents of one process offer and answer until nobody has more to say."""
    waiting: deque[AnyMessage] = deque()
    for name, side in sides.items():
        waiting += side.make_offers([peer for peer in sides if peer != name])
    while waiting:
        message = waiting.popleft()
        waiting += sides[message.receiver].receive(message)


def card_of(results: Results, name: str, seed: int) -> PeerInfo:
    """Return who an agent told its peers that it is, under the name it has here."""
    return replace(PeerInfo(**json.loads(str(results.array(name, "card", seed)))), name=name)


def _shown(results: Results, name: str, seed: int) -> tuple[PeerInfo, AnchorPools]:
    card, arrays = card_of(results, name, seed), results.condition_results[name, seed].arrays
    tensors = {key: torch.from_numpy(array) for key, array in arrays.items() if key.count(".")}
    return card, AnchorPools.from_tensors(tensors, card.core_dim)


def _edge(sides: Mapping[str, Negotiation], source: str, target: str) -> Edge:
    found, shown, seen = sides[target].edges[source], sides[source].pools, sides[target].pools
    accepted = found.status is Status.ACCEPTED
    if found.core_map is None or found.map is None or found.score is None:
        nothing = Score(np.ones(len(seen.heldout.ids)), np.ones(len(seen.heldout.ids)))  # R2 0
        return Edge(accepted, found.reason, nothing, nothing, np.nan)
    true = seen.heldout.core().double()
    core = found.core_map(shown.heldout.core().double())
    free = found.map(shown.heldout.vectors.double())[:, : true.shape[1]]  # of the same anchors
    scores = [Score.pooled_r2(predicted.numpy(), true.numpy()) for predicted in (core, free)]
    return Edge(accepted, found.reason, scores[0], scores[1], found.score.null_r2)

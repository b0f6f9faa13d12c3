"""What two agents find out about each other when a wall hides an object from one of them."""

import numpy as np
import torch
from torch import Tensor

from agents.protocol.messages import AnyMessage
from agents.protocol.negotiation import Negotiation
from alignment.linear_map import LinearMap
from alignment.score import shuffle_pairs
from social_jepa.experiments.common.pairs import Pairs, fit_edge
from social_jepa.experiments.common.probes import linear_probe
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.viewpoint.views import agreement, choices

ROUNDS = 400  # shuffles of a null: one of 401 directions that are not shared passes by chance
ROUNDING = 1e-9  # share of the largest variance below which a direction is none


def wall_scores(
    seer: TrainedAgent, blind: TrainedAgent, hidden: int, pairs: int, seed: int
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Score the edges between an agent that sees all objects and one that sees all but one.

    Args:
        seer: Who sees all.
        blind: Who does not see the hidden object.
        hidden: Number of that object.
        pairs: That maps are fitted on.
        seed: Chooses the pairs and shuffles the nulls.

    Returns:
        (measures, the canonical correlations and the largest of any shuffle).
    """
    columns = [2 * hidden, 2 * hidden + 1]
    others = [column for column in range(seer.states(seer.heldout).shape[1]) if column not in columns]
    edge = fit_edge(seer, blind, pairs, seed)
    correlations, null = shared_directions(seer, blind, seed)
    by_chance, _ = shared_directions(seer, blind, seed, shuffled=True)  # the threshold is the same
    measures = {
        "shared, null": Score.single(int((by_chance > null).sum())),
        "shared": Score.single(int((correlations > null).sum())),
        "to blind": agreement(seer, blind, pairs, seed),
        "to blind, null": Score.average(
            [agreement(seer, blind, pairs, each, shuffled=True) for each in choices(seed)]
        ),
        "from blind": agreement(blind, seer, pairs, seed),
    }
    latents = {"blind": _all(blind), "seer": _all(seer), **_blocks(seer, edge)}
    for who, (shown, seen) in latents.items():
        for what, which in (("hidden", columns), ("others", others)):
            targets = [seer.states(anchors)[:, which].numpy() for anchors in (seer.anchors, seer.heldout)]
            measures[f"{who}, {what}"] = _probed(shown, seen, *targets)
    measures["blind, hidden, null"] = _shuffled_probe(seer, blind, columns, seed)
    measures["blind, refused"] = _probed(*latents["blind"], *(half for half in latents["refused"]))
    return measures, {"correlations": correlations.numpy(), "null": np.array(null)}


def shared_directions(
    a: TrainedAgent, b: TrainedAgent, seed: int, shuffled: bool = False
) -> tuple[Tensor, float]:
    """Return the held-out canonical correlations of a's core with all that b has, and what chance gives.

    All of b, not its core alone: what b saw and did not count as core would still be found. Shuffled, they
    are those of pairs of which nobody knows who belongs to whom.

    Returns:
        (correlations [core_dim of a] at most, the largest of any shuffle).
    """
    if not a.core_dim:
        return torch.zeros(0), 0.0
    fit, held = ((own.core().double(), theirs.vectors.double()) for own, theirs in _sets(a, b))
    generator = torch.Generator().manual_seed(seed)

    def by_chance() -> Tensor:
        return heldout_correlations(*((x, shuffle_pairs(y, generator)) for x, y in (fit, held)))

    chance = max(float(by_chance().max()) for _ in range(ROUNDS))
    return by_chance() if shuffled else heldout_correlations(fit, held), chance


def heldout_correlations(fit: Pairs, held: Pairs) -> Tensor:
    """Return how the canonical directions of some pairs correlate on others, [min(D_i, D_j)].

    Unlike canonical correlations on the pairs that chose the directions, those of unrelated sets are near 0.
    """
    left, right = (_whitener(rows) for rows in fit)
    x, y = (rows - rows.mean(0) for rows in fit)
    turn, _, back = torch.linalg.svd((x @ left).T @ (y @ right), full_matrices=False)
    u, v = held[0] @ left @ turn, held[1] @ right @ back.T
    u, v = (rows - rows.mean(0) for rows in (u, v))
    return (u * v).sum(0) / (u.norm(dim=0) * v.norm(dim=0)).clamp_min(torch.finfo(u.dtype).tiny)


def verdict(source: Negotiation, target: Negotiation) -> str:
    """Let two agents negotiate as in a run; return what the target says of the edge into its space."""
    sides = {side.peer_info.name: side for side in (source, target)}
    waiting: list[AnyMessage] = source.make_offers([target.peer_info.name])
    while waiting:
        message = waiting.pop()
        waiting += sides[message.receiver].receive(message)
    edge = target.edges[source.peer_info.name]
    return f"{edge.status}: {edge.reason}" if edge.reason else str(edge.status)


def _sets(a: TrainedAgent, b: TrainedAgent) -> tuple:
    return (a.anchors, b.anchors), (a.heldout, b.heldout)


def _all(stranger: TrainedAgent) -> tuple[np.ndarray, np.ndarray]:
    """All that an agent has of the ticks that fit and of those that score."""
    return stranger.anchors.vectors.double().numpy(), stranger.heldout.vectors.double().numpy()


def _blocks(seer: TrainedAgent, edge: LinearMap) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split the seer's core into what an orthogonal map takes along and what it leaves behind."""
    axes = torch.linalg.svd(edge.weight)[0]  # [core, core], those that the map reads first
    reads = min(edge.weight.shape)
    cores = [anchors.core().double() @ axes for anchors in (seer.anchors, seer.heldout)]
    return {
        "aligned": (cores[0][:, :reads].numpy(), cores[1][:, :reads].numpy()),
        "refused": (cores[0][:, reads:].numpy(), cores[1][:, reads:].numpy()),
    }


def _probed(shown: np.ndarray, seen: np.ndarray, wanted: np.ndarray, true: np.ndarray) -> Score:
    """R2 of a linear probe; nothing is read from a block without directions, and of one nothing is known."""
    if not shown.shape[1] or not wanted.shape[1]:
        return Score(np.ones(len(true)), np.ones(len(true)))
    return Score.r2(linear_probe(shown, wanted)(seen), true)


def _shuffled_probe(seer: TrainedAgent, blind: TrainedAgent, columns: list[int], seed: int) -> Score:
    wanted, true = (seer.states(anchors)[:, columns] for anchors in (seer.anchors, seer.heldout))
    wrong = shuffle_pairs(wanted, torch.Generator().manual_seed(seed))
    return _probed(*_all(blind), wrong.numpy(), true.numpy())


def _whitener(rows: Tensor) -> Tensor:
    """Return [D, r] that makes a set white, r the directions in which it varies."""
    centred = rows - rows.mean(0)
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(rows))
    real = variance > ROUNDING * variance.max()
    return axes[:, real] * variance[real].rsqrt()

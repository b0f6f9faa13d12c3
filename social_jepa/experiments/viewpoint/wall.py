"""Scores of the edges between two agents when a wall hides an object from one of them."""

import numpy as np
import torch
from torch import Tensor

from agents.protocol.messages import AnyMessage
from agents.protocol.negotiation import Negotiation
from alignment.anchors import AnchorSet
from alignment.linear_map import LinearMap
from alignment.score import shuffle_pairs
from social_jepa.experiments.common.pairs import Pairs, fit_edge
from social_jepa.experiments.common.probes import linear_probe
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.viewpoint.views import agreement, pair_seeds

NULL_SHUFFLES = 400  # a direction that is not shared exceeds all of them with probability 1 / 401
RELATIVE_ROUNDING = 1e-9  # share of the largest variance below which a direction does not count

Rows = tuple[np.ndarray, np.ndarray]  # latents at the ticks that maps are fitted on, and at held-out ticks


def wall_scores(
    full: TrainedAgent, occluded: TrainedAgent, hidden: int, pairs: int, seed: int
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Score the edges between an agent that sees all objects and one that sees all but one.

    Args:
        full: Agent that sees all objects.
        occluded: Agent that does not see the hidden object.
        hidden: Index of that object.
        pairs: Pairs that maps are fitted on.
        seed: Seed of the choices of pairs and of the shuffles of the nulls.

    Returns:
        (scores, the canonical correlations and the largest of any shuffle).
    """
    columns = [2 * hidden, 2 * hidden + 1]
    others = [column for column in range(full.states(full.heldout).shape[1]) if column not in columns]
    edge = fit_edge(full, occluded, pairs, seed)
    correlations, null = shared_correlations(full, occluded, seed)
    shuffled, _ = shared_correlations(full, occluded, seed, shuffled=True)  # the threshold is the same
    scores = {
        "shared, null": Score.single(int((shuffled > null).sum())),
        "shared": Score.single(int((correlations > null).sum())),
        "into occluded": agreement(full, occluded, pairs, seed),
        "into occluded, null": Score.average(
            [agreement(full, occluded, pairs, each, shuffled=True) for each in pair_seeds(seed)]
        ),
        "from occluded": agreement(occluded, full, pairs, seed),
    }
    latents = {"occluded": _all_latents(occluded), "full": _all_latents(full), **_split_core(full, edge)}
    for name, (fit, heldout) in latents.items():
        for what, which in (("hidden", columns), ("others", others)):
            targets = [full.states(anchors)[:, which].numpy() for anchors in (full.anchors, full.heldout)]
            scores[f"{name}, {what}"] = _probe_r2(fit, heldout, *targets)
    scores["occluded, hidden, null"] = _shuffled_probe_r2(full, occluded, columns, seed)
    scores["occluded, null space"] = _probe_r2(*latents["occluded"], *latents["null space"])
    return scores, {"correlations": correlations.numpy(), "null": np.array(null)}


def shared_correlations(
    a: TrainedAgent, b: TrainedAgent, seed: int, shuffled: bool = False
) -> tuple[Tensor, float]:
    """Return the held-out canonical correlations of a's core with all latents of b, and their null.

    All dimensions of b are used, not its core alone, so that factors that b encodes outside its core count.

    Args:
        a: Agent whose core is used.
        b: Agent whose latents are used.
        seed: Seed of the shuffles.
        shuffled: Whether to return the correlations of one further shuffle instead.

    Returns:
        (correlations [core_dim of a] at most, the largest correlation of any shuffle).
    """
    if not a.core_dim:
        return torch.zeros(0), 0.0
    sets = ((a.anchors, b.anchors), (a.heldout, b.heldout))
    fit, held = ((of_a.core().double(), of_b.vectors.double()) for of_a, of_b in sets)
    generator = torch.Generator().manual_seed(seed)

    def shuffle() -> Tensor:
        return heldout_correlations(*((x, shuffle_pairs(y, generator)) for x, y in (fit, held)))

    null = max(float(shuffle().max()) for _ in range(NULL_SHUFFLES))
    return shuffle() if shuffled else heldout_correlations(fit, held), null


def heldout_correlations(fit: Pairs, held: Pairs) -> Tensor:
    """Return the correlations, on held-out pairs, of canonical directions of other pairs, [min(D_i, D_j)].

    Unlike canonical correlations on the pairs that chose the directions, those of unrelated sets are near 0.
    """
    left, right = (_whitening(rows) for rows in fit)
    x, y = (rows - rows.mean(0) for rows in fit)
    turn, _, back = torch.linalg.svd((x @ left).T @ (y @ right), full_matrices=False)
    u, v = held[0] @ left @ turn, held[1] @ right @ back.T
    u, v = (rows - rows.mean(0) for rows in (u, v))
    return (u * v).sum(0) / (u.norm(dim=0) * v.norm(dim=0)).clamp_min(torch.finfo(u.dtype).tiny)


def negotiate_edge(source: Negotiation, target: Negotiation) -> str:
    """Negotiate two agents' edges as in a run; return the target's status of the edge into its space."""
    sides = {side.peer_info.name: side for side in (source, target)}
    messages: list[AnyMessage] = source.make_offers([target.peer_info.name])
    while messages:
        message = messages.pop()
        messages += sides[message.receiver].receive(message)
    edge = target.edges[source.peer_info.name]
    return f"{edge.status}: {edge.reason}" if edge.reason else str(edge.status)


def _all_latents(agent: TrainedAgent) -> Rows:
    return _to_numpy(agent.anchors), _to_numpy(agent.heldout)


def _to_numpy(rows: AnchorSet) -> np.ndarray:
    return rows.vectors.double().numpy()


def _split_core(agent: TrainedAgent, edge: LinearMap) -> dict[str, Rows]:
    """Split an agent's core into the directions that an orthogonal map reads and the map's null space."""
    axes = torch.linalg.svd(edge.weight)[0]  # [core, core], those that the map reads first
    rank = min(edge.weight.shape)
    fit, heldout = (rows.core().double() @ axes for rows in (agent.anchors, agent.heldout))
    return {
        "mapped": (fit[:, :rank].numpy(), heldout[:, :rank].numpy()),
        "null space": (fit[:, rank:].numpy(), heldout[:, rank:].numpy()),
    }


def _probe_r2(
    fit: np.ndarray, heldout: np.ndarray, targets: np.ndarray, heldout_targets: np.ndarray
) -> Score:
    """Return the R2 of a linear probe; 0 where latents or targets have no dimensions."""
    if not fit.shape[1] or not targets.shape[1]:
        return Score(np.ones(len(heldout_targets)), np.ones(len(heldout_targets)))
    return Score.r2(linear_probe(fit, targets)(heldout), heldout_targets)


def _shuffled_probe_r2(full: TrainedAgent, occluded: TrainedAgent, columns: list[int], seed: int) -> Score:
    targets, heldout_targets = (full.states(rows)[:, columns] for rows in (full.anchors, full.heldout))
    shuffled = shuffle_pairs(targets, torch.Generator().manual_seed(seed))
    return _probe_r2(*_all_latents(occluded), shuffled.numpy(), heldout_targets.numpy())


def _whitening(rows: Tensor) -> Tensor:
    """Return [D, r] that whitens rows, r the number of directions in which they vary."""
    centered = rows - rows.mean(0)
    variance, axes = torch.linalg.eigh(centered.T @ centered / len(rows))
    kept = variance > RELATIVE_ROUNDING * variance.max()
    return axes[:, kept] * variance[kept].rsqrt()

"""Whether embeddings of a tick tell that their agent was trained on it: scores, and AUC with intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from alignment.fit import fit_ridge

STRETCH = 64  # consecutive ticks that are resampled together
RESAMPLES = 400
NEIGHBORS = 5
SCORES = ("prediction error", "distance", "length")
KNOWN = "half known"  # the attack that is fitted on labels


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """Return the probability that a member's score exceeds another's; 0.5 is chance."""
    values = np.concatenate([members, others])
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    size = len(members)
    return float((ranks[:size].sum() - size * (size + 1) / 2) / (size * len(others)))


def features(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return scores [K - 1, 3] and features [K - 1, F] of consecutive embeddings [K, D], by tick.

    The scores are the negative error of the linear prediction of the next tick, the negative distance to the
    nearest other rows, and the length. The features are squares, products with the next tick and squared
    errors, by dimension.
    """
    now, later = rows[:-1].double(), rows[1:].double()
    error = (later - fit_ridge(now, later)(now)).square()
    distance = torch.cdist(now, now).topk(NEIGHBORS + 1, largest=False).values[:, 1:].mean(1)
    scores = torch.stack([-error.sum(1), -distance, now.square().sum(1)], 1)
    return scores, torch.cat([now.square(), now * later, error], 1)


def attack(members: Tensor, others: Tensor) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the scores of (members, others) by attack, each of rows [K, D] of consecutive ticks.

    KNOWN is fitted: the attacker knows of the first half of either stretch what it is, and its scores
    are of the second half.
    """
    (scores_m, found_m), (scores_o, found_o) = features(members), features(others)
    named = {
        name: (scores_m[:, column].numpy(), scores_o[:, column].numpy()) for column, name in enumerate(SCORES)
    }
    half, gap = len(found_m) // 2, STRETCH
    known = torch.cat([found_m[: half - gap], found_o[: half - gap]])
    labels = torch.cat([torch.ones(half - gap, 1), -torch.ones(half - gap, 1)]).double()
    mean, scale = known.mean(0), known.std(0).clamp_min(1e-9)
    readout = fit_ridge((known - mean) / scale, labels, ridge=len(known) * 0.01)
    last = [readout((found[half:] - mean) / scale).squeeze(1).numpy() for found in (found_m, found_o)]
    return named | {KNOWN: (last[0], last[1])}


def auc_interval(agents: Sequence[tuple[np.ndarray, np.ndarray]], seed: int = 0) -> dict[str, float]:
    """Return the mean AUC over agents with its 95 % bootstrap interval: over agents, and stretches of ticks.

    Args:
        agents: Scores of (members, others) of each agent.
        seed: Of the resamples.
    """
    rng, means = np.random.default_rng(seed), []
    blocks = [
        tuple(side[: len(side) // STRETCH * STRETCH].reshape(-1, STRETCH) for side in pair) for pair in agents
    ]
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(blocks), size=len(blocks))
        means.append(
            np.mean([
                auc(*(side[rng.integers(len(side), size=len(side))].ravel() for side in blocks[k]))
                for k in drawn
            ])
        )  # fmt: skip
    low, high = np.quantile(means, (0.025, 0.975))
    mean = np.mean([auc(*pair) for pair in agents])
    return {"auc": float(mean), "low": float(low), "high": float(high)}


def judge(agents: Sequence[Mapping[str, tuple[np.ndarray, np.ndarray]]]) -> dict[str, dict[str, float]]:
    """Return AUC and interval by attack, over agents."""
    return {name: auc_interval([agent[name] for agent in agents]) for name in agents[0]}

"""The bound of the theory on agents and pairs of agents, and the deviations that are compared with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from alignment.edge_score import fit_core
from alignment.score import shuffle_pairs
from social_jepa.experiments.framework.score import Score

NULL_SHUFFLES = 20


@dataclass(frozen=True, eq=False)
class WhiteLatents:
    """Latents of one agent, whitened on the fit states; rows are states that all agents observe.

    Attributes:
        fit: float64 [M, n], latents that maps are fitted on.
        heldout: float64 [N, n], latents that are scored.
        successor: float64 [N, n], latents at the next tick; the mean where a state has several successors.
    """

    fit: Tensor
    heldout: Tensor
    successor: Tensor


PairScore = Callable[[WhiteLatents, WhiteLatents], Score]


@dataclass(frozen=True)
class Bound:
    """The bound on one agent's latents, given the world's rho, which an agent cannot measure.

    Estimated from the latents themselves, rho would make the excess 0 by construction.

    Attributes:
        excess: delta, alignment loss above that of a rotation of the factors; may be negative outside the
            theory.
        whitening_error: eps, Frobenius norm of the covariance minus the identity.
        value: b, the upper bound on E|h - Q z|^2.
    """

    excess: float
    whitening_error: float
    value: float


def compute_bound(latents: WhiteLatents, rho: float) -> Bound:
    r"""Return the bound on the distance of latents from a rotation of the factors, if the theory applies.

    Means are subtracted: they are no part of a rotation. As the world is stationary, the alignment loss is
    ``E|h - h'|^2 = 2 (V - E<h, h'>)`` with ``V = E|h|^2``, so that ``delta = 2 (rho V - E<h, h'>)``.

    Args:
        latents: Held-out latents.
        rho: Autocorrelation of the world's factors; the true one, not an estimate from the latents.

    Raises:
        ValueError: No bound exists at this autocorrelation.
    """
    if not 0 < rho < 1:
        raise ValueError(f"the bound needs an autocorrelation between 0 and 1, got {rho}")
    mean = latents.heldout.mean(0)
    now, later = latents.heldout - mean, latents.successor - mean
    covariance = now.T @ now / len(now)
    excess = 2 * float(rho * covariance.trace() - (now * later).sum(1).mean())
    error = float(torch.linalg.matrix_norm(covariance - torch.eye(len(covariance)).to(covariance)))
    nonlinear = max(excess, 0.0) / (2 * rho * (1 - rho))  # D
    return Bound(excess, error, nonlinear + (error + nonlinear) ** 2)


def whitening(rows: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return mean [n] and H [n, n], with which ``(h - mean) H`` is white on these rows [N, n], in float64.

    No ridge is added to the covariance: it would reward latents that shrink until the ridge outweighs them.
    """
    rows = rows.double()
    mean = rows.mean(0)
    centered = rows - mean
    factor = torch.linalg.cholesky(centered.T @ centered / len(rows))
    eye = torch.eye(len(factor), dtype=factor.dtype)
    return mean, torch.linalg.solve_triangular(factor, eye, upper=False).T


def deviation(source: WhiteLatents, target: WhiteLatents) -> Score:
    """Return E|h_B - R h_A|^2 on held-out states, in units in which a whitened dimension has variance 1."""
    predicted = fit_core(source.fit, target.fit)(source.heldout)
    return Score.mean((target.heldout - predicted).square().sum(1).numpy())


def agreement(source: WhiteLatents, target: WhiteLatents) -> Score:
    """Return the held-out R2 of the orthogonal map."""
    predicted = fit_core(source.fit, target.fit)(source.heldout)
    return Score.pooled_r2(predicted.numpy(), target.heldout.numpy())


def shuffled_null(
    score: PairScore, source: WhiteLatents, target: WhiteLatents, words: Sequence[int]
) -> Score:
    """Return the mean of a score over maps fitted on shuffled pairs.

    With few dimensions the map of one shuffle may fit by chance, hence the mean over several.
    """
    word = int(np.random.SeedSequence(list(words)).generate_state(1)[0])
    generator = torch.Generator().manual_seed(word)
    shuffled = (replace(target, fit=shuffle_pairs(target.fit, generator)) for _ in range(NULL_SHUFFLES))
    return Score.average([score(source, each) for each in shuffled])


def score_agents(
    history: Sequence[Sequence[WhiteLatents]], rho: float, words: Sequence[int]
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return the deviations between agents and the bounds on them, at every evaluation.

    Args:
        history: By evaluation, the latents of all agents.
        rho: Autocorrelation of the world's factors.
        words: Seed of the shuffles of the null.

    Returns:
        (scores, of the last evaluation except "untrained" and "within bound"; arrays "measured" and "bound"
        [evaluations, pairs] and "excess" [evaluations, agents]).
    """
    bounds = [[compute_bound(latents, rho) for latents in agents] for agents in history]
    pairs = list(combinations(range(len(history[0])), 2))
    measured = np.array([[deviation(each[a], each[b]).score for a, b in pairs] for each in history])
    allowed = np.array([[2 * (each[a].value + each[b].value) for a, b in pairs] for each in bounds])
    last = [(history[-1][a], history[-1][b]) for a, b in pairs]
    scores = {
        "deviation": Score.average([deviation(a, b) for a, b in last]),
        "deviation, shuffled": Score.average([shuffled_null(deviation, a, b, words) for a, b in last]),
        "deviation, untrained": Score.average([deviation(history[0][a], history[0][b]) for a, b in pairs]),
        "bound": Score.single(float(allowed[-1].mean())),
        "deviation / bound": Score.single(float(np.median(measured[-1] / allowed[-1]))),
        "within bound": Score.mean(measured <= allowed),
        "within bound, trained": Score.mean(measured[-1] <= allowed[-1]),
        "bound below 2 n": Score.mean(allowed < 2 * history[0][0].heldout.shape[1]),
        "agreement": Score.average([agreement(a, b) for a, b in last]),
        "agreement, shuffled": Score.average([shuffled_null(agreement, a, b, words) for a, b in last]),
        "excess": Score.single(float(np.mean([bound.excess for bound in bounds[-1]]))),
        "whitening error": Score.single(float(np.mean([bound.whitening_error for bound in bounds[-1]]))),
    }
    excess = np.array([[bound.excess for bound in each] for each in bounds])
    return scores, {"measured": measured, "bound": allowed, "excess": excess}


def score_factors(
    history: Sequence[Sequence[WhiteLatents]], factors: WhiteLatents, rho: float, words: Sequence[int]
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return the deviations of latents from rotations of the true factors, which no agent knows.

    Args:
        history: By evaluation, the latents of all agents.
        factors: The true factors in the form of latents.
        rho: Autocorrelation of the world's factors.
        words: Seed of the shuffles of the null.

    Returns:
        (scores, of the last evaluation except "within own bound"; arrays [evaluations, agents]).
    """
    measured = np.array([[deviation(factors, latents).score for latents in each] for each in history])
    allowed = np.array([[compute_bound(latents, rho).value for latents in each] for each in history])
    last = history[-1]
    scores = {
        "within own bound": Score.mean(measured <= allowed),
        "factors": Score.average([agreement(latents, factors) for latents in last]),
        "factors, shuffled": Score.average([
            shuffled_null(agreement, latents, factors, words) for latents in last
        ]),
        "factors, untrained": Score.average([agreement(latents, factors) for latents in history[0]]),
    }  # fmt: skip
    return scores, {"own deviation": measured, "own bound": allowed}

"""What the theory of whitened prediction promises agents and pairs of them, and what is measured of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from alignment.edge_score import fit_core
from alignment.score import shuffle_pairs
from social_jepa.experiments.framework.score import Score

SHUFFLES = 20  # of a null


@dataclass(frozen=True, eq=False)
class Code:
    """What an agent makes of held-out states, whitened on other states; rows are states that all agents see.

    Attributes:
        fitting: float64 [M, n], states that maps are fitted on.
        scoring: float64 [N, n], states that score.
        following: float64 [N, n], its code at the next tick; where a state has several successors, the mean.
    """

    fitting: Tensor
    scoring: Tensor
    following: Tensor


ScoreFn = Callable[[Code, Code], Score]


@dataclass(frozen=True)
class Bound:
    """What follows of one agent's code without a peer, given the world's rho, which an agent cannot measure.

    Estimated from the code itself, rho would make the excess 0 by construction.

    Attributes:
        excess: delta, alignment loss above that of a rotation of the latents; may be negative elsewhere.
        whitening: eps, how far the covariance is from the identity, as a Frobenius norm.
        value: b, the most that E|h - Q z|^2 can be.
    """

    excess: float
    whitening: float
    value: float


def bound_of(code: Code, rho: float) -> Bound:
    r"""Return how far a code can be from a rotation of the latents, if the world is the theory's own.

    The mean is left out: it is no part of a rotation. As the world is stationary, the alignment loss is
    ``E|h - h'|^2 = 2 (V - E<h, h'>)`` with ``V = E|h|^2``, so that ``delta = 2 (rho V - E<h, h'>)``.

    Args:
        code: Held-out codes.
        rho: Correlation of the world's factors from tick to tick; the world's own, not one seen in the code.

    Raises:
        ValueError: No bound exists at this correlation.
    """
    if not 0 < rho < 1:
        raise ValueError(f"the bound needs a correlation between 0 and 1, got {rho}")
    mean = code.scoring.mean(0)
    now, later = code.scoring - mean, code.following - mean
    covariance = now.T @ now / len(now)
    excess = 2 * float(rho * covariance.trace() - (now * later).sum(1).mean())
    whitening = float(torch.linalg.matrix_norm(covariance - torch.eye(len(covariance)).to(covariance)))
    nonlinear = max(excess, 0.0) / (2 * rho * (1 - rho))  # D
    return Bound(excess, whitening, nonlinear + (whitening + nonlinear) ** 2)


def whitener(rows: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return mean [n] and H [n, n], with which ``(h - mean) H`` is white on these rows [N, n], in float64.

    Nothing is added to the covariance: a ridge would reward a code that shrinks until the ridge outweighs it.
    """
    rows = rows.double()
    mean = rows.mean(0)
    centred = rows - mean
    factor = torch.linalg.cholesky(centred.T @ centred / len(rows))
    eye = torch.eye(len(factor), dtype=factor.dtype)
    return mean, torch.linalg.solve_triangular(factor, eye, upper=False).T


def deviation(source: Code, target: Code) -> Score:
    """Return E|h_B - R h_A|^2, where one whitened dimension has variance 1."""
    carried = fit_core(source.fitting, target.fitting)(source.scoring)
    return Score.mean((target.scoring - carried).square().sum(1).numpy())


def agreement(source: Code, target: Code) -> Score:
    """Return the held-out R2 of the rotation."""
    carried = fit_core(source.fitting, target.fitting)(source.scoring)
    return Score.pooled_r2(carried.numpy(), target.scoring.numpy())


def null(score: ScoreFn, source: Code, target: Code, words: Sequence[int]) -> Score:
    """Return the mean of a score where nobody knows which fitting rows belong together.

    With few dimensions the rotation of one shuffle may fit by luck: the mean of many is shown.
    """
    word = int(np.random.SeedSequence(list(words)).generate_state(1)[0])
    generator = torch.Generator().manual_seed(word)
    strangers = (replace(target, fitting=shuffle_pairs(target.fitting, generator)) for _ in range(SHUFFLES))
    return Score.average([score(source, stranger) for stranger in strangers])


def score_agents(
    history: Sequence[Sequence[Code]], rho: float, words: Sequence[int]
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return how agents differ and how much they may, at every checkpoint.

    Args:
        history: By checkpoint, the codes of all agents.
        rho: Correlation of the world's factors.
        words: Shuffle the null.

    Returns:
        (measures, of the last checkpoint but for "untrained" and "inside"; arrays "measured" and "bound"
        [checkpoints, pairs] and "excess" [checkpoints, agents]).
    """
    bounds = [[bound_of(code, rho) for code in codes] for codes in history]
    pairs = list(combinations(range(len(history[0])), 2))
    measured = np.array([[deviation(codes[a], codes[b]).score for a, b in pairs] for codes in history])
    allowed = np.array([[2 * (own[a].value + own[b].value) for a, b in pairs] for own in bounds])
    last = [(history[-1][a], history[-1][b]) for a, b in pairs]
    measures = {
        "deviation": Score.average([deviation(a, b) for a, b in last]),
        "deviation, shuffled": Score.average([null(deviation, a, b, words) for a, b in last]),
        "untrained": Score.average([deviation(history[0][a], history[0][b]) for a, b in pairs]),
        "bound": Score.single(float(allowed[-1].mean())),
        "ratio": Score.single(float(np.median(measured[-1] / allowed[-1]))),
        "inside": Score.mean(measured <= allowed),
        "inside, trained": Score.mean(measured[-1] <= allowed[-1]),
        "not vacuous": Score.mean(allowed < 2 * history[0][0].scoring.shape[1]),
        "agreement": Score.average([agreement(a, b) for a, b in last]),
        "agreement, shuffled": Score.average([null(agreement, a, b, words) for a, b in last]),
        "excess": Score.single(float(np.mean([own.excess for own in bounds[-1]]))),
        "whitening": Score.single(float(np.mean([own.whitening for own in bounds[-1]]))),
    }
    excess = np.array([[bound.excess for bound in own] for own in bounds])
    return measures, {"measured": measured, "bound": allowed, "excess": excess}


def score_latents(
    history: Sequence[Sequence[Code]], truth: Code, rho: float, words: Sequence[int]
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return how far codes are from rotations of the true latents, which no agent knows.

    Args:
        history: By checkpoint, the codes of all agents.
        truth: The latents themselves, as if they were a code.
        rho: Correlation of the world's factors.
        words: Shuffle the null.

    Returns:
        (measures, of the last checkpoint but for "own, inside"; arrays [checkpoints, agents]).
    """
    far = np.array([[deviation(truth, code).score for code in codes] for codes in history])
    allowed = np.array([[bound_of(code, rho).value for code in codes] for codes in history])
    measures = {
        "own, inside": Score.mean(far <= allowed),
        "latents": Score.average([agreement(code, truth) for code in history[-1]]),
        "latents, shuffled": Score.average([null(agreement, code, truth, words) for code in history[-1]]),
        "latents, untrained": Score.average([agreement(code, truth) for code in history[0]]),
    }
    return measures, {"own": far, "own bound": allowed}

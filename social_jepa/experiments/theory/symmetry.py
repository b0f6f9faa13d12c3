"""The freedom of a latent space that is only ever asked to predict itself: any invertible matrix.

For an encoder h, a predictor p and an invertible A, let ``h_A = h A`` and ``p_A(y) = p(y A^-1) A``. Then
``p_A(h_A) - h_A' = (p(h) - h') A``, from which all that is measured here follows:

    zero loss stays zero                                    (Social-JEPA, arXiv:2603.02263, Lemma 4.4)
    s_min^2 L <= L_A <= s_max^2 L, so that |L_A - L| <= (s_max^2 - 1) L for s_min = 1 / s_max
                                                            (a small loss hardly changes: Proposition 4.5)
    in units of the whitened code, E e S^-1 e^T with S the covariance, nothing changes at all
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import ortho_group
from torch import Tensor

from agents.models.world_model import ResidualPredictor
from agents.streams import seeded
from alignment.fit import centre
from alignment.linear_map import LinearMap
from alignment.score import kappa, spectrum
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import ConditionResult, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.theory.agents import Sizes, States, embed_states, prediction_loss, raise_agent
from social_jepa.experiments.theory.bound import Code, whitener
from social_jepa.experiments.theory.worlds import make_world

WORLD, HELDOUT, MATRICES, PREDICTOR = 11, 12, 13, 14  # words
CONDITIONS = (1.0, 10.0, 100.0, 1000.0)  # of A
DRAWS = 8  # matrices of each condition
MODERATE = 100.0  # the condition that the table tells of
NO_LOSS = 1e-20  # what rounding leaves of a loss of 0

Predict = Callable[[Tensor], Tensor]  # [N, n] -> [N, n]


def draw_matrix(rng: np.random.Generator, dim: int, condition: float) -> Tensor:
    """Return a random matrix, float64 [n, n], whose singular values reach from 1 / s to s, s^2 the condition.

    Raises:
        ValueError: The condition is below 1.
    """
    if condition < 1:
        raise ValueError(f"no matrix has the condition number {condition}: at least 1")
    left, right = ortho_group.rvs(dim, size=2, random_state=rng)
    return torch.tensor(left * np.geomspace(condition**0.5, condition**-0.5, dim) @ right)


def carried(predict: Predict, matrix: Tensor) -> Predict:
    """Return the predictor that does to ``h A`` what a predictor does to h."""
    inverse = torch.linalg.inv(matrix)
    return lambda rows: predict(rows @ inverse) @ matrix


def losses(predict: Predict, now: Tensor, later: Tensor) -> tuple[float, float]:
    """Return (E|p(h) - h'|^2, the same in units of the whitened code) of codes [N, n]."""
    error = predict(now) - later
    white = error @ whitener(now)[1]
    return float(error.square().sum(1).mean()), float(white.square().sum(1).mean())


def learn_predictor(code: Code, steps: int, words: Sequence[int], say: Log) -> Predict:
    """Return a perceptron that has learned to predict the first half of the scored codes' successors."""
    half = len(code.scoring) // 2
    now, later = code.scoring[:half].float(), code.following[:half].float()
    net = seeded([*words, 0], lambda: ResidualPredictor(now.shape[1]))

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        rows = torch.tensor(rng.integers(half, size=256))
        loss = (net(now[rows]) - later[rows]).square().sum(1).mean()
        return loss, {"predictor": loss.item()}

    fit_model(net, batch, steps, 1e-2, [*words, 1], say)
    net = net.double().requires_grad_(False)
    return net


def draw_matrices(words: Sequence[int], dim: int) -> Iterator[tuple[tuple[int, int], float, Tensor]]:
    """Yield (place, condition, matrix) of all matrices that models are looked at through; always the same."""
    rng = np.random.default_rng(list(words))
    for row, condition in enumerate(CONDITIONS):
        for draw in range(DRAWS):
            yield (row, draw), condition, draw_matrix(rng, dim, condition)


def run_symmetry(seed: int, sizes: Sizes, count: int, say: Log) -> ConditionResult:
    """Train one agent in a world without noise, and look at it through many invertible matrices.

    Args:
        seed: Of everything.
        sizes: Of the agent.
        count: States of either held-out kind.
        say: Told how it goes.
    """
    world = make_world("turning", np.random.default_rng([seed, WORLD]), sizes.latents, 0.0)
    states = States.draw(world, np.random.default_rng([seed, HELDOUT]), count, count)
    agent = raise_agent(world, seed, 0, sizes, say, prediction_loss)
    codes = [embed_states(agent, look, states) for look in range(len(sizes.looks))]
    words = [seed, MATRICES]
    linear = [scan(code, fit_linear(code), words) for code in codes]
    learned = learn_predictor(codes[-1], max(2, sizes.steps // 2), [seed, PREDICTOR], say)
    perceptron = scan(codes[-1], learned, words)
    models = [*linear, perceptron]
    refitted = max(refitted_change(code, words).max() for code in codes)
    raw, white = map_conditions(codes[-1], words)
    strict = CONDITIONS.index(MODERATE)
    measures = {
        "whitened change": max(refitted, *(model["whitened"].max() for model in models)),
        "inside": float(np.mean([model["inside"] for model in models])),
        "raw factor": linear[-1]["raw"][strict].max() / linear[-1]["loss"],
        "loss": linear[-1]["loss"],
        "loss, untrained": linear[0]["loss"],
        "loss, perceptron": perceptron["loss"],
        "planted loss": scan(states.truth, fit_linear(states.truth), words)["raw"].max(),
        "kappa, raw": raw[strict].mean(),
        "kappa, whitened": white.max(),
    }
    names = ("loss", "raw", "whitened")
    arrays = {name: np.stack([model[name] for model in linear]) for name in names}  # [looks, ...]
    return ConditionResult(
        {name: Score.single(value) for name, value in measures.items()}, arrays, 0.0, agent.flops
    )


def fit_linear(code: Code) -> Predict:
    """Return the least-squares predictor of the first half of the scored codes' successors."""
    half = len(code.scoring) // 2
    (now, now_mean), (later, later_mean) = centre(code.scoring[:half]), centre(code.following[:half])
    # Not torch.linalg.lstsq: what it rounds depends on where its copies lie in memory.
    weight = torch.cholesky_solve(now.T @ later, torch.linalg.cholesky(now.T @ now))
    return LinearMap(weight, (later_mean - now_mean @ weight)[0])


def scored(code: Code, matrix: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the second half of the scored codes and their successors, through a matrix if there is one."""
    half = len(code.scoring) // 2
    rows = (code.scoring[half:], code.following[half:])
    return rows if matrix is None else (rows[0] @ matrix, rows[1] @ matrix)


def scan(code: Code, predict: Predict, words: Sequence[int]) -> dict[str, Any]:
    """Return what matrices do to the loss of a model when its predictor is carried along.

    Returns:
        "loss" without a matrix; and [conditions, draws] each: "raw" loss, relative change of the loss in
        units of the "whitened" code, and whether the raw loss is "inside" its limits.
    """
    plain, reference = losses(predict, *scored(code))
    raw, whitened, inside = np.zeros((3, len(CONDITIONS), DRAWS))
    for place, condition, matrix in draw_matrices(words, code.scoring.shape[1]):
        raw[place], found = losses(carried(predict, matrix), *scored(code, matrix))
        whitened[place] = change(found, reference)
        slack = 1 + 1e-9  # rounding
        inside[place] = plain / condition / slack <= raw[place] <= plain * condition * slack
    return {"loss": plain, "raw": raw, "whitened": whitened, "inside": inside}


def refitted_change(code: Code, words: Sequence[int]) -> np.ndarray:
    """Return the relative change of the whitened loss when least squares finds the predictor itself."""
    reference = losses(fit_linear(code), *scored(code))[1]
    found = np.zeros((len(CONDITIONS), DRAWS))
    for place, _, matrix in draw_matrices(words, code.scoring.shape[1]):
        moved = Code(*(rows @ matrix for rows in (code.fitting, code.scoring, code.following)))
        found[place] = change(losses(fit_linear(moved), *scored(moved))[1], reference)
    return found


def map_conditions(code: Code, words: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the condition of the map from h to h A, and once both are whitened, [conditions, draws] each."""
    raw, white = np.zeros((2, len(CONDITIONS), DRAWS))
    now = scored(code)[0]
    for place, _, matrix in draw_matrices(words, now.shape[1]):
        moved = now @ matrix
        raw[place] = kappa(spectrum(now, moved))
        white[place] = kappa(spectrum(now @ whitener(now)[1], moved @ whitener(moved)[1]))
    return raw, white


def change(value: float, reference: float) -> float:
    """Return by what share a loss differs from another; of no loss, a share means nothing: 0."""
    return abs(value - reference) / reference if reference > NO_LOSS else 0.0

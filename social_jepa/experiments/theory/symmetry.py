"""The symmetry of a self-predictive latent space: any invertible matrix.

For an encoder h, a predictor p and an invertible A, let ``h_A = h A`` and ``p_A(y) = p(y A^-1) A``. Then
``p_A(h_A) - h_A' = (p(h) - h') A``, from which everything that is measured here follows:

    zero loss stays zero                                    (Social-JEPA, arXiv:2603.02263, Lemma 4.4)
    s_min^2 L <= L_A <= s_max^2 L, so that |L_A - L| <= (s_max^2 - 1) L for s_min = 1 / s_max
                                                            (a small loss hardly changes: Proposition 4.5)
    in units of the whitened latents, E e S^-1 e^T with S the covariance, nothing changes at all
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import ortho_group
from torch import Tensor

from agents.common.streams import seeded
from agents.models.predictors import ResidualPredictor
from alignment.fit import center
from alignment.linear_map import LinearMap
from alignment.score import kappa, spectrum
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import ConditionResult, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.theory.agents import States, encode_states, prediction_loss, train_encoder
from social_jepa.experiments.theory.bound import WhiteLatents, whitening
from social_jepa.experiments.theory.settings import EncoderSettings, TheoryStream
from social_jepa.experiments.theory.worlds import make_world

CONDITION_NUMBERS = (1.0, 10.0, 100.0, 1000.0)  # of A
DRAWS = 8  # matrices of each condition number
TABLE_CONDITION_NUMBER = 100.0
NO_LOSS = 1e-20  # largest value that rounding leaves of a loss of 0

Predict = Callable[[Tensor], Tensor]  # [N, n] -> [N, n]


def draw_matrix(rng: np.random.Generator, dim: int, condition_number: float) -> Tensor:
    """Return a random matrix, float64 [n, n], with singular values from 1 / s to s, s^2 its condition number.

    Raises:
        ValueError: The condition number is below 1.
    """
    if condition_number < 1:
        raise ValueError(f"the condition number of a matrix is at least 1, got {condition_number}")
    left, right = ortho_group.rvs(dim, size=2, random_state=rng)
    return torch.tensor(left * np.geomspace(condition_number**0.5, condition_number**-0.5, dim) @ right)


def transform_predictor(predict: Predict, matrix: Tensor) -> Predict:
    """Return p_A: the predictor of ``h A`` that corresponds to a predictor of h."""
    inverse = torch.linalg.inv(matrix)
    return lambda rows: predict(rows @ inverse) @ matrix


def prediction_losses(predict: Predict, now: Tensor, later: Tensor) -> tuple[float, float]:
    """Return (E|p(h) - h'|^2, the same in units of the whitened latents) of latents [N, n]."""
    error = predict(now) - later
    white = error @ whitening(now)[1]
    return float(error.square().sum(1).mean()), float(white.square().sum(1).mean())


def train_predictor(latents: WhiteLatents, steps: int, words: Sequence[int], log: Log) -> Predict:
    """Return a perceptron trained to predict the successors of the first half of the held-out latents."""
    half = len(latents.heldout) // 2
    now, later = latents.heldout[:half].float(), latents.successor[:half].float()
    net = seeded([*words, 0], lambda: ResidualPredictor(now.shape[1]))

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        rows = torch.tensor(rng.integers(half, size=256))
        loss = (net(now[rows]) - later[rows]).square().sum(1).mean()
        return loss, {"predictor": loss.item()}

    fit_model(net, batch, steps, 1e-2, [*words, 1], log)
    net = net.double().requires_grad_(False)
    return net


def fit_predictor(latents: WhiteLatents) -> Predict:
    """Return the least-squares predictor of the successors of the first half of the held-out latents."""
    half = len(latents.heldout) // 2
    (now, now_mean), (later, later_mean) = center(latents.heldout[:half]), center(latents.successor[:half])
    # Not torch.linalg.lstsq: its rounding depends on the memory addresses of its copies.
    weight = torch.cholesky_solve(now.T @ later, torch.linalg.cholesky(now.T @ now))
    return LinearMap(weight, (later_mean - now_mean @ weight)[0])


def draw_matrices(words: Sequence[int], dim: int) -> Iterator[tuple[tuple[int, int], float, Tensor]]:
    """Yield (place, condition number, matrix) of all matrices A; the same for equal words."""
    rng = np.random.default_rng(list(words))
    for row, condition_number in enumerate(CONDITION_NUMBERS):
        for draw in range(DRAWS):
            yield (row, draw), condition_number, draw_matrix(rng, dim, condition_number)


def run_symmetry(seed: int, settings: EncoderSettings, count: int, log: Log) -> ConditionResult:
    """Train one agent in a world without noise, and transform its latents by many invertible matrices.

    Args:
        seed: Seed of all randomness.
        settings: Settings of the encoder.
        count: Number of states to fit on, and of held-out states.
        log: Receives progress messages.
    """
    world = make_world("rotating", TheoryStream.SYMMETRY_WORLD.rng(seed), settings.factors, 0.0)
    states = States.draw(world, TheoryStream.SYMMETRY_HELDOUT.rng(seed), count, count)
    agent = train_encoder(world, seed, 0, settings, log, prediction_loss)
    history = [encode_states(agent, index, states) for index in range(len(settings.eval_steps))]
    words = [seed, TheoryStream.SYMMETRY_MATRICES]
    linear = [scan_matrices(latents, fit_predictor(latents), words) for latents in history]
    steps = max(2, settings.steps // 2)
    predictor = train_predictor(history[-1], steps, [seed, TheoryStream.SYMMETRY_PREDICTOR], log)
    perceptron = scan_matrices(history[-1], predictor, words)
    scans = [*linear, perceptron]
    refitted = max(refitted_change(latents, words).max() for latents in history)
    raw, white = map_condition_numbers(history[-1], words)
    row = CONDITION_NUMBERS.index(TABLE_CONDITION_NUMBER)
    factors = states.factors
    scores = {
        "whitened change": max(refitted, *(scan["whitened"].max() for scan in scans)),
        "within limits": float(np.mean([scan["within limits"] for scan in scans])),
        "raw factor": linear[-1]["raw"][row].max() / linear[-1]["loss"],
        "loss": linear[-1]["loss"],
        "loss, untrained": linear[0]["loss"],
        "loss, perceptron": perceptron["loss"],
        "planted loss": scan_matrices(factors, fit_predictor(factors), words)["raw"].max(),
        "kappa, raw": raw[row].mean(),
        "kappa, whitened": white.max(),
    }
    names = ("loss", "raw", "whitened")
    arrays = {name: np.stack([scan[name] for scan in linear]) for name in names}  # [evaluations, ...]
    return ConditionResult(
        {name: Score.single(value) for name, value in scores.items()}, arrays, 0.0, agent.flops
    )


def second_half(latents: WhiteLatents, matrix: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the second half of the held-out latents and their successors, times a matrix if given."""
    half = len(latents.heldout) // 2
    rows = (latents.heldout[half:], latents.successor[half:])
    return rows if matrix is None else (rows[0] @ matrix, rows[1] @ matrix)


def scan_matrices(latents: WhiteLatents, predict: Predict, words: Sequence[int]) -> dict[str, Any]:
    """Return the losses of a model under all matrices, with its predictor transformed along.

    Returns:
        "loss" without a matrix; and [condition numbers, draws] each: "raw" loss, relative change of the loss
        in units of the "whitened" latents, and whether the raw loss is "within limits".
    """
    loss, reference = prediction_losses(predict, *second_half(latents))
    raw, whitened, within = np.zeros((3, len(CONDITION_NUMBERS), DRAWS))
    for place, condition_number, matrix in draw_matrices(words, latents.heldout.shape[1]):
        transformed = transform_predictor(predict, matrix)
        raw[place], white_loss = prediction_losses(transformed, *second_half(latents, matrix))
        whitened[place] = relative_change(white_loss, reference)
        slack = 1 + 1e-9  # rounding
        within[place] = loss / condition_number / slack <= raw[place] <= loss * condition_number * slack
    return {"loss": loss, "raw": raw, "whitened": whitened, "within limits": within}


def refitted_change(latents: WhiteLatents, words: Sequence[int]) -> np.ndarray:
    """Return the relative change of the whitened loss when the predictor is refitted by least squares."""
    reference = prediction_losses(fit_predictor(latents), *second_half(latents))[1]
    changes = np.zeros((len(CONDITION_NUMBERS), DRAWS))
    for place, _, matrix in draw_matrices(words, latents.heldout.shape[1]):
        moved = WhiteLatents(*(rows @ matrix for rows in (latents.fit, latents.heldout, latents.successor)))
        loss = prediction_losses(fit_predictor(moved), *second_half(moved))[1]
        changes[place] = relative_change(loss, reference)
    return changes


def map_condition_numbers(latents: WhiteLatents, words: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return condition numbers of the map from h to h A, raw and with both whitened, [.., draws] each."""
    raw, white = np.zeros((2, len(CONDITION_NUMBERS), DRAWS))
    now = second_half(latents)[0]
    for place, _, matrix in draw_matrices(words, now.shape[1]):
        moved = now @ matrix
        raw[place] = kappa(spectrum(now, moved))
        white[place] = kappa(spectrum(now @ whitening(now)[1], moved @ whitening(moved)[1]))
    return raw, white


def relative_change(value: float, reference: float) -> float:
    """Return the relative difference of a loss from a reference; 0 where the reference is no loss at all."""
    return abs(value - reference) / reference if reference > NO_LOSS else 0.0

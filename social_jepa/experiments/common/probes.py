"""Read-outs of frozen codes: what they are fitted on and what they are scored on never share an object."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from agents.seeded import seeded
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.score import Score

ROWS = 2048  # samples that a probe or an encoder reads at once
Probe = Callable[[np.ndarray], np.ndarray]  # float [n, D] -> float [n, K]


def linear_probe(features: np.ndarray, targets: np.ndarray, ridge: float = 1e-3) -> Probe:
    """Return ridge regression on standardised features, solved in closed form.

    Args:
        features: [n, D].
        targets: [n, K].
        ridge: Weight of the squared coefficients, per sample.
    """
    mean, scale = _spread(features)
    x = (features - mean) / scale
    offset = targets.mean(0)
    gram = x.T @ x + ridge * len(x) * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, x.T @ (targets - offset))
    return lambda seen: (seen - mean) / scale @ weight + offset


def mlp_probe(
    features: np.ndarray, targets: np.ndarray, words: Sequence[int], steps: int, *,
    hidden: int = 1024, batch: int = 256, learning_rate: float = 1e-3,
) -> Probe:  # fmt: skip
    """Return a perceptron of three layers, the read-out of seq-JEPA's paper (arXiv:2505.03176).

    Features and targets are standardised; the loss is the mean squared error.

    Args:
        features: [n, D].
        targets: [n, K].
        words: Its first weights and the order of its samples follow from them.
        steps: Optimiser steps.
        hidden: Units of the two hidden layers.
        batch: Samples of a step.
        learning_rate: Peak of the rate.
    """
    mean, scale = _spread(features)
    offset, unit = _spread(targets)
    x = torch.from_numpy(((features - mean) / scale).astype(np.float32))
    y = torch.from_numpy(((targets - offset) / unit).astype(np.float32))
    model = seeded([*words, 0], lambda: _perceptron(x.shape[1], hidden, y.shape[1]))

    def one(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = torch.from_numpy(rng.integers(len(x), size=batch))
        loss = nn.functional.mse_loss(model(x[rows]), y[rows])
        return loss, {"probe": loss.item()}

    fit_model(model, one, steps, learning_rate, [*words, 1], lambda text: None, weight_decay=1e-2)

    @torch.no_grad()
    def predict(seen: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(((seen - mean) / scale).astype(np.float32)).split(ROWS)
        return torch.cat([model(row) for row in rows]).double().numpy() * unit + offset

    return predict


def classifier(features: np.ndarray, labels: np.ndarray, ridge: float = 1e-3, iterations: int = 100) -> Probe:
    """Return logistic regression on standardised features, fitted by L-BFGS; it predicts labels, [n].

    Args:
        features: [n, D].
        labels: int [n], any numbers.
        ridge: Weight of the squared coefficients.
        iterations: At most.
    """
    mean, scale = _spread(features)
    names, numbers = np.unique(labels, return_inverse=True)
    x, y = torch.from_numpy((features - mean) / scale), torch.from_numpy(numbers)
    weight = torch.zeros(x.shape[1], len(names), dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(len(names), dtype=x.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=iterations, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(x @ weight + bias, y) + ridge * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    found, shift = weight.detach().numpy(), bias.detach().numpy()
    return lambda seen: names[((seen - mean) / scale @ found + shift).argmax(1)]


def grouped_hits(predicted: np.ndarray, labels: np.ndarray, groups: int) -> Score:
    """Return top-1 accuracy; rows of one object become one sample, because they are not independent.

    Args:
        predicted: [n * P], the rows of an object follow each other.
        labels: [n * P].
        groups: n.
    """
    return Score.mean((predicted == labels).reshape(groups, -1).mean(1))


def grouped_r2(predicted: np.ndarray, targets: np.ndarray, groups: int) -> Score:
    """Return R2 over all rows, [n * P, K] each; rows of one object become one sample.

    Args:
        predicted: The rows of an object follow each other.
        targets: Of the same shape.
        groups: n.
    """
    rows = Score.r2(predicted, targets)
    assert rows.spreads is not None
    return Score(rows.values.reshape(groups, -1).mean(1), rows.spreads.reshape(groups, -1).mean(1))


@torch.no_grad()
def in_chunks(network: Callable[..., Tensor], *inputs: np.ndarray, rows: int = 512) -> np.ndarray:
    """Return what a frozen network gives for rows of arrays, read some at a time, as float64."""
    parts = [torch.from_numpy(np.ascontiguousarray(array)).split(rows) for array in inputs]
    return torch.cat([network(*part) for part in zip(*parts, strict=True)]).double().numpy()


def _spread(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(0), np.maximum(rows.std(0), 1e-8)


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )

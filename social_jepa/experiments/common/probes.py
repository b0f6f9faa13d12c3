"""Probes of frozen latents; the samples that fit a probe and those that score it share no object."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from agents.common.streams import seeded
from alignment.fit import fit_ridge
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.score import Score

MAX_ROWS = 2048  # samples in one forward pass of a probe
Probe = Callable[[np.ndarray], np.ndarray]  # float [n, D] -> float [n, K]


def linear_probe(features: np.ndarray, targets: np.ndarray, ridge: float = 1e-3) -> Probe:
    """Return a ridge regression on standardized features, solved in closed form.

    Args:
        features: [n, D].
        targets: [n, K].
        ridge: Weight of the squared coefficients, per sample.
    """
    mean, scale = _mean_and_std(features)
    x = (features - mean) / scale
    offset = targets.mean(0)
    gram = x.T @ x + ridge * len(x) * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, x.T @ (targets - offset))
    return lambda rows: (rows - mean) / scale @ weight + offset


def state_probe(latents: Tensor, states: Tensor, heldout: Tensor, expected: Tensor) -> Score:
    """Return R2 of ridge regression of the true state on latents; for evaluation only.

    Args:
        latents: [n, D], of the ticks to fit on.
        states: [n, F], the true states, or shuffled ones for the null.
        heldout: [m, D], of the ticks to score on.
        expected: [m, F], their true states, float64.
    """
    predicted = fit_ridge(latents, states)(heldout.double())
    return Score.r2(predicted.numpy(), expected.numpy())


def mlp_probe(
    features: np.ndarray, targets: np.ndarray, seed: Sequence[int], steps: int, *,
    hidden: int = 1024, batch: int = 256, learning_rate: float = 1e-3,
) -> Probe:  # fmt: skip
    """Return a trained three-layer perceptron, the probe of the seq-JEPA paper (arXiv:2505.03176).

    Features and targets are standardized; the loss is the mean squared error.

    Args:
        features: [n, D].
        targets: [n, K].
        seed: Words of the seed of the initial weights and of the order of samples.
        steps: Optimizer steps.
        hidden: Units in each of the two hidden layers.
        batch: Samples in a step.
        learning_rate: Peak learning rate.
    """
    mean, scale = _mean_and_std(features)
    offset, unit = _mean_and_std(targets)
    x = torch.from_numpy(((features - mean) / scale).astype(np.float32))
    y = torch.from_numpy(((targets - offset) / unit).astype(np.float32))
    model = seeded([*seed, 0], lambda: _mlp(x.shape[1], hidden, y.shape[1]))

    def batch_loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = torch.from_numpy(rng.integers(len(x), size=batch))
        loss = nn.functional.mse_loss(model(x[rows]), y[rows])
        return loss, {"probe": loss.item()}

    fit_model(model, batch_loss, steps, learning_rate, [*seed, 1], lambda text: None, weight_decay=1e-2)

    @torch.no_grad()
    def predict(rows: np.ndarray) -> np.ndarray:
        chunks = torch.from_numpy(((rows - mean) / scale).astype(np.float32)).split(MAX_ROWS)
        return torch.cat([model(chunk) for chunk in chunks]).double().numpy() * unit + offset

    return predict


def linear_classifier(
    features: np.ndarray, labels: np.ndarray, ridge: float = 1e-3, iterations: int = 100
) -> Probe:
    """Return a logistic regression on standardized features, fitted by L-BFGS; it predicts labels, [n].

    Args:
        features: [n, D].
        labels: int [n], any numbers.
        ridge: Weight of the squared coefficients.
        iterations: Maximum number of L-BFGS iterations.
    """
    mean, scale = _mean_and_std(features)
    classes, class_indices = np.unique(labels, return_inverse=True)
    x, y = torch.from_numpy((features - mean) / scale), torch.from_numpy(class_indices)
    weight = torch.zeros(x.shape[1], len(classes), dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(len(classes), dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=iterations, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(x @ weight + bias, y) + ridge * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    w, b = weight.detach().numpy(), bias.detach().numpy()
    return lambda rows: classes[((rows - mean) / scale @ w + b).argmax(1)]


def grouped_accuracy(predicted: np.ndarray, labels: np.ndarray, groups: int) -> Score:
    """Return top-1 accuracy; the rows of one object are one sample, because they are not independent.

    Args:
        predicted: [n * P]; the rows of an object are adjacent.
        labels: [n * P].
        groups: Number of objects, n.
    """
    return Score.mean((predicted == labels).reshape(groups, -1).mean(1))


def grouped_r2(predicted: np.ndarray, targets: np.ndarray, groups: int) -> Score:
    """Return R2 over all rows; the rows of one object are one sample.

    Args:
        predicted: [n * P, K]; the rows of an object are adjacent.
        targets: [n * P, K].
        groups: Number of objects, n.
    """
    rows = Score.r2(predicted, targets)
    assert rows.deviations is not None
    return Score(rows.values.reshape(groups, -1).mean(1), rows.deviations.reshape(groups, -1).mean(1))


@torch.no_grad()
def apply_in_chunks(network: Callable[..., Tensor], *inputs: np.ndarray, rows: int = 512) -> np.ndarray:
    """Return a frozen network's output for all rows of its inputs, in chunks, as float64 [n, ...]."""
    chunks = [torch.from_numpy(np.ascontiguousarray(array)).split(rows) for array in inputs]
    return torch.cat([network(*chunk) for chunk in zip(*chunks, strict=True)]).double().numpy()


def _mean_and_std(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(0), np.maximum(rows.std(0), 1e-8)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )

"""Adversarial search: attract two latents to each other while the errors of their model are small."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from social_jepa.experiments.collapse.models import Outputs, ProcessBatch
from social_jepa.experiments.collapse.settings import Settings

RECORDS = 100  # recorded distances of a search, for its plot


class AdversarialSearch:
    """The smallest distance of each pair while the errors of its model were below the threshold.

    Attributes:
        closest: float64 [M], infinite if the errors were never below the threshold.
        at: Latents, predicted latents and values of the models at the step of the smallest distance.
        history: Distances float64 [M] at steps a hundredth of the search apart; NaN if not below.
    """

    def __init__(self, pairs: np.ndarray, settings: Settings) -> None:
        """Start a search for each pair of states, int64 [M, 2]."""
        self._first, self._second = torch.from_numpy(pairs.T)
        self._rows = torch.arange(len(pairs))
        self._settings = settings
        self._step = 0
        self.closest = torch.full((len(pairs),), torch.inf, dtype=torch.float64)
        self.at: list[Tensor] = []
        self.history: list[Tensor] = []

    def attraction_loss(self, outputs: Outputs, worst: Tensor) -> Tensor:
        """Record the distances of a step and return the attraction loss, [M].

        The loss is the logarithm of the squared distance, at steps with errors below half the threshold.

        Args:
            outputs: Outputs of the models.
            worst: The largest squared error of each model, [M].
        """
        latents, threshold = outputs.latents, self._settings.threshold
        difference = latents[self._rows, self._first] - latents[self._rows, self._second]
        square = difference.square().sum(1)
        with torch.no_grad():
            distance = torch.where(worst <= threshold, square.sqrt(), torch.inf)
            self._record(outputs, distance)
        return (worst <= threshold / 2) * (square + 1e-24).log()

    def _record(self, outputs: Outputs, distance: Tensor) -> None:
        """Keep the outputs of the models at new minima, and the distances for the plot."""
        smaller = distance < self.closest
        self.closest = torch.where(smaller, distance, self.closest)
        now = [output.detach() for output in (outputs.latents, outputs.predicted, outputs.values)]
        self.at = [
            torch.where(smaller.view(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in zip(now, self.at or now, strict=True)
        ]
        if self._step % max(1, self._settings.steps // RECORDS) == 0:
            self.history.append(torch.where(distance.isfinite(), distance, torch.nan))
        self._step += 1


def sample_search_pairs(
    batch: ProcessBatch, per_process: int, rng: np.random.Generator
) -> tuple[list[int], np.ndarray]:
    """Return processes [M] and a pair of states of each, int64 [M, 2], that share p and are not bisimilar.

    Only the dynamics separate such a pair. Up to ``per_process`` pairs of each process are drawn.
    """
    rows: list[int] = []
    pairs: list[Sequence[int]] = []
    for k, mdp in enumerate(batch.mdps):
        x, y = np.triu_indices(len(mdp.values), 1)
        candidates = np.flatnonzero(
            (mdp.values[x] == mdp.values[y]) & (batch.classes[k, x] != batch.classes[k, y])
        )
        for pair in rng.permutation(candidates)[:per_process]:
            rows.append(k)
            pairs.append((x[pair], y[pair]))
    return rows, np.array(pairs, dtype=np.int64).reshape(-1, 2)

"""Scores of native-isometry: the least-squares map W between raw latents, by number of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from alignment.edge_score import score_strong
from alignment.held_out import HeldOut
from alignment.raw_map import RawScore, raw_metric, score_raw
from alignment.shared_subspace import find_shared
from social_jepa.experiments.common.pairs import choose_rows
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.native_isometry.settings import NativeIsometryStream

FIELDS = {
    "R2": "r2", "similarity R2": "r2_similarity", "kappa": "kappa", "s_max": "largest", "s_min": "smallest",
}  # name of a score: field of a RawScore  # fmt: skip


@dataclass(frozen=True, eq=False)
class RawLatents:
    """Raw latents of an agent, as coordinates that its owner whitened and their metric.

    Attributes:
        anchors: White coordinates to fit on, [P, D].
        heldout: White coordinates to score on, [H, D].
        metric: [D, D], see `alignment.raw_map`.
    """

    anchors: Tensor
    heldout: Tensor
    metric: Tensor

    @classmethod
    def of(cls, agent: TrainedAgent) -> "RawLatents":
        """Return those of a trained agent."""
        return cls(agent.anchors.vectors, agent.heldout.vectors, raw_metric(agent.basis.transform))

    def rolled(self) -> "RawLatents":
        """Return the latents of other times: rows shifted by half of their range."""
        anchors, heldout = (rows.roll(len(rows) // 2, 0) for rows in (self.anchors, self.heldout))
        return RawLatents(anchors, heldout, self.metric)

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """Return the parts as named arrays."""
        return {f"{prefix} {name}": value.float().numpy() for name, value in vars(self).items()}

    @classmethod
    def read(cls, arrays: dict[str, np.ndarray], prefix: str) -> "RawLatents":
        """Return the latents of named arrays."""
        return cls(*(torch.from_numpy(arrays[f"{prefix} {name}"]) for name in cls.__annotations__))


def map_score(source: RawLatents, target: RawLatents, rows: Tensor) -> RawScore:
    """Return the scores of W, fitted on some rows of the anchors, [K]."""
    fit = source.anchors[rows], target.anchors[rows]
    return score_raw(fit, (source.heldout, target.heldout), (source.metric, target.metric))


def budget_scores(agents: Sequence[RawLatents], pair_counts: Sequence[int], seed: int) -> dict[str, Score]:
    """Return the scores of W by number of pairs, as "NAME, PAIRS": mean of both directions and all choices.

    Args:
        agents: Two agents.
        pair_counts: Numbers of pairs.
        seed: Seed of the choices of pairs, equal for all methods.
    """
    scores = {}
    for pairs in pair_counts:
        choices = choose_rows(len(agents[0].anchors), pairs, NativeIsometryStream.PAIR_CHOICE.rng(seed))
        found = [map_score(*edge, rows) for edge in _edges(agents) for rows in choices]
        for name, field in FIELDS.items():
            values = [getattr(one, field) for one in found]
            scores[f"{name}, {pairs}"] = Score.single(float(np.mean(values)))
    return scores


def isometry_scores(agents: Sequence[RawLatents], pairs: int, memory_rows: int) -> dict[str, Score]:
    """Return the scores that thresholds are set on, from the most pairs: mean of both directions.

    Args:
        agents: Two agents.
        pairs: Number of pairs, the leading rows of the pools.
        memory_rows: Rows of a pool after which the scene no longer resembles itself.
    """
    found = [_isometry(*edge, torch.arange(pairs), memory_rows) for edge in _edges(agents)]
    shifted = [map_score(one, other.rolled(), torch.arange(pairs)) for one, other in _edges(agents)]
    scores = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    scores["shifted R2"] = float(np.mean([one.r2 for one in shifted]))
    scores["shifted similarity R2"] = float(np.mean([one.r2_similarity for one in shifted]))
    return {name: Score.single(value) for name, value in scores.items()}


def _isometry(source: RawLatents, target: RawLatents, rows: Tensor, memory_rows: int) -> dict[str, float]:
    fit, held = (source.anchors[rows], target.anchors[rows]), (source.heldout, target.heldout)
    metrics = source.metric, target.metric
    latent = find_shared(*fit, HeldOut.of_pairs(*held, memory_rows))
    every, strong = score_raw(fit, held, metrics), score_strong(fit, held, metrics, latent)
    scores = {
        "R2": every.r2, "similarity R2": every.r2_similarity, "share": _share(every), "kappa": every.kappa,
        "s_max": every.largest, "s_min": every.smallest,
        "strong directions": 0.0, "strong share": np.nan, "strong kappa": np.nan, "strong R2": np.nan,
    }  # fmt: skip
    if strong is not None:
        scores |= {
            "strong directions": strong.directions, "strong share": _share(strong),
            "strong kappa": strong.kappa, "strong R2": strong.r2,
        }  # fmt: skip
    return scores


def _share(score: RawScore) -> float:
    """Return the share of the R2 of W that a similarity transform keeps; NaN where W explains nothing."""
    return score.r2_similarity / score.r2 if score.r2 > 0 else np.nan


def _edges(agents: Sequence[RawLatents]) -> list[tuple[RawLatents, RawLatents]]:
    first, second = agents
    return [(first, second), (second, first)]

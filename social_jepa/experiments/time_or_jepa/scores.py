"""Scores of time-or-jepa: how far two agents agree, and what is left once the true state is removed."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from alignment.fit import Fit, fit_procrustes, fit_ridge
from alignment.score import r2
from social_jepa.experiments.common.probes import state_probe
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.time_or_jepa.training import History, Latents

CURVE = ("step", "state", "free map", "rotation", "residual", "residual, degree 2", "residual share", "null")
"""Columns of a curve: the step, own state R2, agreement, what is left of it, and the null of the free map."""


def curve(histories: Sequence[History]) -> np.ndarray:
    """Return the scores of two agents at each checkpoint, [checkpoints, len(CURVE)].

    Agents whose training took different numbers of steps are compared at as many checkpoints as both have,
    and the last one of both is the end of their training.
    """
    shorter = min(len(history.steps) for history in histories)
    rows = []
    for place in [*range(shorter - 1), -1]:
        latents = [history.latents[place] for history in histories]
        states = [history.states for history in histories]
        step = float(np.mean([history.steps[place] for history in histories]))
        rows.append([step, *checkpoint_scores(latents, states)])
    return np.array(rows)


def checkpoint_scores(latents: Sequence[Latents], states: Sequence[tuple[Tensor, Tensor]]) -> list[float]:
    """Return the scores of one checkpoint, in the order of CURVE after the step.

    Args:
        latents: Of two agents.
        states: True states of both at the ticks of the two pools.
    """
    own = [
        state_probe(z.anchors, s[0], z.heldout, s[1]).score for z, s in zip(latents, states, strict=True)
    ]  # fmt: skip
    linear, squares = (
        [residuals(z, *s, degree) for z, s in zip(latents, states, strict=True)] for degree in (1, 2)
    )
    shifted = Latents(*(rows.roll(len(rows) // 2, 0) for rows in (latents[1].anchors, latents[1].heldout)))
    left = [float(rest.heldout.square().sum() / z.heldout.square().sum())
            for rest, z in zip(linear, latents, strict=True)]  # fmt: skip
    return [
        float(np.mean(own)), agreement(latents, fit_ridge), agreement(latents, fit_procrustes),
        agreement(linear, fit_ridge), agreement(squares, fit_ridge), float(np.mean(left)),
        agreement([latents[0], shifted], fit_ridge),
    ]  # fmt: skip


def agreement(latents: Sequence[Latents], fit: Fit) -> float:
    """Return the held-out R2 of a map of all dimensions, fitted on all pairs: mean of both directions."""
    first, second = latents
    found = [
        r2(fit(x.anchors, y.anchors)(x.heldout), y.heldout) for x, y in ((first, second), (second, first))
    ]  # fmt: skip
    return float(np.mean(found))


def residuals(latents: Latents, state: Tensor, heldout_state: Tensor, degree: int) -> Latents:
    """Return the residuals of latents, from which functions of the true state are removed by least squares.

    Args:
        latents: White latents.
        state: True state at the ticks to fit on, [P, F]; the functions are fitted there.
        heldout_state: True state at the ticks to score on, [P, F].
        degree: Largest degree of the functions: 1 or 2.
    """
    features = state_features(state, degree)
    removed = fit_ridge(features, latents.anchors)
    return Latents(
        latents.anchors - removed(features),
        latents.heldout - removed(state_features(heldout_state, degree)),
    )


def state_features(state: Tensor, degree: int) -> Tensor:
    """Return the monomials of a state up to a degree, [P, F] -> [P, M]."""
    if degree == 1:
        return state
    first, second = torch.triu_indices(state.shape[1], state.shape[1])
    return torch.cat([state, state[:, first] * state[:, second]], 1)


def final_scores(found: np.ndarray) -> dict[str, Score]:
    """Return the scores of the last checkpoint by the names of CURVE."""
    return {name: Score.single(float(value)) for name, value in zip(CURVE, found[-1], strict=True)}


def scores_by_step(found: np.ndarray) -> dict[str, Score]:
    """Return state R2 and agreement of every checkpoint, as "NAME, STEP"."""
    return {
        f"{name}, {row[0]:g}": Score.single(float(row[CURVE.index(name)]))
        for row in found
        for name in ("state", "free map", "rotation")
    }

"""What a borrower scores with a lender's predictor, and with a lender's goals."""

from collections.abc import Mapping

import numpy as np
import torch

from alignment.linear_map import LinearMap
from env.renderers.base import Renderer, share_renderer
from social_jepa.experiments.dynamics.predictors import Diary, Predict, Trial, linear_predictor, through
from social_jepa.experiments.dynamics.steering import (
    STEERED,
    Act,
    Episodes,
    SteeringConfig,
    at_random,
    distances,
    knowing,
    planner,
    steer,
)
from social_jepa.experiments.framework.score import Score

AHEAD = 5  # ticks, of the goal
MAPS = ("borrowed", "no map", "shuffled map")
KINDS = ("linear", "perceptron", "passive")
ARMS = (
    "own goal", "other's goal", "other's predictor", "goal, no map", "goal, shuffled map",
    "predictor, shuffled map", "random", "true state",
)  # fmt: skip
STARTING, DRAWING = 42, 43  # words
FAR = 0.8  # least distance from start to goal of the episode that is shown


def borrowing(
    borrower: Diary, maps: Mapping[str, LinearMap], kinds: Mapping[str, tuple[Predict, Predict, int]],
    longest: int, spacing: int,
) -> dict[str, Score]:  # fmt: skip
    """Return how well the borrower's core is predicted, by predictor, map and number of ticks ahead.

    Args:
        borrower: Whose core is predicted.
        maps: From the lender's core to the borrower's, by MAPS.
        kinds: By KINDS, the lender's predictor, the borrower's, and how many pushes they are given.
        longest: Ticks ahead.
        spacing: Ticks from one start to the next.

    Returns:
        R2 as "kind: arm, k" and "copy, k"; as "kind: excess of arm, k" one less the ratio of errors to the
        borrower's own.
    """
    trial = Trial.of(borrower, longest, spacing)
    measures = trial.measures("copy", (trial.first - trial.later).square().sum(-1))
    for kind, (lent, own, felt) in kinds.items():
        base = trial.errors(own, felt)
        measures |= trial.measures(f"{kind}: own", base)
        for name, edge in maps.items():
            errors = trial.errors(through(lent, edge), felt)
            measures |= trial.measures(f"{kind}: {name}", errors)
            for ahead in range(longest):
                excess = Score(errors[ahead].numpy(), base[ahead].numpy())
                measures[f"{kind}: excess of {name}, {ahead + 1}"] = excess
    return measures


def steering(
    lender: Diary, borrower: Diary, maps: Mapping[str, LinearMap], config: SteeringConfig, seed: int
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Let a borrower steer towards goals that it or the lender saw.

    Returns:
        Success by ARMS, "distance: arm" at the end, and as "excess of arm" one less the ratio of success to
        that with one's own goal; and what the pictures need.
    """
    scene = borrower.stranger.scene
    drawn = np.random.default_rng([seed, STARTING]).permutation(len(borrower.heldout) - config.ticks)
    starts, goals = drawn[: 2 * config.episodes].reshape(2, -1)
    renderer = share_renderer(scene.config)
    acts = arms_of(lender, borrower, maps, goals, config, renderer)
    paths = {}
    for arm in ARMS:
        draws = torch.Generator().manual_seed(int(np.random.default_rng([seed, DRAWING]).integers(2**62)))
        paths[arm] = steer(Episodes(scene, starts, config.strength), acts[arm], config.ticks, draws)
    wanted = scene.factors(goals)[:, :STEERED]
    far = {arm: distances(path, wanted, scene.config) for arm, path in paths.items()}
    one = int((far["own goal"][0] > FAR).argmax())  # chosen by where it begins, not by how it ends
    arrays = {f"distance: {arm}": apart.mean(1) for arm, apart in far.items()}
    arrays |= _shown(
        lender, borrower, renderer, goals[one], starts[one], {a: p[:, one] for a, p in paths.items()}
    )
    renderer.close()
    hits = {arm: (apart[-1] < config.threshold).astype(float) for arm, apart in far.items()}
    measures = {arm: Score.mean(hit) for arm, hit in hits.items()}
    measures |= {f"distance: {arm}": Score.mean(apart[-1]) for arm, apart in far.items()}
    measures |= {f"excess of {arm}": Score(hit, hits["own goal"]) for arm, hit in hits.items()}
    return measures, arrays


def arms_of(
    lender: Diary, borrower: Diary, maps: Mapping[str, LinearMap], goals: np.ndarray, config: SteeringConfig,
    renderer: Renderer,
) -> dict[str, Act]:  # fmt: skip
    """Return how the borrower acts in each of ARMS, with goals at these ticks."""
    own, lent = (linear_predictor(diary, STEERED) for diary in (borrower, lender))
    scene, rows = borrower.stranger.scene, torch.from_numpy(goals)
    here, there = borrower.heldout[rows], lender.heldout[rows]
    edge, null = maps["borrowed"], maps["shuffled map"]
    return {
        "own goal": planner(borrower, renderer, own, here, config),
        "other's goal": planner(borrower, renderer, own, edge(there), config),
        "other's predictor": planner(borrower, renderer, through(lent, edge), here, config),
        "goal, no map": planner(borrower, renderer, own, maps["no map"](there), config),
        "goal, shuffled map": planner(borrower, renderer, own, null(there), config),
        "predictor, shuffled map": planner(borrower, renderer, through(lent, null), here, config),
        "random": at_random,
        "true state": knowing(scene.factors(goals)[:, :STEERED], config),
    }


def _shown(
    lender: Diary, borrower: Diary, renderer: Renderer, goal: int, start: int, paths: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return pictures of one episode: its goal from both cameras, and what the borrower saw."""
    scene = borrower.stranger.scene
    still = Episodes(scene, np.array([goal]), 1.0)
    arrays = {"goal there": still.look(renderer, lender), "goal here": still.look(renderer, borrower)}
    for arm in ("own goal", "other's goal", "goal, no map"):
        path = paths[arm]
        moving = Episodes(scene, start + np.arange(len(path)), 1.0)
        moving.steered = path
        arrays[f"frames: {arm}"] = moving.look(renderer, borrower)
    return arrays

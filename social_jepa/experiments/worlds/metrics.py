"""Metrics and notes of worlds: thresholds, what each agent found, and edges between unrelated worlds."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import permutations

import numpy as np
import torch

from social_jepa.experiments.common.edges import Embeddings, Pairing, accepts
from social_jepa.experiments.common.similarity_baselines import METHODS, Baselines
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.worlds.settings import SIDES, UNRELATED, WORLDS, Settings

LEAST_R2 = 0.90
LEAST_WORLDS = 7
LEAST_GAIN = 0.0  # in R2, over the best of the baselines and 0
MOST_ACCEPTED = 0.01  # share of the edges between unrelated worlds
MOST_SHARING = 0.02  # the same of those with a shared direction, which 1 of 200 has by chance
AGENT_SCORES = {  # mean of both agents: score, and its null
    "linear probe of the true state from the core, R2": ("state R2", "state R2, shuffled"),
    "dimensions of the core": ("core dim", None),
    "private directions of the core": ("private dim", None),
    "encoders": ("encoders", None),
    "optimizer steps, those of further encoders included": ("steps", None),
}
COSTS = ("encoders", "steps")  # of which untrained agents have none


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds, then what edges and agents found."""
    exact, r2 = _exact_metrics(results), _r2_metrics(results)
    return [
        *exact, *r2, _met_in_worlds(results), _gain_metric(results),
        *_unrelated_metrics(results, settings), *_edge_metrics(results), *_agent_metrics(results),
    ]  # fmt: skip


def _exact_metrics(results: Results) -> list[Metric]:
    return [
        Metric(
            f"{name}: share of seeds with exactly {world.shared_dim} shared directions",
            results.estimate(name, "exact"), threshold=Threshold("==", 1.0), group="shared dimension",
            **_baselines(results, name, "exact"),
        )
        for name, world in WORLDS.items()
    ]  # fmt: skip


def _r2_metrics(results: Results) -> list[Metric]:
    return [
        Metric(
            f"{name}: R2 shared", results.estimate(name, "R2 shared"), threshold=Threshold(">=", LEAST_R2),
            group="R2 on the shared directions", **_baselines(results, name, "R2 shared"),
        )
        for name in WORLDS
    ]  # fmt: skip


def _baselines(results: Results, world: str, score: str) -> Baselines:
    """Return the means of a score of a world of the baselines, as the arguments of a Metric."""
    untrained, pixel_pca, tica = (results.mean(world, f"{name}, {score}") for name in METHODS)
    return {"untrained": untrained, "pixel_pca": pixel_pca, "tica": tica}


def _met_in_worlds(results: Results) -> Metric:
    def both(seed: int, name: str) -> bool:
        scores = results.condition_results[name, seed].scores
        return scores["exact"].score == 1 and scores["R2 shared"].score >= LEAST_R2

    counts = [Score.single(sum(both(seed, name) for name in WORLDS)) for seed in results.seeds]
    return Metric(
        f"worlds of {len(WORLDS)} that meet both in a seed", Estimate.from_scores(counts),
        threshold=Threshold(">=", LEAST_WORLDS), group="all worlds",
    )  # fmt: skip


def _gain_metric(results: Results) -> Metric:
    def gain(seed: int, name: str) -> float:
        scores = results.condition_results[name, seed].scores
        baselines = [scores[f"{method}, R2 of all"].score for method in METHODS]
        return scores["R2 of all"].score - max(0.0, *baselines)

    worst = [Score.single(min(gain(seed, name) for name in WORLDS)) for seed in results.seeds]
    return Metric(
        "R2 of all factors minus the best baseline, worst world", Estimate.from_scores(worst),
        threshold=Threshold(">", LEAST_GAIN), group="all worlds",
    )  # fmt: skip


def _unrelated_metrics(results: Results, settings: Settings) -> list[Metric]:
    group = "unrelated worlds: share of edges accepted; baseline: of one world"
    metrics = [
        Metric(
            "agents without pixels",
            results.estimate(UNRELATED, "accepted").as_rate(settings.unrelated_pairs * len(results.seeds)),
            baseline=results.mean(UNRELATED, "accepted, one world"),
            threshold=Threshold("<=", MOST_ACCEPTED), group=group,
        ),
        Metric(
            "agents without pixels: a direction shared",
            results.estimate(UNRELATED, "shared").as_rate(settings.unrelated_pairs * len(results.seeds)),
            baseline=results.mean(UNRELATED, "shared, one world"),
            threshold=Threshold("<=", MOST_SHARING), group=group,
        ),
    ]  # fmt: skip
    if len(results.seeds) > 1:
        verdicts = unrelated_verdicts(results, settings)
        scores = [Score.mean(np.array(verdicts[seed])) for seed in results.seeds]
        pairs = len(results.seeds) * (len(results.seeds) - 1)  # worlds of one seed share its trajectories
        shared = [results.estimate(name, "shared dim").seeds for name in WORLDS]
        metrics.insert(0, Metric(
            "trained agents of different seeds", Estimate.from_scores(scores).as_rate(pairs),
            baseline=float(np.mean(np.array(shared) > 0)), group=group,
        ))  # fmt: skip
    return metrics


@lru_cache(maxsize=4)  # metrics and notes need the same edges
def unrelated_verdicts(results: Results, settings: Settings) -> dict[int, list[bool]]:
    """Return whether each edge between agents of different seeds is accepted, by the first agent's seed.

    Every pair of the first agent of a seed and the second agent of another one, in both directions, in every
    world.
    """
    verdicts: dict[int, list[bool]] = {seed: [] for seed in results.seeds}
    for name, world in WORLDS.items():
        pairing = Pairing.of(replace(settings.setup, scene=world.scene(settings.setup.scene)))
        for seed, other in permutations(results.seeds, 2):
            a, b = embeddings(results, name, seed, 0), embeddings(results, name, other, 1)
            verdicts[seed] += [accepts(a, b, pairing), accepts(b, a, pairing)]
    return verdicts


def embeddings(results: Results, world: str, seed: int, number: int) -> Embeddings:
    """Return the embeddings of one of the two agents of a world, 0 or 1."""
    side, found = SIDES[number], results.condition_results[world, seed]
    anchors, heldout = (torch.from_numpy(found.arrays[f"{side} {name}"]) for name in ("anchors", "heldout"))
    return Embeddings(anchors, heldout, int(found.scores[f"core dim, {side}"].score))


def _edge_metrics(results: Results) -> list[Metric]:
    number = "number of shared directions; baseline: the true one"
    weakest = "held-out correlation of the weakest shared direction; null: time shifts"
    every = "R2 of all factors, missing directions unexplained"
    score = "weakest shared correlation"
    return [
        *(
            Metric(name, results.estimate(name, "shared dim"), None, world.shared_dim, group=number,
                   **_baselines(results, name, "shared dim"))
            for name, world in WORLDS.items()
        ),
        *(
            Metric(name, results.estimate(name, score), results.mean(name, "null correlation"), group=weakest,
                   **_baselines(results, name, score))
            for name in WORLDS
        ),
        *(
            Metric(name, results.estimate(name, "R2 of all"), group=every,
                   **_baselines(results, name, "R2 of all"))
            for name in WORLDS
        ),
    ]  # fmt: skip


def _agent_metrics(results: Results) -> list[Metric]:
    return [
        Metric(
            name, both_agents(results, name, score),
            None if null is None else both_agents(results, name, null).value,
            None if score in COSTS else both_agents(results, name, f"untrained, {score}").value,
            group=group if score in COSTS else f"{group}; baseline: untrained",
        )
        for group, (score, null) in AGENT_SCORES.items()
        for name in WORLDS
    ]  # fmt: skip


def both_agents(results: Results, world: str, score: str) -> Estimate:
    """Return the estimate of a score, mean of both agents of a world."""

    def mean(seed: int) -> float:
        scores = results.condition_results[world, seed].scores
        return float(np.mean([scores[f"{score}, {side}"].score for side in SIDES]))

    return Estimate.from_scores([Score.single(mean(seed)) for seed in results.seeds])


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return what each seed found, and the thresholds that are not met."""

    def by_seed(read: Callable[[str, int], str]) -> str:
        return "; ".join(f"{name} {', '.join(read(name, seed) for seed in results.seeds)}" for name in WORLDS)

    def both(score: str) -> Callable[[str, int], str]:
        def read(name: str, seed: int) -> str:
            scores = results.condition_results[name, seed].scores
            return " and ".join(f"{scores[f'{score}, {side}'].score:g}" for side in SIDES)

        return read

    def shared(name: str, seed: int) -> str:
        return f"{results.condition_results[name, seed].scores['shared dim'].score:g}"

    private = ", ".join(f"{name} {world.private}" for name, world in WORLDS.items() if world.private)
    notes = [
        f"Shared directions by seed: {by_seed(shared)}.",
        f"Dimensions of both cores by seed: {by_seed(both('core dim'))}. Factors of each camera alone: "
        f"{private}.",
        f"Encoders of both agents by seed: {by_seed(both('encoders'))}.",
    ]
    if len(results.seeds) > 1:
        verdicts = [verdict for found in unrelated_verdicts(results, settings).values() for verdict in found]
        notes.append(
            f"Edges accepted between trained agents of different seeds: {sum(verdicts)} of {len(verdicts)}. "
            "They share agents, so that they are fewer independent trials than edges."
        )
    return notes

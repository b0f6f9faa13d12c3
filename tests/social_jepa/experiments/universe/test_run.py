from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from agents.training.settings import TrainingConfig
from alignment.anchors import AnchorSet
from alignment.universe import fit_universe
from env.scene import SceneConfig
from social_jepa.experiments.common.trained_agents import AgentSetup
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.framework.verdict import holds, self_tests
from social_jepa.experiments.universe import maps
from social_jepa.experiments.universe.metrics import metrics, notes
from social_jepa.experiments.universe.run import EXPERIMENT, run
from social_jepa.experiments.universe.settings import Settings
from social_jepa.experiments.universe.shuffles import corrupted_scores
from tests.support.stored_plots import stored_plots

NAMES = ("ann", "ben", "cas", "dan", "eva")
TINY = Settings(
    setup=AgentSetup(
        scene=SceneConfig(renderer="toy", frame_size=16, objects=1),
        model=ModelConfig(dim=3, width=4, hidden=8),
        training=TrainingConfig(steps=30, segments=8, replay_ticks=64, core_eval_ticks=256),
        negotiation=NegotiationConfig(pool_ticks=64, anchors=16, heldout=32),
    ),
    agent_counts=(3, 4), pair_counts=(8, 16), pairs=16, hops=(1, 2), shuffled_pair_counts=(16,), group_size=4,
    corrupted_agents=2, draws=2, cycles=2,
)  # fmt: skip


class PlantedAgent:
    """An agent whose core is a noisy rotation of a common latent."""

    def __init__(self, name: str, latent: np.ndarray, noise: float, rng: np.random.Generator) -> None:
        rotation = np.linalg.qr(rng.standard_normal((latent.shape[1],) * 2))[0]
        embeddings = torch.from_numpy(latent @ rotation + noise * rng.standard_normal(latent.shape))
        half = len(embeddings) // 2
        self.name, self.core_dim = name, latent.shape[1]
        self.anchors = AnchorSet(tuple(range(half)), embeddings[:half], self.core_dim)
        self.heldout = AnchorSet(tuple(range(half, 2 * half)), embeddings[half:], self.core_dim)


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(3)
    latent = rng.standard_normal((400, 3))
    return [PlantedAgent(name, latent, 0.1, rng) for name in NAMES]


def numpy_universe(cores: list[np.ndarray], iterations: int = 300) -> tuple[np.ndarray, list[np.ndarray]]:
    """Generalized Procrustes analysis by alternation, in numpy: (consensus up to scale, maps)."""
    consensus = cores[-1]
    for _ in range(iterations):
        weights = []
        for core in cores:
            u, _, vt = np.linalg.svd(core.T @ consensus)
            weights.append(u @ vt)
        consensus = np.mean([core @ weight for core, weight in zip(cores, weights, strict=True)], axis=0)
    return consensus, weights


def test_the_universe_equals_that_of_another_implementation_up_to_rotation(planted):
    cores = maps.anchor_cores(planted, 64, 0, 0)
    universe = fit_universe(cores)
    consensus, weights = numpy_universe([core.numpy() for core in cores.values()])

    expected, found = (rows @ rows.T for rows in (consensus, universe.consensus.numpy()))
    assert np.allclose(expected / np.trace(expected), found / np.trace(found), atol=1e-6)
    for a, name in enumerate(NAMES):
        for b, other in enumerate(NAMES):
            weight = universe.between(name, other).weight.numpy()
            assert np.allclose(weights[a] @ weights[b].T, weight, atol=1e-4)


def test_planted_maps_are_recovered_and_unrelated_cores_have_none(planted):
    cores = maps.anchor_cores(planted, 64, 0, 0)
    unrelated = maps.shuffle_rows(cores, 1.0, np.random.default_rng(0))
    for fit in (maps.pairwise_maps, lambda paired: fit_universe(paired).between):
        assert Score.average(maps.edge_scores(planted, [fit(cores)])).score > 0.95
        assert Score.average(maps.edge_scores(planted, [fit(unrelated)])).score < 0


def test_a_composed_path_is_worse_than_a_direct_map_and_a_universe_has_no_cycle_error(planted):
    cores = maps.anchor_cores(planted, 8, 0, 0)
    direct, rng = maps.pairwise_maps(cores), np.random.default_rng(0)
    chain = maps.composed_maps(direct, NAMES, 3, rng)
    scores = [Score.average(maps.edge_scores(planted, [edge_maps])).score for edge_maps in (direct, chain)]
    orders = [rng.permutation(5) for _ in range(4)]

    assert scores[1] < scores[0]
    assert maps.mean_cycle_error(fit_universe(cores).between, planted, orders).score < 1e-20
    assert maps.mean_cycle_error(direct, planted, orders).score > 1e-6
    assert torch.equal(
        maps.composed_maps(direct, NAMES, 0, rng)("ann", "eva").weight, direct("ann", "eva").weight
    )
    with pytest.raises(ValueError, match="needs 6 agents"):
        maps.composed_maps(direct, NAMES, 4, rng)


def test_a_join_takes_one_message_and_a_refit_several(planted):
    cores = maps.anchor_cores(planted, 64, 0, 0)
    others = fit_universe({name: cores[name] for name in NAMES[:-1]})
    joined, refit = maps.join_universe(cores, "eva"), fit_universe(cores)

    assert maps.count_messages(others, joined) == 1
    assert maps.count_messages(others, refit) > 1
    for universe in (joined, refit):
        scores = maps.edge_scores(planted, [universe.between], maps.edges_of(NAMES, "eva"))
        assert Score.average(scores).score > 0.95
    assert len(maps.edge_scores(planted, [refit.between], maps.edges_of(NAMES, "eva"))) == 8


def test_more_pairs_add_ticks_and_shuffling_permutes_rows(planted):
    few, many = (maps.anchor_cores(planted, pairs, 1, 0) for pairs in (8, 32))
    shuffled = maps.shuffle_rows(many, 0.5, np.random.default_rng(1))
    for name in NAMES:
        fewer, rows, permuted = (
            {tuple(row) for row in cores[name].tolist()} for cores in (few, many, shuffled)
        )
        assert fewer < rows == permuted
        assert int((shuffled[name] == many[name]).all(1).sum()) == 16
    none = maps.shuffle_rows(many, 0.0, np.random.default_rng(1))
    assert all(torch.equal(none[name], many[name]) for name in NAMES)


def test_a_universe_of_mostly_intact_agents_recovers_maps_of_corrupted_ones():
    rng = np.random.default_rng(4)
    latent = rng.standard_normal((400, 3))
    group = [PlantedAgent(f"agent-{index}", latent, 0.1, rng) for index in range(10)]
    settings = replace(TINY, group_size=10, corrupted_agents=3, agent_counts=(3, 10), draws=4)
    scores = {name: score.score for name, score in corrupted_scores(group, 200, 0, settings).items()}

    both = "two corrupted agents, 200"
    assert scores[f"corrupted, universe, trimmed, {both}"] > 0.9
    assert scores[f"corrupted, universe, {both}"] > scores[f"corrupted, pairwise, {both}"] + 0.5
    assert scores[f"corrupted, universe, {both}, null"] < 0
    assert scores["corrupted, universe, two intact agents, 200"] > 0.95


def test_invalid_settings_are_rejected():
    for invalid in ({"agent_counts": (2, 4)}, {"agent_counts": (4, 3)}, {"pairs": 9}, {"hops": (3,)},
                    {"shuffled_shares": (2.0,)}, {"keep": 1.0}, {"draws": 0}, {"shuffled_pair_counts": (65,)},
                    {"corrupted_agents": 4}, {"group_size": 5}, {"corrupted_share": 1.5},
                    {"pair_counts": (16, 100)}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(invalid))):
            replace(TINY, **invalid)


def test_a_tiny_run_is_reproducible_and_fills_every_metric_note_and_plot():
    outcome, again = (run("toy", 0, TINY, lambda text: None) for _ in "ab")
    for name, score in outcome.scores.items():
        assert np.array_equal(score.values, again.scores[name].values), name
    results = Results({("toy", 0): outcome}, [0])
    table = metrics(results, TINY)

    assert all(np.isfinite(metric.estimate.value) for metric in table)
    assert [metric.group for metric in table if metric.threshold and not metric.self_test] == [
        "thresholds"
    ] * 2
    assert all(holds(row) for row in self_tests(metric.to_row() for metric in table))
    assert all(isinstance(note, str) for note in notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()

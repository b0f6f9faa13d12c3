from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from agents.training.settings import TrainingConfig
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from alignment.universe import fit_universe
from env.scene import SceneConfig
from social_jepa.experiments.common.edges import Pairing
from social_jepa.experiments.common.pairs import shift_agents
from social_jepa.experiments.common.trained_agents import AgentSetup, TrainedAgent
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.framework.verdict import holds, self_tests
from social_jepa.experiments.universe import maps
from social_jepa.experiments.universe.metrics import metrics, notes
from social_jepa.experiments.universe.run import EXPERIMENT, run
from social_jepa.experiments.universe.settings import Settings
from social_jepa.experiments.universe.shuffles import corrupted_scores
from tests.support.stored_plots import stored_plots

PAIRING = Pairing(anchors=64, heldout=100, memory_rows=1)
NAMES = ("ann", "ben", "cas", "dan", "eva")
TINY = Settings(
    setup=AgentSetup(
        scene=SceneConfig(renderer="toy", frame_size=16, objects=1),
        model=ModelConfig(dim=3, width=4, hidden=8),
        training=TrainingConfig(steps=30, segments=8, replay_ticks=64, core_eval_ticks=256),
        negotiation=NegotiationConfig(pool_ticks=64, anchors=16, heldout=32),
    ),
    agent_counts=(3, 4), few=4, pair_counts=(8, 16), pairs=16, hops=(1, 2), shuffled_pair_counts=(16,),
    group_size=4, corrupted_agents=2, draws=2, cycles=2,
)  # fmt: skip


def planted_agent(name, latent, noise, rng):
    """Return an agent whose core is a noisy rotation of columns of a common latent."""
    dim = latent.shape[1]
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    embeddings = torch.from_numpy(latent @ rotation + noise * rng.standard_normal(latent.shape))
    half = len(embeddings) // 2
    anchors = AnchorSet(tuple(range(half)), embeddings[:half], dim)
    heldout = AnchorSet(tuple(range(half, 2 * half)), embeddings[half:], dim)
    basis = CoreBasis(torch.zeros(dim), torch.eye(dim), torch.full((dim,), 0.7), dim, torch.zeros(dim), 0.1)
    return TrainedAgent(name, torch.nn.Identity(), basis, anchors, heldout, None, 0, 0.0)


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(3)
    latent = rng.standard_normal((400, 3))
    return [planted_agent(name, latent, 0.1, rng) for name in NAMES]


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
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((400, 3))
    noisy = [planted_agent(name, latent, 1.0, rng) for name in NAMES]
    draws = [maps.pairwise_maps(maps.anchor_cores(noisy, 8, 0, draw)) for draw in range(8)]
    chains = [maps.composed_maps(edge_maps, NAMES, 3, rng) for edge_maps in draws]
    scores = [Score.average(maps.edge_scores(noisy, each)).score for each in (draws, chains)]
    cores, direct = maps.anchor_cores(planted, 8, 0, 0), draws[0]
    orders, universe = [rng.permutation(5) for _ in range(4)], fit_universe(cores)

    assert scores[1] < scores[0]
    assert maps.mean_cycle_error(universe.between, universe, planted, orders).score < 1e-20
    assert maps.mean_cycle_error(direct, universe, planted, orders).score > 1e-6
    assert torch.equal(
        maps.composed_maps(direct, NAMES, 0, rng)("ann", "eva").weight, direct("ann", "eva").weight
    )
    with pytest.raises(ValueError, match="needs 6 agents"):
        maps.composed_maps(direct, NAMES, 4, rng)


def test_a_join_takes_one_message_and_a_refit_several(planted):
    cores = maps.anchor_cores(planted, 64, 0, 0)
    shared = maps.shared_maps(planted, cores, PAIRING)
    others = maps.shared_universe({name: cores[name] for name in NAMES[:-1]}, shared)
    joined, refit = maps.join_universe(cores, shared, "eva"), maps.shared_universe(cores, shared)

    assert maps.count_messages(others, joined) == 1
    assert maps.count_messages(others, refit) > 1
    for universe in (joined, refit):
        scores = maps.edge_scores(planted, [universe.between], maps.edges_of(NAMES, "eva"))
        assert Score.average(scores).score > 0.95
    assert len(maps.edge_scores(planted, [refit.between], maps.edges_of(NAMES, "eva"))) == 8


def test_cycles_come_back_on_what_all_agents_have_though_two_lack_a_factor():
    rng = np.random.default_rng(5)
    latent = rng.standard_normal((1200, 4))
    seen = [[0, 1, 2, 3], [0, 1, 2], [0, 1, 2, 3], [0, 1, 3]]
    group = [
        planted_agent(name, latent[:, columns], 0.1, rng)
        for name, columns in zip(NAMES[:4], seen, strict=True)
    ]
    cores = maps.anchor_cores(group, 200, 0, 0)
    shared = maps.shared_maps(group, cores, replace(PAIRING, heldout=300))
    universe = maps.shared_universe(cores, shared)
    orders = [rng.permutation(4) for _ in range(6)]

    assert [shared["ann", name].rank for name in NAMES[1:4]] == [3, 4, 3]
    assert shared["ben", "dan"].rank == universe.common_dim == 2
    assert maps.mean_cycle_error(universe.between, universe, group, orders).score < 1e-20
    assert maps.mean_cycle_error(maps.as_edge_maps(shared), universe, group, orders).score > 1e-6
    assert universe.common_axes.sum() == 2


def test_rows_of_another_time_share_nothing(planted):
    shifted = shift_agents(planted, [-40 * index for index in range(len(planted))])
    for before, after in zip(planted, shifted, strict=True):
        assert torch.equal(before.heldout.vectors.sort(0).values, after.heldout.vectors.sort(0).values)
    cores = maps.anchor_cores(shifted, 64, 0, 0)
    shared = maps.shared_maps(shifted, cores, PAIRING)

    assert sum(bool(found.rank) for found in shared.values()) <= 1
    assert abs(Score.average(maps.edge_scores(shifted, [maps.as_edge_maps(shared)])).score) < 0.05
    assert Score.average(maps.edge_scores(shifted, [maps.pairwise_maps(cores)])).score < -0.5


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
    group = [planted_agent(f"agent-{index}", latent, 0.1, rng) for index in range(10)]
    settings = replace(TINY, group_size=10, corrupted_agents=3, agent_counts=(3, 10), few=10, draws=4)
    scores = {name: score.score for name, score in corrupted_scores(group, 200, 0, settings).items()}

    both = "two corrupted agents, 200"
    assert scores[f"corrupted, universe, trimmed, {both}"] > 0.9
    assert scores[f"corrupted, universe, {both}"] > scores[f"corrupted, pairwise, {both}"] + 0.5
    assert scores[f"corrupted, universe, {both}, null"] < 0
    assert scores["corrupted, universe, two intact agents, 200"] > 0.95


def test_invalid_settings_are_rejected():
    for invalid in ({"few": 5}, {"agent_counts": (2, 4)}, {"agent_counts": (4, 3)}, {"pairs": 9},
                    {"hops": (3,)},
                    {"shuffled_shares": (2.0,)}, {"keep": 1.0}, {"draws": 0}, {"shuffled_pair_counts": (65,)},
                    {"corrupted_agents": 4}, {"group_size": 5}, {"corrupted_share": 1.5},
                    {"pair_counts": (16, 100)}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(invalid))):
            replace(TINY, **invalid)


def test_a_tiny_run_is_reproducible_and_fills_every_metric_note_and_plot():
    outcome, again = (run("toy", 0, TINY, lambda text: None) for _ in "ab")
    for name, score in outcome.scores.items():
        assert np.array_equal(score.values, again.scores[name].values, equal_nan=True), name
    results = Results({("toy", 0): outcome}, [0])
    table = metrics(results, TINY)

    # agents so small have no direction in common, and no figure on the common block
    on_cores = [metric for metric in table if "shuffled" in metric.name or "kilobytes" in metric.name]
    assert on_cores
    assert all(np.isfinite(metric.estimate.value) for metric in on_cores)
    assert [metric.group for metric in table if metric.threshold and not metric.self_test] == [
        "thresholds"
    ] * 4
    held = {row.name: holds(row) for row in self_tests(metric.to_row() for metric in table)}
    assert held == {"4 agents: messages for a join": True, "4 agents: cycle error on the common block": False}
    assert all(isinstance(note, str) for note in notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()

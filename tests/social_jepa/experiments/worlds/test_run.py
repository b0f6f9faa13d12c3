"""Laws of the worlds experiment: planted overlaps are found, unrelated worlds are not, and runs repeat."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.negotiation import Negotiation
from agents.protocol.settings import NegotiationConfig
from alignment.anchors import AnchorSet
from env.camera import ring_pose
from env.interior_walls import InteriorWallsConfig
from env.renderers.build import build_renderer
from env.scene import Scene
from social_jepa.experiments.common.edges import (
    Embeddings,
    Pairing,
    accepts,
    direction_arrays,
    edge_score,
    edge_scores,
    edges_between,
    spread_rows,
)
from social_jepa.experiments.common.methods import COMPARED_AGENTS, RING_AGENTS
from social_jepa.experiments.common.trained_agents import (
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.registry import build_settings
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.viewpoint.wall import negotiate_edge
from social_jepa.experiments.worlds.latents import MixedLatents, draw_pair
from social_jepa.experiments.worlds.metrics import embeddings, make_metrics, make_notes, unrelated_verdicts
from social_jepa.experiments.worlds.run import EXPERIMENT, run, train_pair
from social_jepa.experiments.worlds.settings import UNRELATED, WORLDS, Settings
from tests.support.stored_plots import stored_plots

WALLS = Path(__file__).resolve().parents[4] / "examples" / "walls.toml"
PAIRING = Pairing(anchors=64, heldout=128, memory_rows=4)
TINY = build_settings(
    EXPERIMENT,
    True,
    [
        "setup.scene.frame_size=16",
        "setup.training.steps=8",
        "setup.training.stage_steps=4",
        "setup.training.segments=16",
        "setup.training.replay_ticks=256",
        "setup.training.core_eval_ticks=128",
        "setup.model.dim=8",
        "setup.model.width=4",
        "setup.model.hidden=8",
        "setup.negotiation.pool_ticks=192",
        "setup.negotiation.anchors=64",
        "setup.negotiation.heldout=96",
        "unrelated_pairs=1",
        "latent_ticks=512",
    ],
)


def discard(text):
    del text


def planted(shared, cores=(4, 5), rows=256, noise=0.1, seed=0):
    """Two agents whose cores share some white directions, each core rotated in another way."""
    rng = np.random.default_rng([seed, shared])
    agents = []
    common = [rng.standard_normal((rows, shared)) for _ in range(2)]
    for core in cores:
        rotation = np.linalg.qr(rng.standard_normal((core, core)))[0]
        pools = []
        for factors in common:
            own = rng.standard_normal((rows, core - shared))
            seen = np.hstack([factors + noise * rng.standard_normal(factors.shape), own])
            rest = rng.standard_normal((rows, 3))
            pools.append(torch.from_numpy(np.hstack([seen @ rotation, rest])))
        agents.append(Embeddings(*pools, core_dim=core))
    return agents


def random_walks(seed, rows=1024, dim=4, rate=0.9):
    """One agent whose core is a slow process that no other agent has."""
    rng = np.random.default_rng(seed)
    pools = []
    for _ in range(2):
        values = rng.standard_normal((rows, dim))
        for row in range(1, rows):
            values[row] = rate * values[row - 1] + np.sqrt(1 - rate**2) * values[row]
        pools.append(torch.from_numpy(values))
    return Embeddings(*pools, core_dim=dim)


@pytest.mark.parametrize("shared", [1, 2, 4])
def test_a_planted_overlap_is_found_exactly_and_translated(shared):
    scores = edge_scores(edges_between(planted(shared), replace(PAIRING, anchors=256)), expected=shared)

    assert scores["shared dim"].score == shared
    assert scores["exact"].score == 1
    assert scores["R2 shared"].score == scores["R2 of all"].score > 0.9
    assert scores["weakest shared correlation"].score > 0.95 > 0.6 > scores["null correlation"].score


def test_an_overlap_of_another_dimension_is_not_exact_and_missing_factors_count_as_unexplained():
    scores = edge_scores(edges_between(planted(2), PAIRING), expected=4)

    assert scores["exact"].score == 0
    assert scores["R2 of all"].score == pytest.approx(scores["R2 shared"].score / 2)


def test_more_directions_than_expected_are_not_exact_and_explain_no_more():
    edges = edges_between(planted(4), PAIRING)
    scores = edge_scores(edges, expected=2)

    assert scores["exact"].score == 0
    assert scores["R2 of all"].score == pytest.approx(scores["R2 shared"].score, abs=0.03)
    # directions that translate badly take nothing away from the best ones
    worse = [replace(edge, correlations=(*edge.correlations[:2], 0.3, 0.2)) for edge in edges]
    unseen = [replace(edge, correlations=(edge.correlations[0], 0.4, 0.3, 0.2)) for edge in edges]
    assert edge_scores(worse, expected=2)["R2 of all"].score == scores["R2 of all"].score
    best = np.mean([2 * edge.correlations[0] - 1 for edge in edges])
    assert edge_scores(unseen, expected=2)["R2 of all"].score == pytest.approx(best / 2)


def test_agents_without_a_common_factor_or_without_a_core_share_nothing():
    alone = planted(0)
    scores = edge_scores(edges_between(alone, PAIRING), expected=2)
    empty = [replace(agent, core_dim=0) for agent in planted(2)]

    assert not accepts(*alone, PAIRING)
    assert scores["shared dim"].score == scores["R2 of all"].score == 0
    assert not accepts(*empty, PAIRING)
    assert edge_scores(edges_between(empty, PAIRING), expected=2)["shared dim"].score == 0


def test_slow_processes_that_are_unrelated_are_refused_and_one_process_is_accepted():
    walks = [random_walks(seed) for seed in range(6)]
    pairing = Pairing(anchors=256, heldout=512, memory_rows=66)  # 0.9 ** 66 < 0.001

    assert sum(accepts(a, b, pairing) for a in walks for b in walks if a is not b) <= 1
    assert all(accepts(walk, walk, pairing) for walk in walks)


def test_the_correlations_of_the_plot_are_those_of_the_edge():
    agents = planted(2)
    shown = direction_arrays(edges_between(agents, PAIRING)[0])
    edge = edge_score(*agents, PAIRING)

    assert shown["correlations"].tolist() == list(edge.correlations)
    assert (shown["correlations"] > shown["null"]).sum() == edge.shared_dim == 2


def test_an_edge_is_accepted_where_the_negotiation_accepts_it():
    config = NegotiationConfig(anchors=64, heldout=128, pool_ticks=256)
    for shared, accepted in ((0, False), (1, True), (3, True)):
        sides = []
        for number, agent in enumerate(planted(shared)):
            name, dim = f"agent-{number}", agent.anchors.shape[1]
            pools = AnchorPools(
                AnchorSet(tuple(range(256)), agent.anchors.float(), agent.core_dim),
                AnchorSet(tuple(range(256, 512)), agent.heldout.float(), agent.core_dim),
                None,
            )
            info = PeerInfo(name, "5ce9e", "jepa", f"c0de{number}", dim, agent.core_dim, False)
            sides.append(Negotiation(info, pools, config, np.random.default_rng(number), 4))
        assert negotiate_edge(*sides).startswith("accepted") == accepted
        assert accepts(*planted(shared), PAIRING) == accepted


def test_rows_are_spread_over_the_pool_and_distinct():
    for pool, count in ((1024, 256), (1024, 512), (192, 96), (100, 7)):
        rows = spread_rows(pool, count)
        assert len(rows.unique()) == count
        assert int(rows[-1]) < pool
        assert len(rows.diff().unique()) == 1


def test_the_worlds_are_scenes_whose_private_factors_are_those_stated():
    default = Settings().setup.scene
    for world in WORLDS.values():
        scene = Scene(world.scene(default), 0)
        assert scene.private_factors("agent-0", np.arange(3)).shape == (3, world.private)
        assert scene.factors(np.arange(3)).shape == (3, default.objects * 2)
    assert {name: world.shared_dim for name, world in WORLDS.items()} == dict.fromkeys(WORLDS, 6) | {
        "wall": 2
    }
    assert WORLDS["wall"].seen_factors(0) == [2, 3, 4, 5]
    assert WORLDS["wall"].seen_factors(1) == [0, 1, 4, 5]


def test_the_wall_is_the_one_of_the_example():
    example = tomllib.loads(WALLS.read_text(encoding="utf-8"))["scene"]
    scene = WORLDS["wall"].scene(Settings().setup.scene)

    assert [list(area) for area in scene.object_areas] == example["object_areas"]
    walls = example["interior_walls"]
    segments = tuple(map(tuple, walls["segments"]))
    assert scene.interior_walls == InteriorWallsConfig(segments, walls["height"])


def test_a_camera_sees_exactly_the_objects_that_its_world_states():
    setup = Settings().setup
    for world in (WORLDS["wall"], WORLDS["default"]):
        config = replace(world.scene(setup.scene), bodies=False)
        scene, renderer = Scene(config, 3), build_renderer(config)
        for number, index in enumerate(COMPARED_AGENTS):
            pose, seen = ring_pose(index, setup.ring), set()
            for column in range(2 * config.objects):
                for tick in range(8):
                    factors = scene.factors(np.array([tick]))[0]
                    moved = factors.copy()
                    moved[column] = -factors[column] + 1.5
                    pictures = [
                        renderer.render(scene.state_from_factors(tick, each), pose, None)
                        for each in (factors, moved)
                    ]
                    if not np.array_equal(*pictures):
                        seen.add(column)
            assert sorted(seen) == world.seen_factors(number)
        renderer.close()


@pytest.mark.parametrize(
    "change",
    [
        "setup.scene.objects=2",
        "setup.model.dim=7",
        "unrelated_pairs=0",
        "lowest_rate=0.995",
        "latent_ticks=10",
        "setup.negotiation.pool_ticks=100",
    ],
)
def test_settings_that_compare_nothing_are_refused(change):
    with pytest.raises(ValueError, match=change.partition("=")[0].rpartition(".")[2]):
        build_settings(EXPERIMENT, True, [change])


def test_latents_without_pixels_repeat_and_contain_the_factors():
    config = replace(Settings().setup.scene, autocorrelation=(0.8,))
    latents = MixedLatents(Scene(config, 5), 16, 7)
    ticks = np.arange(2000)
    z = latents(ticks)

    assert np.array_equal(z, latents(ticks))
    assert not np.array_equal(z, MixedLatents(latents.scene, 16, 8)(ticks))
    factors = latents.scene.factors(ticks)
    left = factors - z @ np.linalg.lstsq(z, factors, rcond=None)[0]
    assert np.square(left).mean() < 0.02


def test_pairs_without_pixels_share_all_factors_of_one_world_and_none_of_two():
    settings = replace(Settings(), latent_ticks=2048, highest_rate=0.9)
    related, unrelated = (
        draw_pair(flag, settings, np.random.default_rng([9, flag])) for flag in (True, False)
    )

    assert edge_score(*related[0], related[1]).shared_dim == 6
    assert edge_score(*unrelated[0], unrelated[1]).shared_dim == 0


def test_publishing_before_training_changes_nothing_of_the_training():
    trained, untrained, costs, _ = train_pair(TINY.setup, 0, discard)
    poses = ring_poses(TINY.setup, RING_AGENTS)
    with untrained_agent(TINY.setup, 0, COMPARED_AGENTS[1], poses) as agent:
        alone = trained_agent(agent, train_agent(agent, discard))

    assert torch.equal(alone.heldout.vectors, trained[1].heldout.vectors)
    assert not torch.equal(alone.heldout.vectors, untrained[1].heldout.vectors)
    assert costs["steps, second"].score >= TINY.setup.training.steps


@pytest.fixture(scope="module")
def tiny_results():
    return Results({(name, 0): run(name, 0, TINY, discard) for name in EXPERIMENT.conditions(TINY)}, [0])


def test_all_conditions_run_and_equal_arguments_give_equal_results(tiny_results):
    for name in ("mixed", UNRELATED):
        again, before = run(name, 0, TINY, discard), tiny_results.condition_results[name, 0]
        assert again.arrays.keys() == before.arrays.keys()
        for key, array in again.arrays.items():
            assert np.array_equal(array, before.arrays[key])
        for key, score in again.scores.items():
            assert np.array_equal(score.values, before.scores[key].values)
    assert tiny_results.condition_results["slow", 0].flops > 0
    metrics = make_metrics(tiny_results, TINY)
    assert all(np.isfinite(metric.estimate.value) for metric in metrics)
    assert len({(metric.group, metric.name) for metric in metrics}) == len(metrics)
    assert all(isinstance(note, str) for note in make_notes(tiny_results, TINY))
    for figure in stored_plots(EXPERIMENT, tiny_results, TINY).values():
        figure.canvas.draw()


def planted_world(name, seed, dims=6, r2=0.95):
    """Results of a world whose edges find this, and whose agents of all seeds but one are unrelated."""
    pair = planted(6, cores=(6, 6), seed=seed)
    values = {"exact": float(dims == WORLDS[name].shared_dim), "R2 shared": r2, "R2 of all": r2,
              "shared dim": dims, "weakest shared correlation": r2, "null correlation": 0.1}  # fmt: skip
    sides = {f"{score}, {side}": 6.0 for score in ("core dim", "private dim", "encoders", "steps", "state R2",
             "state R2, shuffled") for side in ("first", "second")}  # fmt: skip
    scores = {f"{prefix}{key}": Score.single(value if not prefix or key in sides else 0.0)
              for prefix in ("", "untrained, ", "pixel PCA, ", "linear tICA, ")
              for key, value in (values | sides).items()}  # fmt: skip
    arrays = {f"{side} {pool}": getattr(agent, pool).numpy()
              for side, agent in zip(("first", "second"), pair, strict=True)
              for pool in ("anchors", "heldout")}  # fmt: skip
    return ConditionResult(scores, arrays)


def planted_results(**changed):
    seeds = (1, 2, 3)
    found = {
        (name, seed): planted_world(name, seed, **changed.get(name, {}).get(seed, {"dims": world.shared_dim}))
        for name, world in WORLDS.items()
        for seed in seeds
    }
    none = ConditionResult({
        "accepted": Score.single(0.0), "accepted, one world": Score.single(1.0),
        "shared": Score.single(0.0), "shared, one world": Score.single(1.0),
    })  # fmt: skip
    return Results(found | {(UNRELATED, seed): none for seed in seeds}, seeds)


def by_name(results):
    pools = replace(TINY.setup.negotiation, pool_ticks=256)
    settings = replace(TINY, setup=replace(TINY.setup, negotiation=pools))
    return {metric.name: metric for metric in make_metrics(results, settings) if metric.threshold}


def test_thresholds_follow_from_planted_scores():
    unequal = {1: {"r2": 0.99}, 2: {"r2": 0.85}, 3: {"r2": 0.95}}
    low = {seed: {"r2": 0.5 + seed / 100} for seed in (1, 2, 3)}
    metrics = by_name(planted_results(slow=unequal, collide=low, moving={2: {"dims": 5}}))

    assert metrics["default: R2 shared"].met is True
    assert metrics["slow: R2 shared"].met is None
    assert metrics["collide: R2 shared"].met is False
    assert metrics["moving: share of seeds with exactly 6 shared directions"].estimate.value == 2 / 3
    assert metrics["moving: share of seeds with exactly 6 shared directions"].met is False
    assert metrics["wall: share of seeds with exactly 2 shared directions"].met is True
    both = "worlds of 8 that meet both in a seed"
    assert metrics[both].estimate.seeds == (7, 5, 7)
    assert metrics[both].met is None
    gain = metrics["R2 of all factors minus the best baseline, worst world"]
    assert gain.estimate.value == pytest.approx(0.52)
    unrelated = metrics["agents without pixels"]
    assert unrelated.estimate.trials == 3
    assert unrelated.met is None  # no error in so few pairs leaves more than 1 % possible
    assert by_name(planted_results(slow={2: {"r2": 0.99}}))[both].met is True
    assert by_name(planted_results(slow=low, collide=low))[both].met is False


def test_agents_of_different_seeds_are_unrelated_and_those_of_one_seed_are_not():
    results = planted_results()
    pools = replace(TINY.setup.negotiation, pool_ticks=256)
    settings = replace(TINY, setup=replace(TINY.setup, negotiation=pools))
    verdicts = unrelated_verdicts(results, settings)

    assert [len(found) for found in verdicts.values()] == [2 * 2 * len(WORLDS)] * 3
    assert not any(any(found) for found in verdicts.values())
    both = [embeddings(results, "default", 1, number) for number in (0, 1)]
    assert accepts(*both, PAIRING)

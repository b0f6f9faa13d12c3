import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.checker import check_world_model
from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.registry import build_settings
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.heterogeneous.edges import negotiate_edges
from social_jepa.experiments.heterogeneous.metrics import EdgeResults, metrics, notes
from social_jepa.experiments.heterogeneous.plots import mean_matrix
from social_jepa.experiments.heterogeneous.run import EXPERIMENT, conditions, run, shuffled_poses
from social_jepa.experiments.heterogeneous.settings import SIZE_VARIANTS, TRAINED_JEPAS, VARIANTS, Settings
from tests.support.stored_plots import stored_plots

NEGOTIATION = NegotiationConfig(anchors=32, heldout=48, pool_ticks=64)
PATCH_MIXER = VARIANTS["patch-mixer"].kind
TINY = build_settings(
    EXPERIMENT,
    True,
    [
        "setup.training.steps=12",
        "setup.training.replay_ticks=256",
        "setup.training.core_eval_ticks=64",
        "setup.training.segments=16",
        "setup.scene.frame_size=16",
        "setup.negotiation.pool_ticks=64",
        "setup.negotiation.anchors=32",
        "setup.negotiation.heldout=48",
    ],
)


def quiet(text):
    pass


def planted(name, core=2, dim=4, noise=0.05, unrelated=False, collapsed=False):
    """Return the result of an agent whose latents are a rotation of two common factors, or unrelated."""
    rng = np.random.default_rng([5, list(VARIANTS).index(name)])
    rotation = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    arrays = {}
    for row, pool in enumerate(("anchors", "heldout")):
        factors = (rng if unrelated else np.random.default_rng([6, row])).normal(
            size=(NEGOTIATION.pool_ticks, 2)
        )
        private = rng.normal(size=(NEGOTIATION.pool_ticks, dim))
        vectors = np.hstack([factors @ rotation + noise * private[:, :2], private[:, 2:]])
        arrays[f"{pool}.ticks"] = 1000 * row + np.arange(NEGOTIATION.pool_ticks)
        arrays[f"{pool}.vectors"] = vectors.astype(np.float32)
    info = {"name": "agent", "scene": "5ce9e", "kind": VARIANTS[name].kind, "checkpoint": f"c0de.{name}",
            "dim": dim, "core_dim": core, "collapsed": collapsed}  # fmt: skip
    arrays |= {"peer info": np.array(json.dumps(info)), "frame": np.zeros((8, 8, 3), np.uint8)}
    scores = ("state", "state, shuffled", "state, core only", "core dim")
    return ConditionResult(dict.fromkeys(scores, Score.single(0.5)), arrays)


@pytest.fixture(scope="module")
def results():
    options = {"untrained": {"unrelated": True}, "vicreg": {"collapsed": True}, "wide": {"core": 1}}
    return Results({(name, 0): planted(name, **options.get(name, {})) for name in VARIANTS}, [0])


def test_shared_factors_are_found_and_accepted(results):
    edges = negotiate_edges(results, 0, NEGOTIATION, memory=20)
    shared = [name for name in VARIANTS if name not in ("untrained", "vicreg", "wide")]
    for pair in ((a, b) for a in shared for b in shared if a != b):
        assert edges[pair].accepted
        assert edges[pair].core.score > 0.95
        assert edges[pair].ridge.score > 0.9
        assert edges[pair].null < 0.2


def test_an_unrelated_agent_is_refused_by_all_others(results):
    edges = negotiate_edges(results, 0, NEGOTIATION, memory=20)
    unrelated = [edge for pair, edge in edges.items() if "untrained" in pair]
    assert len(unrelated) == 2 * (len(VARIANTS) - 1)
    assert not any(edge.accepted for edge in unrelated)
    assert max(edge.core.score for edge in unrelated) < 0.2


def test_an_edge_refused_without_a_fit_counts_as_zero(results):
    edge = negotiate_edges(results, 0, NEGOTIATION, memory=20)["jepa", "vicreg"]
    assert "collapsed" in edge.reason
    assert edge.core.score == edge.ridge.score == 0
    assert np.isnan(edge.null)


def test_a_smaller_core_limits_the_orthogonal_map_but_not_ridge_regression(results):
    edges = negotiate_edges(results, 0, NEGOTIATION, memory=20)
    assert edges["wide", "jepa"].core.score == pytest.approx(0.5, abs=0.2)
    assert edges["wide", "jepa"].ridge.score > 0.95
    assert edges["jepa", "wide"].core.score > 0.95


def test_the_worst_and_the_best_pair_have_the_scores_of_the_matrix(results):
    edges = EdgeResults(results, replace(TINY, setup=replace(TINY.setup, negotiation=NEGOTIATION)))
    pairs = [("jepa", "untrained"), ("jepa", "jepa-twin")]
    scores = [edges.core(pair).value for pair in pairs]
    assert edges.extreme(pairs, min).value == min(scores) < 0.2
    assert edges.extreme(pairs, max).value == max(scores) > 0.95
    every = negotiate_edges(results, 0, NEGOTIATION, memory=20)
    matrix = mean_matrix([{pair: edge.core.score for pair, edge in every.items()}])
    index = list(VARIANTS).index
    assert matrix[index("jepa"), index("untrained")] == scores[0]
    assert np.isnan(np.diag(matrix)).all()


def test_variants_differ_from_the_default_agent_as_described():
    default = ModelConfig()
    sizes = {name: VARIANTS[name].model(default) for name in VARIANTS}
    assert [sizes[name].dim for name in SIZE_VARIANTS] == [16, 16, 8, 32, 16, 16]
    assert [sizes[name].width for name in SIZE_VARIANTS] == [32, 32, 32, 32, 16, 48]
    assert {sizes[name].objective for name in TRAINED_JEPAS} == {"whitened", "vicreg", "log_det"}
    assert sizes["p-jepa-positions"].p_jepa.task == "positions"
    assert sizes["jepa"] == sizes["jepa-twin"] == sizes["untrained"] == default


def test_poses_depend_on_the_seed_and_are_distinct():
    setup = Settings().setup
    drawn = [shuffled_poses(seed, setup) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for poses in drawn:
        spots = np.array([(pose.x, pose.z) for pose in poses])
        distances = np.linalg.norm(spots[:, None] - spots, axis=2) + 10 * np.eye(len(spots))
        assert distances.min() > 2  # meters


@pytest.mark.parametrize("frame_size", [16, 32])
def test_the_patch_encoder_meets_the_contract(frame_size):
    config = ModelConfig(dim=4, width=8, hidden=16)
    build = [lambda seed=seed: build_world_model(PATCH_MIXER, config, frame_size, (seed,)) for seed in (0, 1)]
    check_world_model(build[0](), frame_size, dim=4, rebuild=build[1])


def test_each_patch_changes_the_latent_of_the_patch_encoder():
    model = build_world_model(PATCH_MIXER, ModelConfig(dim=4, width=8, hidden=16, precision="fp32"), 32, (0,))
    frames = torch.full((1, 32, 32, 3), 9, dtype=torch.uint8).repeat(17, 1, 1, 1)
    for patch in range(16):
        frames[patch, 8 * (patch // 4) : 8 * (patch // 4) + 8, 8 * (patch % 4) : 8 * (patch % 4) + 8] = 200
    latents = model.encode(frames)
    assert torch.cdist(latents, latents).add(torch.eye(17)).min() > 1e-3


def test_invalid_settings_are_rejected():
    with pytest.raises(ValueError, match="dim"):
        build_settings(EXPERIMENT, False, ["setup.model.dim=0"])
    with pytest.raises(ValueError, match="anchors"):
        build_settings(EXPERIMENT, False, ["setup.negotiation.pool_ticks=64"])
    with pytest.raises(KeyError, match="unknown"):
        run("unknown", 0, TINY, quiet)


def test_all_agents_run_and_equal_seeds_give_equal_results():
    outcomes = {(name, 0): run(name, 0, TINY, quiet) for name in conditions(TINY)}
    again = run("patch-mixer", 0, TINY, quiet)
    for name, array in again.arrays.items():
        assert np.array_equal(array, outcomes["patch-mixer", 0].arrays[name])
    assert again.flops > 0
    assert outcomes["untrained", 0].flops == 0
    results = Results(outcomes, [0])
    table = metrics(results, TINY)
    assert [metric.threshold is not None for metric in table[:5]] == [True, True, True, True, False]
    assert all(np.isfinite(metric.estimate.value) for metric in table)
    assert len({metric.name for metric in table}) == len(table) <= 45
    assert all(isinstance(note, str) for note in notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()

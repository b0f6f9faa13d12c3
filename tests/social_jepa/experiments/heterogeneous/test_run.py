import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.checker import check_world_model
from agents.models.registry import build_world_model
from agents.protocol.settings import NegotiationConfig
from agents.settings import ModelConfig
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.registry import build_settings
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.heterogeneous import run as het
from social_jepa.experiments.heterogeneous.metrics import Edges
from social_jepa.experiments.heterogeneous.plots import grid
from social_jepa.experiments.heterogeneous.society import MEMBERS, SIZES, TRAINED, society

TALK = NegotiationConfig(anchors=32, heldout=48, pool_ticks=64)
PATCHES = MEMBERS["patch-mixer"].kind
TINY = build_settings(
    het.EXPERIMENT,
    True,
    [
        "upbringing.training.steps=12",
        "upbringing.training.replay_ticks=256",
        "upbringing.training.core_eval_ticks=64",
        "upbringing.training.segments=16",
        "upbringing.scene.frame_size=16",
        "upbringing.negotiation.pool_ticks=64",
        "upbringing.negotiation.anchors=32",
        "upbringing.negotiation.heldout=48",
    ],
)


def quiet(text):
    pass


def planted(name, core=2, dim=4, noise=0.05, alone=False, collapsed=False):
    """An agent that shows the same two factors as all others, turned its own way, or fancies of its own."""
    rng = np.random.default_rng([5, list(MEMBERS).index(name)])
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    arrays = {}
    for row, part in enumerate(("anchors", "heldout")):
        factors = (rng if alone else np.random.default_rng([6, row])).normal(size=(TALK.pool_ticks, 2))
        own = rng.normal(size=(TALK.pool_ticks, dim))
        vectors = np.hstack([factors @ turn + noise * own[:, :2], own[:, 2:]])
        arrays[f"{part}.ticks"] = 1000 * row + np.arange(TALK.pool_ticks)
        arrays[f"{part}.vectors"] = vectors.astype(np.float32)
    card = {"name": "agent", "scene": "5ce9e", "kind": MEMBERS[name].kind, "checkpoint": f"c0de.{name}",
            "dim": dim, "core_dim": core, "collapsed": collapsed}  # fmt: skip
    arrays |= {"card": np.array(json.dumps(card)), "seen": np.zeros((8, 8, 3), np.uint8)}
    known = ("state", "shuffled", "state from the core", "core")
    return ConditionResult(dict.fromkeys(known, Score.single(0.5)), arrays)


@pytest.fixture(scope="module")
def results():
    odd = {"untrained": {"alone": True}, "vicreg": {"collapsed": True}, "wide": {"core": 1}}
    return Results({(name, 0): planted(name, **odd.get(name, {})) for name in MEMBERS}, [0])


def test_what_all_share_is_found_and_accepted(results):
    edges = society(results, 0, TALK)
    shared = [name for name in MEMBERS if name not in ("untrained", "vicreg", "wide")]
    for pair in ((a, b) for a in shared for b in shared if a != b):
        assert edges[pair].accepted
        assert edges[pair].core.score > 0.95
        assert edges[pair].ridge.score > 0.9
        assert edges[pair].null < 0.2


def test_who_shares_nothing_is_refused_by_everybody(results):
    edges = society(results, 0, TALK)
    alone = [edge for pair, edge in edges.items() if "untrained" in pair]
    assert len(alone) == 2 * (len(MEMBERS) - 1)
    assert not any(edge.accepted for edge in alone)
    assert max(edge.core.score for edge in alone) < 0.2


def test_an_edge_that_was_refused_unseen_counts_as_zero(results):
    edge = society(results, 0, TALK)["jepa", "vicreg"]
    assert "collapsed" in edge.reason
    assert edge.core.score == edge.ridge.score == 0
    assert np.isnan(edge.null)


def test_a_smaller_core_says_half_and_ridge_finds_the_rest(results):
    edges = society(results, 0, TALK)
    assert edges["wide", "jepa"].core.score == pytest.approx(0.5, abs=0.2)
    assert edges["wide", "jepa"].ridge.score > 0.95
    assert edges["jepa", "wide"].core.score > 0.95


def test_the_worst_and_the_best_pair_are_those_of_the_matrix(results):
    edges = Edges(results, replace(TINY, upbringing=replace(TINY.upbringing, negotiation=TALK)))
    pairs = [("jepa", "untrained"), ("jepa", "jepa-twin")]
    scores = [edges.core(pair).value for pair in pairs]
    assert edges.extreme(pairs, min).value == min(scores) < 0.2
    assert edges.extreme(pairs, max).value == max(scores) > 0.95
    shown = grid([{pair: edge.core.score for pair, edge in society(results, 0, TALK).items()}])
    place = list(MEMBERS).index
    assert shown[place("jepa"), place("untrained")] == scores[0]
    assert np.isnan(np.diag(shown)).all()


def test_members_differ_from_the_default_as_they_say():
    default = ModelConfig()
    sizes = {name: MEMBERS[name].model(default) for name in MEMBERS}
    assert [sizes[name].dim for name in SIZES] == [16, 16, 8, 32, 16, 16]
    assert [sizes[name].width for name in SIZES] == [32, 32, 32, 32, 16, 48]
    assert {sizes[name].objective for name in TRAINED} == {"whitened", "vicreg", "log_det"}
    assert sizes["p-jepa-positions"].p_jepa.task == "positions"
    assert sizes["jepa"] == sizes["jepa-twin"] == sizes["untrained"] == default


def test_who_stands_where_is_drawn_anew_and_nobody_shares_a_place():
    upbringing = het.Settings().upbringing
    drawn = [het.places(seed, upbringing) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for poses in drawn:
        spots = np.array([(pose.x, pose.z) for pose in poses])
        apart = np.linalg.norm(spots[:, None] - spots, axis=2) + 10 * np.eye(len(spots))
        assert apart.min() > 2  # metres


@pytest.mark.parametrize("frame_size", [16, 32])
def test_the_patch_encoder_meets_the_contract(frame_size):
    config = ModelConfig(dim=4, width=8, hidden=16)
    build = [lambda seed=seed: build_world_model(PATCHES, config, frame_size, (seed,)) for seed in (0, 1)]
    check_world_model(build[0](), frame_size, dim=4, rebuild=build[1])


def test_each_token_of_the_patch_encoder_hears_of_every_patch():
    model = build_world_model(PATCHES, ModelConfig(dim=4, width=8, hidden=16, precision="fp32"), 32, (0,))
    frames = torch.full((1, 32, 32, 3), 9, dtype=torch.uint8).repeat(17, 1, 1, 1)
    for patch in range(16):
        frames[patch, 8 * (patch // 4) : 8 * (patch // 4) + 8, 8 * (patch % 4) : 8 * (patch % 4) + 8] = 200
    codes = model.encode(frames)
    assert torch.cdist(codes, codes).add(torch.eye(17)).min() > 1e-3


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="dim"):
        build_settings(het.EXPERIMENT, False, ["upbringing.model.dim=0"])
    with pytest.raises(ValueError, match="anchors"):
        build_settings(het.EXPERIMENT, False, ["upbringing.negotiation.pool_ticks=64"])
    with pytest.raises(KeyError, match="nobody"):
        het.run("nobody", 0, TINY, quiet)


def test_all_agents_run_and_equal_seeds_give_equal_outcomes():
    outcomes = {(part, 0): het.run(part, 0, TINY, quiet) for part in het.parts(TINY)}
    again = het.run("patch-mixer", 0, TINY, quiet)
    for name, array in again.arrays.items():
        assert np.array_equal(array, outcomes["patch-mixer", 0].arrays[name])
    assert again.flops > 0
    assert outcomes["untrained", 0].flops == 0
    results = Results(outcomes, [0])
    lines = het.figures(results, TINY)
    assert [line.threshold is not None for line in lines[:5]] == [True, True, True, True, False]
    assert all(np.isfinite(line.estimate.value) for line in lines)
    assert len({line.name for line in lines}) == len(lines) <= 45
    assert all(isinstance(note, str) for note in het.notes(results, TINY))
    for picture in het.pictures(results, TINY).values():
        picture.canvas.draw()

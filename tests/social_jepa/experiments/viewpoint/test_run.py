"""Laws of the viewpoint experiment: a planted block is found, what a wall hides is refused."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from env.camera import RingConfig, camera_axes
from env.renderers.base import build_renderer
from env.scene import Scene, SceneConfig
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.viewpoint import run as viewpoint
from social_jepa.experiments.viewpoint.views import Walled, agreement, choices, edge_scores, turned
from social_jepa.experiments.viewpoint.wall import heldout_correlations, shared_directions, wall_scores

SCENE = Scene(SceneConfig(renderer="toy"), 0)
TINY = [
    "separations=[0, 180]",
    "pairs=8",
    "few=4",
    "ticks=3",
    "upbringing.training.steps=6",
    "upbringing.training.replay_ticks=256",
    "upbringing.negotiation.pool_ticks=64",
    "upbringing.negotiation.anchors=32",
    "upbringing.negotiation.heldout=32",
    "upbringing.training.core_eval_ticks=64",
    "upbringing.scene.frame_size=16",
    "upbringing.model.width=4",
    "upbringing.model.hidden=8",
    "upbringing.model.dim=3",
]


def quiet(text):
    del text


def settings(*overrides):
    return build_config(viewpoint.Settings, copy.deepcopy(dict(viewpoint.EXPERIMENT.quick)), overrides)


def planted(name, factors, seed, noise=0.1, rest=4):
    """A stranger whose core is a turn of some true factors, and whose other axes are noise of its own."""
    own = torch.Generator().manual_seed(seed)
    dim = len(factors)
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=own, dtype=torch.float64))[0]
    sets = []
    for start in (0, 10_000):
        ticks = range(start, start + 8 * 512, 8)
        true = torch.from_numpy(SCENE.factors(np.array(ticks))[:, factors])
        core = (true + noise * torch.randn(true.shape, generator=own, dtype=torch.float64)) @ turn
        others = torch.randn(len(ticks), rest, generator=own, dtype=torch.float64)
        sets.append(AnchorSet(tuple(ticks), torch.cat([core, others], 1), dim))
    whole = dim + rest
    basis = CoreBasis(torch.zeros(whole), torch.eye(whole), torch.full((whole,), 0.7), dim)
    return TrainedAgent(name, torch.nn.Identity(), basis, *sets, SCENE, 0, 0.0)


def test_across_a_planted_wall_the_shared_block_is_found_and_the_hidden_one_refused():
    seer, blind = planted("seer", range(6), 1), planted("blind", range(4), 2)

    measures, arrays = wall_scores(seer, blind, 2, 256, 0)
    found = {name: measure.score for name, measure in measures.items()}

    assert found["shared"] == 4
    assert found["shared, null"] == 0
    assert len(arrays["correlations"]) == 6
    assert found["to blind"] > 0.95 > 0 > found["to blind, null"]
    assert found["from blind"] == pytest.approx(4 / 6, abs=0.04)
    assert min(found["refused, hidden"], found["aligned, others"], found["seer, hidden"]) > 0.95
    for name in ("blind, hidden", "blind, refused", "aligned, hidden", "refused, others"):
        assert abs(found[name]) < 0.05


def test_without_a_wall_all_is_shared_and_with_another_scene_nothing():
    seer = planted("seer", range(6), 1)
    generator = torch.Generator().manual_seed(5)
    other = planted("other", range(6), 2)
    sets = [
        replace(each, vectors=torch.randn(each.vectors.shape, generator=generator, dtype=torch.float64))
        for each in (other.anchors, other.heldout)
    ]
    stranger = replace(other, anchors=sets[0], heldout=sets[1])

    for peer, expected in ((other, 6), (stranger, 0)):
        correlations, null = shared_directions(seer, peer, 0)
        assert int((correlations > null).sum()) == expected


def test_correlations_on_the_pairs_that_chose_the_directions_flatter():
    generator = torch.Generator().manual_seed(0)
    fit, held = ([torch.randn(64, 6, generator=generator).double() for _ in range(2)] for _ in range(2))

    assert heldout_correlations(fit, fit).max() > 0.3
    assert heldout_correlations(fit, held).max() < 0.3


def test_the_null_is_a_mean_over_shuffles_of_their_own_in_both_places():
    seer, blind = planted("seer", range(6), 1), planted("blind", range(4), 2)
    edges = ((seer, blind), (blind, seer))
    each = [[agreement(*edge, 64, seed, shuffled=True).score for seed in choices(3)] for edge in edges]
    across, along = wall_scores(seer, blind, 2, 64, 3)[0], edge_scores("wall", seer, blind, 64, 8, 3)[0]

    assert len({*np.round(each, 9).ravel().tolist()}) == 2 * len(choices(3))
    assert not set(choices(3)) & set(choices(4))
    assert across["to blind, null"].score == pytest.approx(np.mean(each[0]))
    assert along["null, wall"].score == pytest.approx(np.mean(each))
    assert along["null, wall"].score < 0 < along["R2, wall"].score


def test_who_has_collapsed_agrees_with_nobody():
    seer, empty = planted("seer", range(6), 1), planted("empty", [], 2)

    assert agreement(seer, empty, 8, 0).score == agreement(empty, seer, 8, 0).score == 0
    assert wall_scores(empty, empty, 2, 8, 0)[0]["shared"].score == 0


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 135, 180])
def test_behind_the_wall_a_scene_looks_as_if_the_object_were_not_there(degrees):
    pose, state = turned(RingConfig(), degrees), SCENE.state(7)
    full, fewer = (build_renderer(replace(SCENE.config, objects=count)) for count in (3, 2))
    left = replace(state, positions=state.positions[:2], yaws=state.yaws[:2])

    assert np.array_equal(Walled(full, (2,)).render(state, pose), fewer.render(left, pose))
    assert not np.array_equal(full.render(state, pose), fewer.render(left, pose))


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 135, 180])
def test_cameras_stand_as_far_apart_as_they_are_named(degrees):
    ways = [camera_axes(turned(RingConfig(), each))[2] * [1, 0, 1] for each in (0, degrees)]

    cosine = ways[0] @ ways[1] / (np.linalg.norm(ways[0]) * np.linalg.norm(ways[1]))
    assert cosine == pytest.approx(math.cos(math.radians(degrees)))


@pytest.mark.parametrize("part", viewpoint.PARTS)
def test_every_camera_of_the_full_run_may_stand_where_it_does(part):
    views = viewpoint.views_of(part, viewpoint.Settings())

    assert len({view.name for view in views}) == len(views)
    for view in views:
        SCENE.check_pose(view.pose)


@pytest.mark.parametrize(
    "override",
    ["hidden=2", "hidden=-1", "upbringing.scene.objects=1", "separations=[]", "separations=[190]", "turn=200",
     "few=33", "few=0", "pairs=1000", "ticks=0"],
)  # fmt: skip
def test_settings_that_compare_nothing_are_refused(override):
    with pytest.raises(ValueError, match=override.split("=")[0].split(".")[-1]):
        settings(override)


def test_both_parts_run_and_equal_seeds_give_equal_outcomes():
    tiny = settings(*TINY)
    outcomes = {(part, 0): viewpoint.run(part, 0, tiny, quiet) for part in viewpoint.PARTS}
    again = viewpoint.run("others", 0, tiny, quiet)

    for name, measure in again.scores.items():
        assert np.array_equal(measure.values, outcomes["others", 0].scores[name].values), name
    results = Results(outcomes, [0])
    lines = viewpoint.EXPERIMENT.metrics(results, tiny)
    assert (
        [line.group for line in lines].count("goals") == len([line for line in lines if line.threshold]) == 4
    )
    assert all(math.isfinite(line.estimate.value) for line in lines)
    assert all(isinstance(note, str) for note in viewpoint.EXPERIMENT.notes(results, tiny))
    for picture in viewpoint.EXPERIMENT.plots(results, tiny).values():
        picture.canvas.draw()

"""Laws of the viewpoint experiment: planted shared factors are found, hidden ones are not."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from env.camera import RingConfig, camera_axes
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.viewpoint.run import CONDITIONS, EXPERIMENT, list_views, run
from social_jepa.experiments.viewpoint.settings import QUICK, Settings
from social_jepa.experiments.viewpoint.views import (
    WallRenderer,
    agreement,
    edge_scores,
    pair_seeds,
    pose_at,
)
from social_jepa.experiments.viewpoint.wall import heldout_correlations, shared_correlations, wall_scores
from tests.support.stored_plots import stored_plots

SCENE = Scene(SceneConfig(renderer="toy"), 0)
TINY = [
    "separations=[0, 180]",
    "pairs=8",
    "few_pairs=4",
    "overlap_ticks=3",
    "setup.training.steps=6",
    "setup.training.replay_ticks=256",
    "setup.negotiation.pool_ticks=64",
    "setup.negotiation.anchors=32",
    "setup.negotiation.heldout=32",
    "setup.training.core_eval_ticks=64",
    "setup.scene.frame_size=16",
    "setup.model.width=4",
    "setup.model.hidden=8",
    "setup.model.dim=3",
]


def discard(text):
    del text


def quick_settings(*overrides):
    return build_config(Settings, copy.deepcopy(dict(QUICK)), overrides)


def planted_agent(name, factors, seed, noise=0.1, rest=4):
    """An agent whose core is a rotation of some true factors, and whose other axes are independent noise."""
    private = torch.Generator().manual_seed(seed)
    dim = len(factors)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=private, dtype=torch.float64))[0]
    sets = []
    for start in (0, 10_000):
        ticks = range(start, start + 8 * 512, 8)
        true = torch.from_numpy(SCENE.factors(np.array(ticks))[:, factors])
        core = (true + noise * torch.randn(true.shape, generator=private, dtype=torch.float64)) @ rotation
        others = torch.randn(len(ticks), rest, generator=private, dtype=torch.float64)
        sets.append(AnchorSet(tuple(ticks), torch.cat([core, others], 1), dim))
    total = dim + rest
    basis = CoreBasis(
        torch.zeros(total), torch.eye(total), torch.full((total,), 0.7), dim, torch.zeros(total), 0.1
    )
    return TrainedAgent(name, torch.nn.Identity(), basis, *sets, SCENE, 0, 0.0)


def test_across_a_planted_wall_shared_factors_are_mapped_and_the_hidden_object_is_not():
    full, occluded = planted_agent("full", range(6), 1), planted_agent("occluded", range(4), 2)

    scores, arrays = wall_scores(full, occluded, 2, 256, 0)
    found = {name: score.score for name, score in scores.items()}

    assert found["shared"] == 4
    assert found["shared, null"] == 0
    assert len(arrays["correlations"]) == 6
    assert found["into occluded"] > 0.95 > 0 > found["into occluded, null"]
    assert found["from occluded"] == pytest.approx(4 / 6, abs=0.04)
    assert min(found["null space, hidden"], found["mapped, others"], found["full, hidden"]) > 0.95
    for name in ("occluded, hidden", "occluded, null space", "mapped, hidden", "null space, others"):
        assert abs(found[name]) < 0.05


def test_without_a_wall_all_dimensions_are_shared_and_with_unrelated_latents_none():
    full = planted_agent("full", range(6), 1)
    generator = torch.Generator().manual_seed(5)
    other = planted_agent("other", range(6), 2)
    sets = [
        replace(each, vectors=torch.randn(each.vectors.shape, generator=generator, dtype=torch.float64))
        for each in (other.anchors, other.heldout)
    ]
    unrelated = replace(other, anchors=sets[0], heldout=sets[1])

    for peer, expected in ((other, 6), (unrelated, 0)):
        correlations, null = shared_correlations(full, peer, 0)
        assert int((correlations > null).sum()) == expected


def test_correlations_on_the_pairs_that_chose_the_directions_are_biased_upwards():
    generator = torch.Generator().manual_seed(0)
    fit, held = ([torch.randn(64, 6, generator=generator).double() for _ in range(2)] for _ in range(2))

    assert heldout_correlations(fit, fit).max() > 0.3
    assert heldout_correlations(fit, held).max() < 0.3


def test_both_nulls_are_means_over_different_shuffles():
    full, occluded = planted_agent("full", range(6), 1), planted_agent("occluded", range(4), 2)
    edges = ((full, occluded), (occluded, full))
    each = [[agreement(*edge, 64, seed, shuffled=True).score for seed in pair_seeds(3)] for edge in edges]
    of_wall = wall_scores(full, occluded, 2, 64, 3)[0]
    of_edge = edge_scores("wall", full, occluded, 64, 8, 3)[0]

    assert len({*np.round(each, 9).ravel().tolist()}) == 2 * len(pair_seeds(3))
    assert not set(pair_seeds(3)) & set(pair_seeds(4))
    assert of_wall["into occluded, null"].score == pytest.approx(np.mean(each[0]))
    assert of_edge["null, wall"].score == pytest.approx(np.mean(each))
    assert of_edge["null, wall"].score < 0 < of_edge["R2, wall"].score


def test_a_collapsed_agent_has_no_agreement():
    full, empty = planted_agent("full", range(6), 1), planted_agent("empty", [], 2)

    assert agreement(full, empty, 8, 0).score == agreement(empty, full, 8, 0).score == 0
    assert wall_scores(empty, empty, 2, 8, 0)[0]["shared"].score == 0


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 135, 180])
def test_a_view_from_behind_the_wall_equals_the_view_of_a_scene_without_the_object(degrees):
    pose, state = pose_at(RingConfig(), degrees), SCENE.state(7)
    all_objects, fewer = (build_renderer(replace(SCENE.config, objects=count)) for count in (3, 2))
    left = replace(state, positions=state.positions[:2], yaws=state.yaws[:2], identities=state.identities[:2])

    assert np.array_equal(WallRenderer(all_objects, (2,)).render(state, pose), fewer.render(left, pose))
    assert not np.array_equal(all_objects.render(state, pose), fewer.render(left, pose))


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 135, 180])
def test_the_angle_between_cameras_is_the_separation(degrees):
    directions = [camera_axes(pose_at(RingConfig(), each))[2] * [1, 0, 1] for each in (0, degrees)]

    cosine = directions[0] @ directions[1] / np.prod([np.linalg.norm(each) for each in directions])
    assert cosine == pytest.approx(math.cos(math.radians(degrees)))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_camera_pose_of_the_full_run_is_valid(condition):
    views = list_views(condition, Settings())

    assert len({view.name for view in views}) == len(views)
    for view in views:
        SCENE.check_pose(view.pose)


@pytest.mark.parametrize(
    "override",
    ["hidden_object=2", "hidden_object=-1", "setup.scene.objects=1", "separations=[]", "separations=[190]",
     "camera_angle=200", "few_pairs=33", "few_pairs=0", "pairs=1000", "overlap_ticks=0"],
)  # fmt: skip
def test_settings_that_compare_nothing_are_refused(override):
    with pytest.raises(ValueError, match=override.split("=")[0].split(".")[-1]):
        quick_settings(override)


def test_both_conditions_run_and_equal_seeds_give_equal_scores():
    tiny = quick_settings(*TINY)
    found = {(condition, 0): run(condition, 0, tiny, discard) for condition in CONDITIONS}
    again = run("cameras", 0, tiny, discard)

    for name, score in again.scores.items():
        assert np.array_equal(score.values, found["cameras", 0].scores[name].values), name
    results = Results(found, [0])
    metrics = EXPERIMENT.metrics(results, tiny)
    groups = [metric.group for metric in metrics]
    goals = [metric for metric in metrics if metric.threshold and not metric.self_test]
    assert groups.count("thresholds") == len(goals) == 3
    assert all(math.isfinite(metric.estimate.value) for metric in metrics)
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, tiny))
    for figure in stored_plots(EXPERIMENT, results, tiny).values():
        figure.canvas.draw()

"""Laws of the scant-overlap experiment: overlaps are those stated, and a shift in time leaves nothing."""

import numpy as np
import pytest
import torch

from env.depth import seen_surfaces
from env.renderers.build import build_renderer
from env.scene import Scene
from social_jepa.experiments.common.edges import Embeddings, Pairing, edges_between
from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.registry import build_settings
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.scant_overlap.layout import (
    LEVELS,
    PRIVATE,
    SHARED_FACTORS,
    Layout,
    seen_factors,
)
from social_jepa.experiments.scant_overlap.metrics import DECIDING, make_metrics, make_notes
from social_jepa.experiments.scant_overlap.run import EXPERIMENT, run
from social_jepa.experiments.scant_overlap.scores import overlap_scores, roll_embeddings
from social_jepa.experiments.scant_overlap.settings import Settings
from tests.support.stored_plots import stored_plots

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
        "overlap_ticks=3",
        "points_per_edge=2",
    ],
)
TICKS = range(0, 400, 10)


def discard(text):
    del text


def scene_of(level, settings=None, seed=100):
    return Scene((settings or Settings()).setup_of(level).scene, seed)


@pytest.mark.parametrize("name", LEVELS)
def test_the_overlap_of_a_level_is_the_one_it_states(name):
    level = LEVELS[name]
    scores = overlap_scores(scene_of(level, TINY), Layout().poses(level), TICKS, 6)

    assert name == f"overlap {level.overlap:g}"
    assert scores["surface overlap"].score == pytest.approx(level.overlap, abs=0.02)
    assert scores["surface overlap of one camera"].score >= scores["surface overlap"].score


@pytest.mark.parametrize("name", LEVELS)
def test_a_camera_sees_its_boxes_unless_one_hides_another_and_never_the_private_one_of_the_other(name):
    level = LEVELS[name]
    scene = scene_of(level)
    for camera, pose in enumerate(Layout().poses(level)):
        shares = [seen_surfaces(scene.config, scene.state(tick), pose, 4).mean(1) for tick in TICKS]
        own = sorted({*range(4)} - {PRIVATE[1 - camera]})

        assert (np.mean(shares, axis=0)[own] > 0.2).all()
        assert ((np.array(shares)[:, own] > 0).mean(0) > (0.99 if level.high else 0.95)).all()
        assert not np.array(shares)[:, PRIVATE[1 - camera]].any()


@pytest.mark.parametrize("name", ["overlap 0.4", "overlap 0"])
def test_the_picture_of_a_camera_depends_on_the_factors_that_it_is_said_to_see(name):
    level = LEVELS[name]
    scene = scene_of(level)
    with_boxes = build_renderer(scene.config)
    for camera, pose in enumerate(Layout().poses(level)):
        seen = set()
        for column in range(2 * scene.config.objects):
            factors = scene.factors(np.array([3]))[0]
            moved = factors.copy()
            moved[column] = -factors[column] + 1.5
            pictures = [
                with_boxes.render(scene.state_from_factors(3, each), pose, None) for each in (factors, moved)
            ]
            if not np.array_equal(*pictures):
                seen.add(column)
        assert seen == set(seen_factors(camera))
    with_boxes.close()


def test_levels_differ_by_height_and_turn_alone():
    layout = Layout()
    for level in LEVELS.values():
        first, second = layout.poses(level)
        assert (first.x, first.z) == pytest.approx((-second.x, -second.z))
        assert np.hypot(first.x, first.z) == pytest.approx(layout.radius)
        centers = np.array(layout.areas(level.turn))[:, :2]
        same = np.array(layout.areas(0.0))[:, :2]
        assert np.linalg.norm(centers[:, None] - centers, axis=2) == pytest.approx(
            np.linalg.norm(same[:, None] - same, axis=2)
        )


def planted(rows=256, noise=0.1):
    """Two agents whose cores are rotations of the same factors."""
    rng, agents = np.random.default_rng(5), []
    common = [rng.standard_normal((rows, 4)) for _ in range(2)]
    for _ in range(2):
        rotation = np.linalg.qr(rng.standard_normal((4, 4)))[0]
        pools = [(z + noise * rng.standard_normal(z.shape)) @ rotation for z in common]
        agents.append(Embeddings(*map(torch.from_numpy, pools), core_dim=4))
    return agents


def test_a_shift_in_time_leaves_nothing_in_common():
    first, second = planted()
    pairing = Pairing(anchors=256, heldout=256, memory_rows=4)

    assert [edge.shared_dim for edge in edges_between([first, second], pairing)] == [4, 4]
    shifted = roll_embeddings(second)
    assert [edge.shared_dim for edge in edges_between([first, shifted], pairing)] == [0, 0]
    assert torch.equal(shifted.heldout.sort(0).values, second.heldout.sort(0).values)


@pytest.mark.parametrize(
    "change",
    [
        "setup.scene.objects=3",
        "setup.model.dim=5",
        "overlap_ticks=0",
        "points_per_edge=0",
        "setup.negotiation.pool_ticks=100",
    ],
)
def test_settings_that_compare_nothing_are_refused(change):
    with pytest.raises(ValueError, match=change.partition("=")[0].rpartition(".")[2]):
        build_settings(EXPERIMENT, True, [change])


def test_a_layout_whose_cameras_see_no_object_is_refused():
    with pytest.raises(ValueError, match="sees nothing"):
        build_settings(EXPERIMENT, True, ["layout.pan=170"])


@pytest.fixture(scope="module")
def tiny_results():
    return Results({(name, 0): run(name, 0, TINY, discard) for name in EXPERIMENT.conditions(TINY)}, [0])


def test_all_conditions_run_and_equal_arguments_give_equal_results(tiny_results):
    again, before = run(DECIDING, 0, TINY, discard), tiny_results.condition_results[DECIDING, 0]
    assert again.arrays.keys() == before.arrays.keys()
    for key, array in again.arrays.items():
        assert np.array_equal(array, before.arrays[key])
    for key, score in again.scores.items():
        assert np.array_equal(score.values, before.scores[key].values)
    assert before.flops > 0
    metrics = make_metrics(tiny_results, TINY)
    assert all(np.isfinite(metric.estimate.value) for metric in metrics)
    assert len({(metric.group, metric.name) for metric in metrics}) == len(metrics)
    assert all(isinstance(note, str) and note for note in make_notes(tiny_results, TINY))
    for figure in stored_plots(EXPERIMENT, tiny_results, TINY).values():
        figure.canvas.draw()


def planted_result(r2, every, baseline=0.1):
    names = ("R2 shared", "R2 of all", "shared dim", "exact", "weakest shared correlation", "core dim",
             "null correlation", "state R2", "state R2, shuffled", "surface overlap", "pixel overlap",
             "surface overlap of one camera")  # fmt: skip
    scores = dict.fromkeys(names, 0.5) | {"R2 shared": r2, "R2 of all": every}
    scores |= {f"shifted, {name}": 0.0 for name in names}
    scores |= {baseline_name(method, name): baseline for method in METHODS for name in names}
    return ConditionResult({name: Score.single(value) for name, value in scores.items()})


def test_thresholds_follow_from_the_scores_at_a_tenth_alone():
    deciding = {1: (0.95, 0.95), 2: (0.93, 0.7), 3: (0.94, 0.94)}
    results = Results(
        {
            (name, seed): planted_result(*(found if name == DECIDING else (0.2, 0.2)))
            for name in LEVELS
            for seed, found in deciding.items()
        },
        list(deciding),
    )
    metrics = {metric.name: metric for metric in make_metrics(results, TINY) if metric.threshold}

    assert metrics["R2 on the shared subspace, overlap 0.1"].met is True
    assert metrics["R2 of all shared factors, missing directions unexplained, overlap 0.1"].met is None
    assert metrics["R2 of all shared factors minus the best baseline, overlap 0.1"].met is True
    assert len(metrics) == 3
    assert SHARED_FACTORS == [0, 1, 2, 3]

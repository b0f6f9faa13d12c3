"""The batch renderer draws what MiniWorld draws, and what an independent ray caster sees."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.inverter import ssim
from env.appearance import OBJECT_COLORS
from env.camera import Pose, RingConfig, ring_pose
from env.depth import depth_map
from env.interior_walls import InteriorWallsConfig
from env.recording import Recorder
from env.renderers.batch import KEPT_VIEWS, BatchRenderer
from env.renderers.batch_room import view_room
from env.renderers.build import build_renderer
from env.scene import BodyEvent, Scene, SceneConfig

SIZE = 64
CONFIG = SceneConfig(renderer="batch", frame_size=SIZE)
RENDERER = BatchRenderer(CONFIG)
POSE = ring_pose(0, RingConfig())
LOW = Pose(4.8, 0.5, 0.0, 180, 0)  # looks level, below the tops of objects
AWAY = (-50.0, 0.0)
WALLS = {
    "interior_walls": InteriorWallsConfig(((-2.0, -3.0, -2.0, 3.0),)),
    "object_areas": ((1.0, 0.0, 1.5, 2.5), (1.0, 0.0, 1.5, 2.5), (-3.0, 0.0, 0.2, 2.5)),
}
# Settings, cameras, and least structural similarity with MiniWorld, in the mean over frames and of each.
WORLDS = {
    "default": ({}, RingConfig(), 0.985, 0.97),
    "low cameras, which see each other": ({}, RingConfig(height=1.2, pitch=-8), 0.985, 0.97),
    "twelve objects": ({"objects": 12}, RingConfig(height=2.0, pitch=-15), 0.97, 0.93),
    "walls": (WALLS, RingConfig(height=1.6, pitch=-12), 0.985, 0.97),
}


def state_with(*positions):
    state = Scene(CONFIG, 0).state(0)
    return replace(state, positions=np.array(positions, dtype=float))


@pytest.mark.gl
@pytest.mark.parametrize("world", WORLDS)
def test_frames_are_similar_to_those_of_miniworld(world):
    settings, ring, least_mean, least = WORLDS[world]
    poses = [ring_pose(k, ring) for k in range(4)]
    events = [BodyEvent(0, f"agent-{k}", pose) for k, pose in enumerate(poses)]
    frames = []
    for name in ("miniworld", "batch"):
        config = SceneConfig(renderer=name, **settings)
        renderer = build_renderer(config)
        recorders = [Recorder(Scene(config, 7, events), renderer, poses[k], f"agent-{k}") for k in range(3)]
        frames.append(np.concatenate([each.record(range(0, 4000, 100)).frames for each in recorders]) / 255)
        renderer.close()

    similarity = ssim(*frames)
    assert similarity.mean() >= least_mean
    assert similarity.min() >= least
    assert np.abs(frames[0] - frames[1]).mean() * 255 < 1


def test_every_pixel_inside_an_object_has_its_color_where_a_ray_caster_sees_it():
    scene = Scene(CONFIG, 3)
    inner = wrong = 0
    for tick in range(20):
        state, pose = scene.state(tick), ring_pose(tick, RingConfig(height=1.5, pitch=-15))
        labels = depth_map(CONFIG, state, pose, SIZE).labels
        around = np.stack([np.roll(labels, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)])
        alone = (around == labels).all(0)[1:-1, 1:-1]
        frame = RENDERER.render(state, pose)[1:-1, 1:-1]
        for index in range(CONFIG.objects):
            colors = frame[alone & (labels[1:-1, 1:-1] == index)]
            dark, bright = (np.array(OBJECT_COLORS[index]) * 255 * light for light in (0.64, 1.01))
            inner += len(colors)
            wrong += (~((colors >= dark) & (colors <= bright)).all(-1)).sum()
    assert inner > 1000
    assert wrong < 0.005 * inner  # slivers of another object between the centers of pixels


def test_an_object_behind_another_is_not_seen():
    alone = RENDERER.render(state_with((2.0, 0.0), AWAY, AWAY), LOW)
    hidden = RENDERER.render(state_with((2.0, 0.0), (-2.0, 0.0), AWAY), LOW)
    beside = RENDERER.render(state_with((2.0, 0.0), (-2.0, 2.5), AWAY), LOW)
    assert (hidden == alone).all()
    assert (beside != alone).any()


def test_an_object_behind_an_interior_wall_is_not_seen():
    config = replace(CONFIG, **WALLS)
    renderer = BatchRenderer(config)
    wall = renderer.render(state_with(AWAY, AWAY, AWAY), LOW)
    assert (renderer.render(state_with(AWAY, AWAY, (-3.0, 0.0)), LOW) == wall).all()
    assert (renderer.render(state_with((1.0, 0.0), AWAY, AWAY), LOW) != wall).any()


def test_an_object_outside_the_view_leaves_the_picture_unchanged():
    before = RENDERER.render(state_with((0, 0), (0, 1.5), AWAY), POSE)
    behind = RENDERER.render(state_with((0, 0), (0, 1.5), (9.0, 0.0)), POSE)
    aside = RENDERER.render(state_with((0, 0), (0, 1.5), (0.0, 30.0)), POSE)
    assert (before == behind).all()
    assert (before == aside).all()


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turning_camera_and_objects_together_leaves_their_outlines_unchanged(turn):
    def outline(angle):
        cos, sin = np.cos(np.radians(angle)).round(), np.sin(np.radians(angle)).round()
        pose = replace(POSE, x=4.8 * cos, z=-4.8 * sin, yaw=180.0 + angle)
        places = [(x * cos + z * sin, z * cos - x * sin) for x, z in ((1.0, 0.5), (-1.2, 1.0), (0.3, -2.0))]
        empty = RENDERER.render(state_with(AWAY, AWAY, AWAY), pose).astype(int)
        return (np.abs(RENDERER.render(state_with(*places), pose) - empty) > 40).any(-1)

    assert outline(0).sum() > 200
    assert (outline(0) != outline(turn)).sum() <= 2  # pixels on an edge, by rounding


def test_moving_camera_and_objects_by_whole_tiles_changes_nothing_but_rounding():
    renderer = BatchRenderer(replace(CONFIG, room_size=40.0))
    places = np.array([(1.0, 0.5), (-1.2, 1.0), (0.3, -2.0)])
    steep = replace(POSE, pitch=-60.0)  # sees no wall
    here = renderer.render(state_with(*places), steep).astype(int)
    moved = places + np.array([3.0, -2.0])
    there = renderer.render(state_with(*moved), replace(steep, x=POSE.x + 3, z=POSE.z - 2))
    assert np.abs(here - there).max() <= 2


def test_objects_that_pass_through_each_other_are_cut_where_their_surfaces_meet():
    """Of two boxes, the one that reaches farther towards the camera hides the other, whatever their order."""
    for positions, front in ((((0.3, 0.0), (0.0, 0.0)), 0), (((0.0, 0.0), (0.3, 0.0)), 1)):
        frame = RENDERER.render(state_with(*positions, AWAY), LOW).astype(int)
        row = frame[SIZE // 2 + 5, SIZE // 2 - 3 : SIZE // 2 + 3]
        assert (row[:, front] > 100).all()
        assert (row[:, 1 - front] < 10).all()


def test_a_camera_inside_the_body_of_another_peer_sees_through_it():
    scene = Scene(CONFIG, 0, [BodyEvent(1, "peer", POSE)])
    state = scene.state(1)
    assert (RENDERER.render(state, POSE, "me") == RENDERER.render(replace(state, bodies=()), POSE)).all()


def test_the_number_of_threads_changes_nothing():
    recorder = Recorder(Scene(CONFIG, 0), RENDERER, POSE)
    threads = torch.get_num_threads()
    found = []
    for count in (1, 3):
        torch.set_num_threads(count)
        found.append(recorder.record(range(300)).frames)
    torch.set_num_threads(threads)
    assert (found[0] == found[1]).all()


def test_shapes_that_it_cannot_draw_are_refused_with_a_renderer_that_can():
    with pytest.raises(
        ValueError, match="renderer batch are box; got 'ball'; set renderer to miniworld for it"
    ):
        SceneConfig(renderer="batch", shapes=("ball",))


@pytest.mark.gpu
def test_frames_of_a_gpu_are_those_of_the_cpu_but_for_rounding():
    """Rounding moves an edge past a sample here and there: a quarter of one pixel's color."""
    states, viewers = Scene(CONFIG, 0).states(np.arange(40)), [None] * 40
    poses = [ring_pose(tick % 4, RingConfig(height=1.6, pitch=-12)) for tick in range(40)]
    drawn = BatchRenderer(CONFIG, "cuda").render_tensor(states, poses, viewers)
    assert drawn.device.type == "cuda"
    found, expected = drawn.cpu().numpy().astype(int), RENDERER.render_many(states, poses, viewers)
    differences = np.abs(found - expected)
    assert (differences > 2).any(-1).mean() < 1e-3
    assert differences.mean() < 0.05


def test_a_camera_that_stands_among_moving_ones_has_its_room_cast_once(monkeypatch):
    cast = Counter()

    def count(config, pose, device):
        cast[pose] += 1
        return view_room(config, pose, device)

    monkeypatch.setattr("env.renderers.batch.view_room", count)
    renderer = BatchRenderer(replace(CONFIG, frame_size=16))
    state, others = state_with(AWAY, AWAY, AWAY), [replace(POSE, x=k / 100) for k in range(KEPT_VIEWS + 5)]
    for pose in others:
        renderer.render(state, POSE)
        renderer.render(state, pose)
    assert cast[POSE] == 1

    renderer.render(state, others[0])
    assert cast[others[0]] == 2  # not used for longest, so that it was dropped

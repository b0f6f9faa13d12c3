"""Laws of the ray caster: distances, what hides what, and that it sees what MiniWorld draws."""

import math
from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose
from env.depth import FLOOR, NOTHING, WALL, depth_map, overlap
from env.renderers.base import build_renderer
from env.scene import Scene, SceneConfig

CONFIG = SceneConfig(renderer="toy", objects=2, bodies=False)
AWAY = (3.0, -3.0)


def state_with(*places):
    state = Scene(CONFIG, 0).state(0)
    return replace(state, positions=np.array(places, dtype=float))


def middle(pose, *places):
    """What the only pixel of a picture shows, straight ahead."""
    return depth_map(CONFIG, state_with(*places), pose, 1)


@pytest.mark.parametrize(
    ("pose", "distance", "thing"),
    [
        (Pose(0.0, 3.0, 0.0, 0.0, -45.0), 3 * math.sqrt(2), FLOOR),
        (Pose(4.8, 0.45, 0.0, 180.0, 0.0), 4.8 - 0.45, 0),
        (Pose(0.0, 0.3, -2.0, 0.0, 0.0), 4.0, WALL),
        (Pose(0.0, 3.0, -2.0, 0.0, 10.0), math.inf, NOTHING),
    ],
)
def test_the_middle_of_a_picture_shows_what_stands_ahead(pose, distance, thing):
    shown = middle(pose, (0.0, 0.0), AWAY)

    assert shown.distances[0, 0] == pytest.approx(distance)
    assert shown.things[0, 0] == thing
    assert np.isfinite(shown.points).all() == (thing != NOTHING)


def test_a_camera_outside_looks_through_the_near_wall():
    assert middle(Pose(4.8, 0.3, 2.0, 180.0, 0.0), (0.0, 0.0), AWAY).distances[0, 0] == pytest.approx(8.8)


def test_the_nearer_box_hides_the_other():
    pose = Pose(4.8, 0.45, 0.0, 180.0, 0.0)

    assert middle(pose, (0.0, 0.0), (2.0, 0.0)).things[0, 0] == 1
    assert middle(pose, (2.0, 0.0), (0.0, 0.0)).things[0, 0] == 0


def test_equal_poses_see_the_same():
    scene, pose = Scene(CONFIG, 3), ring_pose(0, RingConfig())

    for tick in range(5):
        found = overlap(CONFIG, scene.state(tick), pose, pose, 32)
        assert found.pixels == 1
        assert found.surface == 1


def test_back_to_back_nothing_is_shared():
    poses = [Pose(0.0, 2.0, 0.0, yaw, -20.0) for yaw in (0.0, 180.0)]

    assert overlap(CONFIG, state_with((3.0, 0.0), AWAY), *poses, 32).pixels == 0


def test_opposite_cameras_below_the_tops_share_no_surface_of_what_stands_between_them():
    """Each sees the faces that are turned to it; the floor around them is seen by both."""
    poses = [ring_pose(index, RingConfig(height=0.7, pitch=-5.0, separation=180.0)) for index in (0, 1)]

    found = overlap(CONFIG, state_with((0.0, 0.0), (2.0, 0.0)), *poses, 64)

    assert found.surface == 0
    assert found.pixels > 0.2


def test_a_box_in_front_of_the_other_camera_takes_overlap_away():
    ring = RingConfig(height=1.0, pitch=-10.0, separation=30.0)
    near, far = (ring_pose(index, ring) for index in (0, 1))
    aside, between = (-3.0, 3.0), (far.x * 0.8, far.z * 0.8)

    free, hidden = (
        overlap(CONFIG, state_with((0.0, 0.0), place), near, far, 32) for place in (aside, between)
    )

    assert hidden.surface < free.surface / 2
    assert hidden.pixels < free.pixels


def test_without_an_object_in_sight_there_is_no_surface():
    found = overlap(CONFIG, state_with((-3.0, 0.0), (-3.0, 1.0)), *[Pose(0.0, 2.0, 0.0, 0.0, -30.0)] * 2, 16)

    assert math.isnan(found.surface)
    assert found.pixels == 1


def test_turned_boxes_are_refused():
    state = replace(state_with(AWAY, AWAY), yaws=np.array([0.0, 30.0]))

    with pytest.raises(ValueError, match="stand straight"):
        depth_map(CONFIG, state, ring_pose(0, RingConfig()), 8)


@pytest.mark.gl
def test_rays_hit_what_miniworld_draws():
    config = SceneConfig(bodies=False)
    scene, renderer = Scene(config, 4), build_renderer(config)
    poses = [ring_pose(1, RingConfig()), ring_pose(2, RingConfig(height=5.0, pitch=-48.0, fov=90.0))]
    agreed = []
    try:
        for tick in range(5):
            state = scene.state(40 * tick)
            for pose in poses:
                frame = renderer.render(state, pose).astype(int)
                drawn = np.where(
                    np.ptp(frame, axis=-1) > 60, frame.argmax(-1), FLOOR
                )  # colours: red, green, blue
                agreed.append(drawn == np.maximum(depth_map(config, state, pose, 64).things, FLOOR))
    finally:
        renderer.close()

    assert np.mean(agreed) > 0.99  # smoothed edges are neither

"""Ray casting: distances, occlusion, overlap, and agreement with MiniWorld."""

import math
from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose
from env.depth import EMPTY, FLOOR, WALL, depth_map, overlap, seen_surfaces
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig

CONFIG = SceneConfig(renderer="toy", objects=2, bodies=False)
ASIDE = (3.0, -3.0)


def state_with(*places):
    state = Scene(CONFIG, 0).state(0)
    return replace(state, positions=np.array(places, dtype=float))


def center_pixel(pose, *places):
    """Return the depth map of a single pixel, straight ahead."""
    return depth_map(CONFIG, state_with(*places), pose, 1)


@pytest.mark.parametrize(
    ("pose", "distance", "label"),
    [
        (Pose(0.0, 3.0, 0.0, 0.0, -45.0), 3 * math.sqrt(2), FLOOR),
        (Pose(4.8, 0.45, 0.0, 180.0, 0.0), 4.8 - 0.45, 0),
        (Pose(0.0, 0.3, -2.0, 0.0, 0.0), 4.0, WALL),
        (Pose(0.0, 3.0, -2.0, 0.0, 10.0), math.inf, EMPTY),
    ],
)
def test_the_center_pixel_shows_what_is_straight_ahead(pose, distance, label):
    depth = center_pixel(pose, (0.0, 0.0), ASIDE)

    assert depth.distances[0, 0] == pytest.approx(distance)
    assert depth.labels[0, 0] == label
    assert np.isfinite(depth.points).all() == (label != EMPTY)


def test_a_camera_outside_looks_through_the_near_wall():
    assert center_pixel(Pose(4.8, 0.3, 2.0, 180.0, 0.0), (0.0, 0.0), ASIDE).distances[0, 0] == pytest.approx(
        8.8
    )


def test_the_nearer_box_occludes_the_other():
    pose = Pose(4.8, 0.45, 0.0, 180.0, 0.0)

    assert center_pixel(pose, (0.0, 0.0), (2.0, 0.0)).labels[0, 0] == 1
    assert center_pixel(pose, (2.0, 0.0), (0.0, 0.0)).labels[0, 0] == 0


def test_equal_poses_overlap_completely():
    scene, pose = Scene(CONFIG, 3), ring_pose(0, RingConfig())

    for tick in range(5):
        found = overlap(CONFIG, scene.state(tick), pose, pose, 32)
        assert found.pixels == 1
        assert found.surface == 1


def test_cameras_back_to_back_have_no_overlap():
    poses = [Pose(0.0, 2.0, 0.0, yaw, -20.0) for yaw in (0.0, 180.0)]

    assert overlap(CONFIG, state_with((3.0, 0.0), ASIDE), *poses, 32).pixels == 0


def test_opposite_low_cameras_share_no_surface_of_objects_between_them():
    """Each sees the faces towards it; both see the floor around the objects."""
    poses = [ring_pose(index, RingConfig(height=0.7, pitch=-5.0, separation=180.0)) for index in (0, 1)]

    found = overlap(CONFIG, state_with((0.0, 0.0), (2.0, 0.0)), *poses, 64)

    assert found.surface == 0
    assert found.pixels > 0.2


def test_a_box_in_front_of_the_other_camera_reduces_the_overlap():
    ring = RingConfig(height=1.0, pitch=-10.0, separation=30.0)
    near, far = (ring_pose(index, ring) for index in (0, 1))
    aside, between = (-3.0, 3.0), (far.x * 0.8, far.z * 0.8)

    free, occluded = (
        overlap(CONFIG, state_with((0.0, 0.0), place), near, far, 32) for place in (aside, between)
    )

    assert occluded.surface < free.surface / 2
    assert occluded.pixels < free.pixels


def test_without_a_visible_object_the_surface_overlap_is_nan():
    found = overlap(CONFIG, state_with((-3.0, 0.0), (-3.0, 1.0)), *[Pose(0.0, 2.0, 0.0, 0.0, -30.0)] * 2, 16)

    assert math.isnan(found.surface)
    assert found.pixels == 1


def test_rotated_boxes_are_rejected():
    state = replace(state_with(ASIDE, ASIDE), yaws=np.array([0.0, 30.0]))

    with pytest.raises(ValueError, match="axis-aligned boxes only"):
        depth_map(CONFIG, state, ring_pose(0, RingConfig()), 8)


@pytest.mark.gl
def test_labels_agree_with_the_frames_of_miniworld():
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
                )  # colors: red, green, blue
                agreed.append(drawn == np.maximum(depth_map(config, state, pose, 64).labels, FLOOR))
    finally:
        renderer.close()

    assert np.mean(agreed) > 0.99  # antialiased edges are ambiguous


def test_a_low_camera_sees_the_side_that_faces_it_and_a_high_one_the_top_as_well():
    state = state_with((0.0, 0.0), (3.0, -3.0))
    low, high = Pose(4.8, 0.5, 0.0, 180.0, 0.0), Pose(4.8, 3.2, 0.0, 180.0, -35.0)

    first, second = (seen_surfaces(CONFIG, state, pose, 4)[0] for pose in (low, high))

    assert first.sum() == 16
    assert second.sum() == 2 * 16
    assert (second & first).sum() == 16


def test_opposite_cameras_at_a_corner_share_the_top_alone():
    state = state_with((0.0, 0.0), (3.0, -3.0))
    corner, opposite = (ring_pose(index, RingConfig(separation=45.0)) for index in (1, 5))

    seen = [seen_surfaces(CONFIG, state, pose, 3)[0] for pose in (corner, opposite)]

    assert (seen[0] & seen[1]).sum() == 9
    assert (seen[0] | seen[1]).all()


def test_what_another_box_hides_is_not_seen():
    pose = Pose(4.8, 0.45, 0.0, 180.0, 0.0)
    beside, behind = (state_with((0.0, 0.0), place) for place in (ASIDE, (2.0, 0.0)))

    assert seen_surfaces(CONFIG, beside, pose, 4)[0].any()
    assert not seen_surfaces(CONFIG, behind, pose, 4)[0].any()

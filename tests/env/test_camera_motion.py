from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, camera_axes, ring_pose, turned_pose
from env.camera_motion import CameraMotionConfig, camera_offsets, moved_poses
from env.gym.parallel_scene import ParallelScene
from env.gym.shared_scene import SharedScene
from env.gym.steering import Steering
from env.interior_walls import InteriorWallsConfig
from env.nuisance import HUE, NuisanceConfig, drifts
from env.recording import Recorder
from env.renderers.build import build_renderer
from env.scene import BodyEvent, Scene, SceneConfig
from env.sensors import SensorRecorder, SensorSpec
from env.views import record_views

MOTION = CameraMotionConfig(pan=10.0, tilt=5.0, walk=0.5)
CONFIG = SceneConfig(renderer="toy", frame_size=16, camera_motion=MOTION)
STILL = replace(CONFIG, camera_motion=CameraMotionConfig())
POSE = ring_pose(0, RingConfig())
TICKS = np.arange(20_000)


def test_a_camera_stands_still_by_default():
    assert Scene(SceneConfig(), 0).camera_pose(POSE, "a", 9) is POSE
    assert SceneConfig().decorrelation_ticks == 20


def test_offsets_are_private_bounded_and_have_their_own_rate():
    motion = replace(MOTION, autocorrelation=0.9)
    a, b = (camera_offsets(motion, 0, name, TICKS) for name in "ab")
    assert np.abs(a).max() < 1
    assert np.abs(np.corrcoef(a.T, b.T) - np.eye(8)).max() < 0.1
    assert np.corrcoef(a[1:, 0], a[:-1, 0])[0, 1] == pytest.approx(0.9, abs=0.02)
    assert not np.isclose(a, camera_offsets(motion, 1, "a", TICKS)).any()
    assert (camera_offsets(motion, 0, "a", TICKS[::-7])[::-1] == a[::-1][::7][::-1]).all()


def test_what_has_no_amplitude_does_not_move():
    offsets = camera_offsets(replace(MOTION, tilt=0.0, walk=0.0), 0, "a", TICKS[:50])
    assert (offsets[:, 1:] == 0).all()
    assert (offsets[:, 0] == camera_offsets(MOTION, 0, "a", TICKS[:50])[:, 0]).all()


def test_a_camera_walks_forward_and_left_as_its_pose_faces():
    pose = Pose(1.0, 2.0, -1.0, 30.0, -20.0)
    for tick in range(5):
        pan, tilt, ahead, left = camera_offsets(MOTION, 3, "a", np.array([tick]))[0] * MOTION.amplitudes
        right, _, _ = camera_axes(pose)
        forward = camera_axes(replace(pose, pitch=0.0))[2]
        place = np.array([pose.x, pose.y, pose.z]) + ahead * forward - left * right
        moved = moved_poses(MOTION, 3, "a", pose, np.array([tick]))[0]
        np.testing.assert_allclose([moved.x, moved.y, moved.z], place)
        assert (moved.yaw, moved.pitch) == pytest.approx((30 + pan, -20 + tilt))


def test_actions_add_up_to_where_the_camera_is():
    scene = Scene(CONFIG, 0)
    actions = scene.camera_actions("a", np.arange(30))
    offsets = camera_offsets(MOTION, 0, "a", np.array([0, 30]))
    np.testing.assert_allclose(offsets[0] + actions.sum(0), offsets[1])


@pytest.mark.parametrize("spec", [SensorSpec(), SensorSpec(views=2, controlled_objects=1)])
def test_sensor_data_carries_the_motion_of_the_camera(spec):
    scene = Scene(CONFIG, 0)
    recorder = SensorRecorder(scene, build_renderer(CONFIG), POSE, "a", spec, (0,))
    ticks = np.arange(6).reshape(2, 3)
    found = recorder.sensor_data(ticks).camera_actions
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.reshape(6, 4), scene.camera_actions("a", ticks.ravel()), rtol=1e-6)
    still = SensorRecorder(Scene(STILL, 0), build_renderer(STILL), POSE, "a", spec, (0,))
    assert still.sensor_data(ticks).camera_actions is None


def test_frames_are_those_of_a_still_camera_at_the_moved_pose():
    scene, renderer = Scene(CONFIG, 0), build_renderer(CONFIG)
    recorder = Recorder(scene, renderer, POSE, "a")
    poses = moved_poses(MOTION, 0, "a", POSE, np.arange(4))
    expected = [renderer.render(scene.state(tick), pose, "a") for tick, pose in enumerate(poses)]
    assert (recorder.record(range(4)).frames == np.stack(expected)).all()
    assert (recorder.record([3]).frames[0] == expected[3]).all()


def test_views_turn_away_from_the_moved_camera():
    scene, renderer = Scene(CONFIG, 0), build_renderer(CONFIG)
    moved = moved_poses(MOTION, 0, "a", POSE, np.array([2]))[0]
    recorder = SensorRecorder(scene, renderer, POSE, "a", SensorSpec(views=2), (0,))
    frames, offsets = recorder.record([2]).frames[0], 15 * recorder.offsets(np.array(2)).astype(float)
    found = record_views(Recorder(scene, renderer, POSE, "a"), [2], np.random.default_rng(0), 1)
    for frame, (pan, tilt) in [
        *zip(frames, offsets, strict=True),
        (found.frames[0, 0], 15.0 * found.offsets[0, 0].astype(float)),
    ]:
        expected = renderer.render(scene.state(2), turned_pose(moved, float(pan), float(tilt)), "a")
        assert (frame == expected).all()


def test_environments_move_their_cameras():
    zero, renderer = np.zeros(2, dtype=np.float32), build_renderer(CONFIG)
    for kind in (SharedScene, Steering):
        environment = kind(CONFIG)
        environment.reset(seed=0)
        frame, *_ = environment.step(zero)
        assert (frame != kind(STILL).reset(seed=0)[0]).any()
    shared = SharedScene(CONFIG)
    shared.reset(seed=0)
    frame, _, _, _, info = shared.step(zero)
    assert (
        frame
        == renderer.render(Scene(CONFIG, 0).state(1), moved_poses(MOTION, 0, "", POSE, np.array([1]))[0])
    ).all()
    assert info["view"] == pytest.approx((0, 0), abs=1e-9)
    peers = ParallelScene(CONFIG)
    peers.reset(seed=0)
    frames, *_ = peers.step(dict.fromkeys(peers.agents, zero))
    events = [BodyEvent(0, name, pose) for name, pose in peers.poses.items()]
    state = Scene(CONFIG, 0, events).state(1)
    for name, pose in peers.poses.items():
        assert (
            frames[name] == renderer.render(state, moved_poses(MOTION, 0, name, pose, np.array([1]))[0], name)
        ).all()


def test_a_body_follows_its_camera():
    scene = Scene(CONFIG, 0, [BodyEvent(0, "a", POSE), BodyEvent(5, "b", POSE)])
    for tick in (0, 5, 900):
        for name, pose in scene.state(tick).bodies:
            assert pose == scene.camera_pose(POSE, name, tick) != POSE


def test_motion_of_cameras_changes_neither_objects_nor_the_fingerprint():
    moving, still = Scene(CONFIG, 0), Scene(STILL, 0)
    assert moving.fingerprint == still.fingerprint
    assert (moving.state(7).positions == still.state(7).positions).all()


def test_the_memory_of_the_scene_is_that_of_its_slowest_process():
    assert CONFIG.decorrelation_ticks == 135
    assert replace(CONFIG, autocorrelation=(0.99,)).decorrelation_ticks == 688


def test_private_factors_are_the_drifts_and_offsets_that_are_on():
    config = replace(CONFIG, camera_motion=replace(MOTION, tilt=0.0), nuisance=NuisanceConfig(hue=5.0))
    found = Scene(config, 3).private_factors("a", TICKS[:9])
    assert (found[:, 0] == drifts(config.nuisance, 3, "a", TICKS[:9])[:, HUE]).all()
    assert (found[:, 1:] == camera_offsets(config.camera_motion, 3, "a", TICKS[:9])[:, [0, 2, 3]]).all()
    assert Scene(SceneConfig(), 3).private_factors("a", TICKS[:9]).shape == (9, 0)


def test_a_camera_that_may_walk_into_objects_or_walls_or_tilt_too_far_is_rejected():
    low = Pose(4.2, 0.5, 0.0, 180, 0)
    Scene(STILL, 0).check_pose(low)
    with pytest.raises(ValueError, match=r"lower camera_motion\.walk"):
        Scene(CONFIG, 0).check_pose(low)
    steep = replace(POSE, pitch=-86.0, x=0.0)
    Scene(STILL, 0).check_pose(steep)
    with pytest.raises(ValueError, match="lower it to 3 or less"):
        Scene(CONFIG, 0).check_pose(steep)
    areas = ((2.0, -2.0, 1.0, 1.0),)
    walls = InteriorWallsConfig(((0.0, -4.0, 0.0, 0.2),))
    beside = Pose(-0.5, 1.0, 1.0, 20, 0)
    settings = {"objects": 1, "object_areas": areas, "interior_walls": walls}
    Scene(SceneConfig(**settings), 0).check_pose(replace(beside, z=0.6))
    with pytest.raises(ValueError, match="walks through it"):
        Scene(SceneConfig(**settings, camera_motion=MOTION), 0).check_pose(replace(beside, z=0.6))


@pytest.mark.parametrize(
    ("field", "value"), [("pan", 181.0), ("tilt", -1.0), ("walk", float("nan")), ("autocorrelation", 1.0)]
)
def test_each_invalid_setting_is_rejected_with_its_name(field, value):
    with pytest.raises(ValueError, match=field):
        CameraMotionConfig(**{field: value})

"""Views, actions and targets of a camera with sensors."""

from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose, turned_pose
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig
from env.sensors import REWARD_WIDTH, SensorRecorder, SensorSpec, goal_reward

POSE = ring_pose(0, RingConfig())
CONFIG = SceneConfig(renderer="toy", frame_size=16, objects=2)
SPEC = SensorSpec(views=3, max_view_angle=12.0)


def recorder_of(spec, config=CONFIG, pose=POSE, seed=(0, 0)):
    return SensorRecorder(Scene(config, 4), build_renderer(config), pose, "me", spec, seed)


def test_each_view_has_the_angles_of_its_offset():
    recorder = recorder_of(SPEC)
    offsets = recorder.offsets(np.array([5, 2000]))
    frames = recorder.record([5, 2000]).frames

    assert frames.shape == (2, 3, 16, 16, 3)
    assert recorder.frame_shape == (3, 16, 16, 3)
    for row, tick in enumerate((5, 2000)):
        for view in range(3):
            pan, tilt = (12.0 * offsets[row, view]).tolist()
            frame = recorder.renderer.render(recorder.scene.state(tick), turned_pose(POSE, pan, tilt), "me")
            assert (frames[row, view] == frame).all()


def test_views_of_a_tick_do_not_depend_on_earlier_calls():
    one, other = recorder_of(SPEC), recorder_of(SPEC)
    one.record([1, 2, 3])

    assert (one.render_views(900) == other.render_views(900)).all()
    assert (one.offsets(np.arange(3000))[2500] == other.offsets(np.array(2500))).all()
    assert (one.offsets(np.arange(9).reshape(3, 3)).reshape(9, 3, 2) == one.offsets(np.arange(9))).all()


def test_view_offsets_of_different_seeds_are_independent_and_uniform():
    ticks = np.arange(400)
    one, other = recorder_of(SPEC).offsets(ticks), recorder_of(SPEC, seed=(0, 1)).offsets(ticks)

    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.08
    assert np.abs(one).max() <= 1
    assert one.std() == pytest.approx(3**-0.5, rel=0.05)  # uniform in [-1, 1]


def test_view_actions_lead_from_view_to_view():
    recorder, ticks = recorder_of(SPEC), np.arange(6).reshape(2, 3)
    view_actions, offsets = recorder.sensor_data(ticks).view_actions, recorder.offsets(ticks)

    assert view_actions.shape == (2, 3, 2, 2)
    assert np.allclose(offsets[..., :1, :] + view_actions.cumsum(-2), offsets[..., 1:, :], atol=1e-6)


@pytest.mark.parametrize(
    ("dynamics", "autocorrelation"), [("ornstein_uhlenbeck", (0.9, 0.2, 0.0, 0.7)), ("bounce", (0.7,))]
)
def test_actions_and_factors_determine_the_next_factors(dynamics, autocorrelation):
    config = replace(CONFIG, dynamics=dynamics, autocorrelation=autocorrelation)
    recorder, ticks = recorder_of(SensorSpec(controlled_objects=2), config), np.arange(500)
    actions = recorder.sensor_data(ticks).actions
    now, later = recorder.scene.factors(ticks), recorder.scene.factors(ticks + 1)
    rho = np.array(config.coordinate_autocorrelations)

    following = rho * now + np.sqrt(1 - rho**2) * actions if dynamics != "bounce" else now + actions
    assert np.allclose(following, later, atol=1e-5)


def test_actions_of_ornstein_uhlenbeck_processes_are_white_noise():
    actions = recorder_of(SensorSpec(controlled_objects=1)).sensor_data(np.arange(4000)).actions

    assert actions.shape == (4000, 2)
    assert np.abs(actions.mean(0)).max() < 0.06
    assert np.abs(actions.std(0) - 1).max() < 0.05
    assert abs(np.mean(actions[1:] * actions[:-1])) < 0.05


def test_the_reward_falls_with_the_distance_to_the_goal_and_positions_are_those_of_the_scene():
    ticks = np.arange(300)
    reward = recorder_of(SensorSpec(task="reward")).sensor_data(ticks).targets[:, 0]
    positions = recorder_of(SensorSpec(controlled_objects=2, task="positions")).sensor_data(ticks).targets
    scene = Scene(CONFIG, 4)
    distance = np.linalg.norm(positions[:, :2], axis=1)

    assert np.allclose(positions, scene.unit_positions(scene.factors(ticks)[:, :4]), atol=1e-6)
    assert (np.argsort(-reward) == np.argsort(distance)).all()
    assert goal_reward(np.array([0.0, 0.0])) == 1
    assert goal_reward(np.array([REWARD_WIDTH, 0.0])) == pytest.approx(np.exp(-0.5))


def test_an_empty_spec_gives_single_frames_without_sensor_data():
    recorder = recorder_of(SensorSpec())
    data = recorder.sensor_data(np.arange(4))

    assert recorder.render_views(3).shape == (16, 16, 3)
    assert (data.view_actions, data.actions, data.targets) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": 0}, "views"),
        ({"max_view_angle": 91.0}, "max_view_angle"),
        ({"controlled_objects": -1}, "controlled_objects"),
        ({"task": "fame"}, "task must be one of reward, positions"),
    ],
)
def test_an_invalid_spec_is_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        SensorSpec(**changes)


def test_a_spec_that_the_scene_or_the_pose_cannot_provide_is_rejected_with_the_remedy():
    with pytest.raises(ValueError, match="lower it to 2 or less, or raise scene"):
        recorder_of(SensorSpec(controlled_objects=3))
    with pytest.raises(ValueError, match="lower max_view_angle to 9 or less, or level the camera"):
        recorder_of(SPEC, pose=Pose(2.0, 3.2, 0, 180, -80))

"""A camera that looks about and feels: equal ticks give equal looks, and senses tell what moves the scene."""

from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose, turned_pose
from env.dynamics import unit_positions
from env.renderers.base import build_renderer
from env.scene import Scene, SceneConfig
from env.sensors import GOAL_WIDTH, SensorRecorder, SensorSpec, nearness

POSE = ring_pose(0, RingConfig())
CONFIG = SceneConfig(renderer="toy", frame_size=16, objects=2)
LOOKING = SensorSpec(views=3, max_view_angle=12.0)


def recorder_of(needs, config=CONFIG, pose=POSE, words=(0, 0)):
    return SensorRecorder(Scene(config, 4), build_renderer(config), pose, "me", needs, words)


def test_each_look_is_the_glance_that_its_offset_names():
    recorder = recorder_of(LOOKING)
    offsets = recorder.offsets(np.array([5, 2000]))
    frames = recorder.record([5, 2000]).frames

    assert frames.shape == (2, 3, 16, 16, 3)
    assert recorder.frame_shape == (3, 16, 16, 3)
    for row, tick in enumerate((5, 2000)):
        for look in range(3):
            pan, tilt = (12.0 * offsets[row, look]).tolist()
            seen = recorder.renderer.render(recorder.scene.state(tick), turned_pose(POSE, pan, tilt), "me")
            assert (frames[row, look] == seen).all()


def test_a_tick_is_looked_at_in_the_same_way_whatever_was_asked_before():
    one, other = recorder_of(LOOKING), recorder_of(LOOKING)
    one.record([1, 2, 3])

    assert (one.render_views(900) == other.render_views(900)).all()
    assert (one.offsets(np.arange(3000))[2500] == other.offsets(np.array(2500))).all()
    assert (one.offsets(np.arange(9).reshape(3, 3)).reshape(9, 3, 2) == one.offsets(np.arange(9))).all()


def test_cameras_of_other_words_look_elsewhere():
    ticks = np.arange(400)
    one, other = recorder_of(LOOKING).offsets(ticks), recorder_of(LOOKING, words=(0, 1)).offsets(ticks)

    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.08
    assert np.abs(one).max() <= 1
    assert one.std() == pytest.approx(3**-0.5, rel=0.05)  # uniform in [-1, 1]


def test_turns_lead_from_look_to_look():
    recorder, ticks = recorder_of(LOOKING), np.arange(6).reshape(2, 3)
    turns, offsets = recorder.sensor_data(ticks).view_actions, recorder.offsets(ticks)

    assert turns.shape == (2, 3, 2, 2)
    assert np.allclose(offsets[..., :1, :] + turns.cumsum(-2), offsets[..., 1:, :], atol=1e-6)


@pytest.mark.parametrize(
    ("dynamics", "rate"), [("ornstein_uhlenbeck", (0.9, 0.2, 0.0, 0.7)), ("bounce", (0.7,))]
)
def test_pushes_and_where_things_are_tell_where_they_will_be(dynamics, rate):
    config = replace(CONFIG, dynamics=dynamics, autocorrelation=rate)
    recorder, ticks = recorder_of(SensorSpec(controlled_objects=2), config), np.arange(500)
    pushes = recorder.sensor_data(ticks).actions
    now, later = recorder.scene.factors(ticks), recorder.scene.factors(ticks + 1)
    rates = np.array(config.coordinate_autocorrelations)

    led_to = rates * now + np.sqrt(1 - rates**2) * pushes if dynamics != "bounce" else now + pushes
    assert np.allclose(led_to, later, atol=1e-5)


def test_pushes_of_a_random_walk_are_white():
    pushes = recorder_of(SensorSpec(controlled_objects=1)).sensor_data(np.arange(4000)).actions

    assert pushes.shape == (4000, 2)
    assert np.abs(pushes.mean(0)).max() < 0.06
    assert np.abs(pushes.std(0) - 1).max() < 0.05
    assert abs(np.mean(pushes[1:] * pushes[:-1])) < 0.05


def test_the_reward_is_highest_at_the_goal_and_positions_are_what_they_are():
    ticks = np.arange(300)
    reward = recorder_of(SensorSpec(task="reward")).sensor_data(ticks).targets[:, 0]
    positions = recorder_of(SensorSpec(controlled_objects=2, task="positions")).sensor_data(ticks).targets
    factors = Scene(CONFIG, 4).factors(ticks)
    distance = np.linalg.norm(positions[:, :2], axis=1)

    assert np.allclose(positions, unit_positions(CONFIG.dynamics, factors, CONFIG.tanh_gain), atol=1e-6)
    assert (np.argsort(-reward) == np.argsort(distance)).all()
    assert nearness(np.array([0.0, 0.0])) == 1
    assert nearness(np.array([GOAL_WIDTH, 0.0])) == pytest.approx(np.exp(-0.5))


def test_who_needs_nothing_sees_and_knows_what_a_plain_camera_does():
    recorder = recorder_of(SensorSpec())
    senses = recorder.sensor_data(np.arange(4))

    assert recorder.render_views(3).shape == (16, 16, 3)
    assert (senses.view_actions, senses.actions, senses.targets) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"views": 0}, "views"),
        ({"max_view_angle": 91.0}, "max_view_angle"),
        ({"controlled_objects": -1}, "controlled_objects"),
        ({"task": "fame"}, "task must be one of reward, positions"),
    ],
)
def test_needs_that_no_camera_meets_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        SensorSpec(**changes)


def test_what_a_scene_or_a_pose_cannot_give_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="lower it to 2 or less, or raise scene"):
        recorder_of(SensorSpec(controlled_objects=3))
    with pytest.raises(ValueError, match="lower max_view_angle to 9 or less, or level the camera"):
        recorder_of(LOOKING, pose=Pose(2.0, 3.2, 0, 180, -80))

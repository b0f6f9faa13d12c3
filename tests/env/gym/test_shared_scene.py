from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import env  # noqa: F401 - registers the environment
from env.camera import Pose, RingConfig, ring_pose, turned_pose
from env.gym.shared_scene import SharedScene
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig

NAME = "SocialJEPA/SharedScene-v0"
TOY = SceneConfig(renderer="toy", frame_size=16)


@pytest.mark.parametrize("renderer", ["toy", pytest.param("miniworld", marks=pytest.mark.gl)])
@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_the_environment_passes_the_gymnasium_checker(renderer, render_mode):
    config = SceneConfig(renderer=renderer, frame_size=16)
    with gymnasium.make(NAME, config=config, render_mode=render_mode) as made:
        check_env(made.unwrapped)


def test_a_seeded_episode_replays_the_scene_of_that_seed():
    shared, renderer, pose = (
        SharedScene(TOY, max_view_angle=10),
        build_renderer(TOY),
        ring_pose(0, RingConfig()),
    )
    first, info = shared.reset(seed=7)
    assert info == {"tick": 0, "view": (0.0, 0.0)}
    assert (first == renderer.render(Scene(TOY, 7).state(0), pose)).all()
    frame, reward, terminated, truncated, info = shared.step(np.array([0.5, -1.0]))
    assert (reward, terminated, truncated, info) == (
        0.0,
        False,
        False,
        {"tick": 1, "view": (5.0, -10.0)},
    )
    assert (frame == renderer.render(Scene(TOY, 7).state(1), turned_pose(pose, 5, -10))).all()
    shared.close()


def test_an_action_is_relative_to_the_pose_and_not_to_the_previous_view():
    shared = SharedScene(replace(TOY, dynamics="static"), pose=Pose(4.8, 3.2, 0, 175, -35), max_view_angle=10)
    ahead = shared.reset(seed=0)[0]
    left, _, _, _, first = shared.step(np.array([1.0, 0.5]))
    again, _, _, _, second = shared.step(np.array([1.0, 0.5]))
    assert first["view"] == second["view"] == (10.0, 5.0)
    assert (left == again).all()
    assert (shared.step(np.zeros(2))[0] == ahead).all()
    shared.close()


def test_the_info_of_a_clipped_view_has_its_actual_angles():
    shared = SharedScene(TOY, pose=Pose(2.0, 3.2, 0, 180, -80), max_view_angle=20)
    shared.reset(seed=0)
    assert shared.step(np.array([0.0, -1.0]))[4]["view"] == (0.0, -9.0)
    shared.close()


def test_episodes_without_a_seed_differ():
    shared = SharedScene(TOY)
    assert (shared.reset()[0] != shared.reset()[0]).any()
    shared.close()


def test_an_episode_is_truncated_after_its_last_tick():
    shared = SharedScene(TOY, max_ticks=3)
    shared.reset(seed=0)
    assert [shared.step(np.zeros(2))[3] for _ in range(3)] == [False, False, True]
    shared.close()


def test_render_returns_the_observation():
    shared = SharedScene(TOY, render_mode="rgb_array")
    shared.reset(seed=0)
    frame = shared.step(np.array([1.0, 0.3]))[0]
    assert (shared.render() == frame).all()
    shared.close()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"max_ticks": 0}, "max_ticks"),
        ({"max_view_angle": -1}, "max_view_angle"),
        ({"max_view_angle": float("nan")}, "max_view_angle"),
        ({"render_mode": "human"}, "render_mode"),
        ({"pose": Pose(0, 0.5, 0, 0, 0)}, "raise y"),
    ],
)
def test_each_invalid_setting_is_rejected_with_its_name(settings, field):
    with pytest.raises(ValueError, match=field):
        SharedScene(TOY, **settings)


@pytest.mark.parametrize("action", [np.zeros(3), np.array([0.0, 1.5]), np.array([np.nan, 0.0])])
def test_an_invalid_action_is_rejected(action):
    shared = SharedScene(TOY)
    shared.reset(seed=0)
    with pytest.raises(ValueError, match="pan, tilt"):
        shared.step(action)
    shared.close()


def test_a_step_before_the_first_reset_is_rejected():
    with pytest.raises(RuntimeError, match="reset"):
        SharedScene(TOY).step(np.zeros(2))

"""Steering: actions move the first object as the scene's own noise would, and nothing else."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import env  # noqa: F401 - registers the environments
from env.gym.steering import Steering
from env.scene import Scene, SceneConfig
from env.sensors import goal_reward

CONFIG = SceneConfig(renderer="toy", frame_size=32, objects=2)


@pytest.fixture
def steering():
    made = Steering(CONFIG, strength=3.0, max_ticks=16)
    yield made
    made.close()


def test_the_environment_passes_the_gymnasium_checker():
    made = gymnasium.make("SocialJEPA/Steering-v0", config=CONFIG)
    check_env(made.unwrapped, skip_render_check=True)
    made.close()


def test_with_the_scenes_own_actions_the_frames_are_those_of_the_scene(steering):
    scene = Scene(CONFIG, 3)
    actions = scene.actions(np.arange(10))[:, :2] / steering.strength
    assert np.abs(actions).max() < 1, "choose another seed"
    frame, _ = steering.reset(seed=3)

    for tick, action in enumerate(actions):
        expected = steering._renderer.render(scene.state(tick), steering.pose)
        assert np.abs(frame.astype(int) - expected).max() <= 2  # the last bit of a float may shade an edge
        frame = steering.step(action)[0]


def test_actions_towards_the_goal_reach_it_and_raise_the_reward(steering):
    _, info = steering.reset(seed=0)
    rewards = []
    for _ in range(12):
        direction = -np.array(info["position"])  # towards the center
        _, reward, terminated, _, info = steering.step(np.clip(direction, -1, 1))
        rewards.append(reward)
        assert not terminated
        assert reward == pytest.approx(float(goal_reward(np.array(info["position"]))))

    assert rewards[-1] > 0.95


def test_other_objects_do_not_depend_on_actions(steering):
    frames = []
    for action in (0.0, 0.0):
        steering.reset(seed=5)
        frames.append([steering.step(np.full(2, action))[0] for _ in range(4)])
    assert np.array_equal(*frames)

    scene = Scene(CONFIG, 5)
    state = scene.state_from_factors(3, np.concatenate([[9.0, 9.0], scene.state(3).factors[2:]]))
    assert np.array_equal(state.positions[1], scene.state(3).positions[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"goal": (2.0, 0.0)}, "goal must be"),
        ({"strength": 0.0}, "strength must be a positive number"),
        ({"config": replace(CONFIG, dynamics="bounce")}, "set dynamics to ornstein_uhlenbeck"),
        ({"max_ticks": 0}, "max_ticks"),
    ],
)
def test_each_invalid_setting_is_rejected_with_its_name(changes, message):
    with pytest.raises(ValueError, match=message):
        Steering(**{"config": CONFIG, **changes})


@pytest.mark.parametrize("action", [[2.0, 0.0], [0.0], [np.nan, 0.0]])
def test_an_invalid_action_is_rejected(steering, action):
    steering.reset(seed=0)
    with pytest.raises(ValueError, match="an action is"):
        steering.step(np.array(action))

"""The object that is steered: pushes move it as the scene's own would, and nothing else."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import env  # noqa: F401 - registers the environments
from env.gym.steering import Steering
from env.scene import Scene, SceneConfig
from env.sensors import nearness

CONFIG = SceneConfig(renderer="toy", frame_size=32, objects=2)


@pytest.fixture
def world():
    made = Steering(CONFIG, strength=3.0, max_ticks=16)
    yield made
    made.close()


def test_gymnasium_finds_nothing_to_complain_about():
    made = gymnasium.make("SocialJEPA/Steering-v0", config=CONFIG)
    check_env(made.unwrapped, skip_render_check=True)
    made.close()


def test_with_the_scenes_own_pushes_it_shows_what_everybody_sees(world):
    scene = Scene(CONFIG, 3)
    pushes = scene.actions(np.arange(10))[:, :2] / world.strength
    assert np.abs(pushes).max() < 1, "choose another seed"
    frame, _ = world.reset(seed=3)

    for tick, push in enumerate(pushes):
        seen = world._renderer.render(scene.state(tick), world.pose)
        assert np.abs(frame.astype(int) - seen).max() <= 2  # the last bit of a float may shade an edge
        frame = world.step(push)[0]


def test_steady_pushes_bring_it_to_the_goal_and_the_reward_says_so(world):
    _, info = world.reset(seed=0)
    rewards = []
    for _ in range(12):
        wanted = -np.array(info["place"])  # towards the middle
        _, reward, ended, _, info = world.step(np.clip(wanted, -1, 1))
        rewards.append(reward)
        assert not ended
        assert reward == pytest.approx(float(nearness(np.array(info["place"]))))

    assert rewards[-1] > 0.95


def test_the_others_go_their_way_whatever_is_pushed(world):
    frames = []
    for push in (0.0, 0.0):
        world.reset(seed=5)
        frames.append([world.step(np.full(2, push))[0] for _ in range(4)])
    assert np.array_equal(*frames)

    scene = Scene(CONFIG, 5)
    state = scene.state_from_factors(3, np.concatenate([[9.0, 9.0], scene.state(3).factors[2:]]))
    assert np.array_equal(state.positions[1], scene.state(3).positions[1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"goal": (2.0, 0.0)}, "a goal is"),
        ({"strength": 0.0}, "strength must be above 0"),
        ({"config": replace(CONFIG, dynamics="bounce")}, "choose ornstein_uhlenbeck"),
        ({"max_ticks": 0}, "max_ticks"),
    ],
)
def test_what_cannot_be_steered_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        Steering(**{"config": CONFIG, **changes})


@pytest.mark.parametrize("action", [[2.0, 0.0], [0.0], [np.nan, 0.0]])
def test_an_action_that_is_none_is_refused(world, action):
    world.reset(seed=0)
    with pytest.raises(ValueError, match="an action is a push"):
        world.step(np.array(action))

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("pettingzoo", reason="PettingZoo is an optional dependency")

from pettingzoo.test import parallel_api_test, parallel_seed_test

from env.camera import RingConfig, ring_pose
from env.gym.parallel_scene import ParallelScene
from env.renderers.build import build_renderer
from env.scene import BodyEvent, Scene, SceneConfig

RENDERERS = ["toy", pytest.param("miniworld", marks=pytest.mark.gl)]
TOY = SceneConfig(renderer="toy", frame_size=16)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_environment_passes_the_pettingzoo_checker(renderer):
    scene = ParallelScene(SceneConfig(renderer=renderer, frame_size=16), agents=2, max_ticks=20)
    parallel_api_test(scene, num_cycles=50)
    scene.close()


@pytest.mark.parametrize("renderer", RENDERERS)
def test_equal_seeds_give_equal_episodes(renderer):
    config = SceneConfig(renderer=renderer, frame_size=16)
    parallel_seed_test(lambda: ParallelScene(config, agents=2, max_ticks=20), num_cycles=20)


def test_all_agents_see_the_same_tick_from_different_poses():
    scene = ParallelScene(TOY, agents=3)
    frames, infos = scene.reset(seed=5)
    poses = [ring_pose(k, RingConfig()) for k in range(3)]
    replayed = Scene(TOY, 5, [BodyEvent(0, f"agent-{k}", pose) for k, pose in enumerate(poses)])
    renderer = build_renderer(TOY)
    for k, pose in enumerate(poses):
        assert (frames[f"agent-{k}"] == renderer.render(replayed.state(0), pose, f"agent-{k}")).all()
        assert infos[f"agent-{k}"] == {"tick": 0, "view": (0.0, 0.0)}
    infos = scene.step({f"agent-{k}": np.array([k / 2, -1.0]) for k in range(3)})[4]
    assert infos["agent-1"] == {"tick": 1, "view": (7.5, -15.0)}
    scene.close()


def test_rendering_shows_the_cameras_side_by_side():
    scene = ParallelScene(TOY, agents=3, render_mode="rgb_array")
    scene.reset(seed=0)
    frames = scene.step({name: np.array([0.2, 0.1]) for name in scene.agents})[0]
    assert (scene.render() == np.concatenate(list(frames.values()), axis=1)).all()
    scene.close()


def test_invalid_arguments_are_rejected():
    with pytest.raises(ValueError, match="agents"):
        ParallelScene(TOY, agents=0)
    scene = ParallelScene(TOY)
    scene.reset(seed=0)
    with pytest.raises(ValueError, match="agent-1"):
        scene.step({"agent-0": np.zeros(2)})
    scene.close()


def test_the_gymnasium_environment_imports_neither_pettingzoo_nor_miniworld():
    code = (
        "import sys, env, gymnasium; from env.scene import SceneConfig;"
        "gymnasium.make('SocialJEPA/SharedScene-v0', config=SceneConfig(renderer='toy')).reset(seed=0);"
        "assert not {'pettingzoo', 'miniworld', 'pyglet'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

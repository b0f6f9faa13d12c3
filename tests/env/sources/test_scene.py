"""A scene whose frames come from a source: what it shows, what it refuses, and its fingerprint."""

from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose
from env.gym.shared_scene import SharedScene
from env.gym.steering import Steering
from env.nuisance import NuisanceConfig
from env.recording import Recorder, ReplayBuffer
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig
from env.sensors import SensorSpec
from env.sources.contract import TickOutsideSourceError, UnknownStateError
from env.sources.settings import FramesConfig


@pytest.fixture
def config(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, size=(200, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", pixels=frames, state=rng.standard_normal((200, 3)))
    settings = FramesConfig(
        path=str(tmp_path / "a.npz"), views=("left", "right"), memory=4, state_key="state"
    )
    return SceneConfig(source="array", frames=settings, frame_size=16)


def test_a_camera_records_the_frames_of_its_view(config):
    scene = Scene(config, 0)
    buffer = ReplayBuffer(Recorder(scene, build_renderer(config), Pose.of_view(1), "agent-1"), 10, 150)
    buffer.advance_to(190)

    assert (buffer.read(range(40, 190)) == scene.source.read(np.arange(40, 190), 1)).all()


def test_environments_end_with_the_source_and_turn_no_camera(config):
    shared = SharedScene(config, pose=Pose.of_view(0), max_ticks=1000)
    shared.reset(seed=0)
    steps = [shared.step(np.array([1.0, -1.0])) for _ in range(199)]

    assert [over for _, _, _, over, _ in steps] == [False] * 198 + [True]
    assert steps[-1][4] == {"tick": 199, "view": (0.0, 0.0)}
    shared.close()
    with pytest.raises(ValueError, match="no object to move"):
        Steering(config, pose=Pose.of_view(0))


def test_ticks_outside_the_source_and_poses_are_refused(config):
    scene = Scene(config, 0)
    with pytest.raises(TickOutsideSourceError, match="tick 200: choose from 0 to 199"):
        scene.state(200)
    with pytest.raises(ValueError, match="choose view=0 to view=1"):
        scene.check_pose(ring_pose(0, RingConfig()))
    with pytest.raises(ValueError, match="choose view=0 to view=1"):
        scene.check_pose(Pose.of_view(2))
    with pytest.raises(ValueError, match="this scene is rendered"):
        Scene(SceneConfig(), 0).check_pose(Pose.of_view(0))
    with pytest.raises(ValueError, match="one view a tick"):
        SensorSpec(views=3).check(config, Pose.of_view(0))


def test_states_of_any_number_of_ticks_are_those_of_each_tick(config):
    scene = Scene(config, 0)
    for ticks in ([], [7], [199, 0, 7]):
        states = scene.states(np.array(ticks))
        assert (len(states), [state.tick for state in states]) == (len(ticks), ticks)
        for name in ("factors", "positions", "yaws", "identities"):
            alone = getattr(scene.state(0), name)
            assert getattr(states, name).shape == (len(ticks), *alone.shape)
            assert getattr(states, name).dtype == alone.dtype
    with pytest.raises(TickOutsideSourceError, match="tick 200: choose from 0 to 199"):
        scene.states(np.array([3, 200, 5]))
    with pytest.raises(ValueError, match="tick"):
        scene.states(np.array([3, -1]))


def test_the_true_state_is_that_of_the_source_or_unknown(config):
    scene = Scene(config, 0)
    assert scene.factors(np.array([3, 1])).shape == (2, 3)
    unknown = replace(config, frames=replace(config.frames, state_key=""))
    with pytest.raises(UnknownStateError):
        Scene(unknown, 0).factors(np.array([0]))


def test_the_fingerprint_follows_the_data_and_not_where_it_is_or_how_cameras_see_it(config, tmp_path):
    first = Scene(config, 0).fingerprint
    copy = tmp_path / "copy.npz"
    copy.write_bytes((tmp_path / "a.npz").read_bytes())

    def of(**frames):
        return Scene(replace(config, frames=replace(config.frames, **frames)), 0).fingerprint

    assert of(path=str(copy)) == of(views=("green",)) == first
    noisy = replace(config, nuisance=NuisanceConfig(noise=3), frame_size=32)
    assert Scene(noisy, 0).fingerprint == Scene(config, 7).fingerprint == first
    assert first not in (of(ticks=199), of(memory=5))


def test_poses_are_written_and_read():
    for pose in (Pose.of_view(3), ring_pose(1, RingConfig())):
        assert Pose.parse(str(pose)) == pose


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "imagse"}, "source must be one of images"),
        ({"frames": FramesConfig(ticks=3)}, "frames is set without source"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SceneConfig(**settings)

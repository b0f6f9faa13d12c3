"""Frames that are drawn together are those that are drawn one by one."""

from dataclasses import replace

import numpy as np
import pytest

from env.camera import RingConfig, ring_pose
from env.camera_motion import CameraMotionConfig
from env.interior_walls import InteriorWallsConfig
from env.nuisance import NuisanceConfig
from env.recording import Recorder, ReplayBuffer, record_frame
from env.renderers.build import build_renderer
from env.renderers.toy import ToyRenderer
from env.scene import BodyEvent, Scene, SceneConfig
from env.scene_state import SceneStates
from env.sensors import SensorRecorder, SensorSpec

POSES = [ring_pose(k, RingConfig(height=1.6, pitch=-12)) for k in range(4)]
NAMES = [f"agent-{k}" for k in range(4)]
EVENTS = [BodyEvent(5 * k, name, pose) for k, (name, pose) in enumerate(zip(NAMES, POSES, strict=True))]
WALLS = InteriorWallsConfig(((-2.0, -3.0, -2.0, 3.0),))
WORLDS = {
    "plain": {},
    "walls": {"interior_walls": WALLS, "object_areas": ((1.0, 0.0, 1.5, 2.5),) * 3},
    "moving cameras": {"camera_motion": CameraMotionConfig(pan=10, tilt=5, walk=0.3)},
    "nuisance": {"nuisance": NuisanceConfig(brightness=0.3, hue=20, noise=4)},
}
SHAPES = {"toy": ("box", "square", "striped_disc", "checked_triangle"), "miniworld": ("box", "ball", "cone")}


@pytest.fixture(params=["toy", "batch", pytest.param("miniworld", marks=pytest.mark.gl)])
def config(request):
    return SceneConfig(renderer=request.param, frame_size=32)


@pytest.fixture(params=[*WORLDS, "shapes"])
def recorder(request, config):
    settings = WORLDS.get(request.param)
    if settings is None and config.renderer == "batch":
        pytest.skip("the batch renderer draws boxes alone")
    if settings is None:
        settings = {"shapes": SHAPES[config.renderer], "identity_ticks": 3}
    config = replace(config, **settings)
    renderer = build_renderer(config)
    yield Recorder(Scene(config, 0, EVENTS), renderer, POSES[0], NAMES[0])
    renderer.close()


def test_a_recording_holds_the_frames_that_are_recorded_one_by_one(recorder):
    ticks = [7, 3, 16, 1200, 3, *range(150)]
    recording = recorder.record(ticks)
    for frame, tick in zip(recording.frames, ticks, strict=True):
        state, pose = recorder.scene.state(tick), recorder.pose_at(tick)
        alone = record_frame(recorder.scene, recorder.renderer, state, pose, NAMES[0])
        assert (frame == alone).all()


def test_frames_of_several_cameras_are_those_of_each_camera(recorder):
    scene, renderer = recorder.scene, recorder.renderer
    ticks = np.array([0, 9, 16, 40])
    together = renderer.render_many(scene.states(ticks).repeat(4), POSES * 4, NAMES * 4)
    for k, frame in enumerate(together):
        state = scene.state(ticks[k // 4])
        assert (frame == renderer.render(state, POSES[k % 4], NAMES[k % 4])).all()


def test_a_frame_does_not_depend_on_those_it_is_drawn_with(recorder):
    order = np.random.default_rng(0).permutation(90)
    frames = recorder.render_ticks(order)
    for rows in (slice(0, 1), slice(5, 12), slice(3, None, 7)):
        assert (recorder.render_ticks(order[rows]) == frames[rows]).all()


def test_the_views_of_many_ticks_are_those_of_each_tick(config):
    renderer = build_renderer(config)
    scene = Scene(config, 0, EVENTS)
    recorder = SensorRecorder(scene, renderer, POSES[0], NAMES[0], SensorSpec(views=3), (1, 2))
    frames = recorder.record(range(20)).frames
    assert frames.shape == (20, 3, 32, 32, 3)
    assert all((frames[tick] == recorder.render_views(tick)).all() for tick in range(20))
    renderer.close()


@pytest.mark.parametrize("dynamics", ["ornstein_uhlenbeck", "coupled", "collide", "bounce", "static"])
@pytest.mark.parametrize("world", ["plain", "moving cameras"])
def test_the_states_of_many_ticks_are_those_of_each_tick(dynamics, world):
    scene = Scene(SceneConfig(dynamics=dynamics, **WORLDS[world]), 3, EVENTS)
    ticks = np.array([5, 0, 4, 14, 15, 16, 2000, 5])
    states = scene.states(ticks)
    again = SceneStates.of(list(states))
    assert len(states) == len(ticks)
    for tick, *pair in zip(ticks.tolist(), states, again, strict=True):
        alone = scene.state(tick)
        for state in pair:
            assert (state.tick, state.bodies) == (alone.tick, alone.bodies)
            for name in ("factors", "positions", "yaws", "identities"):
                assert np.array_equal(getattr(state, name), getattr(alone, name))


@pytest.mark.parametrize("world", ["plain", "moving cameras"])
def test_the_states_of_no_tick_are_none_of_as_many_objects(world):
    scene = Scene(SceneConfig(**WORLDS[world]), 3, EVENTS)
    none, some = scene.states(np.arange(0)), scene.states(np.arange(2))
    assert list(none) == []
    for name in ("factors", "positions", "yaws", "identities"):
        assert getattr(none, name).shape == (0, *getattr(some, name).shape[1:])


def test_states_before_tick_0_are_rejected():
    with pytest.raises(ValueError, match="tick"):
        Scene(SceneConfig(), 0).states(np.array([3, -1]))


class EndsAtTick300(ToyRenderer):
    """A renderer that fails from a tick on."""

    def render_many(self, states, poses, viewers):
        if states.ticks.max() >= 300:
            raise RuntimeError("no frames from tick 300 on")
        return super().render_many(states, poses, viewers)


def test_a_replay_buffer_keeps_the_chunks_before_one_that_fails():
    config = SceneConfig(renderer="toy", frame_size=16)
    recorder = Recorder(Scene(config, 0), EndsAtTick300(config), POSES[0])
    buffer = ReplayBuffer(recorder, 0, 1000)
    with pytest.raises(RuntimeError, match="from tick 300 on"):
        buffer.advance_to(400)

    kept = 300 // recorder.chunk * recorder.chunk
    assert buffer.ticks == range(kept)
    assert (buffer.read(buffer.ticks) == recorder.record(range(kept)).frames).all()

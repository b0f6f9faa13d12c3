from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose, turned_pose
from env.gym.shared_scene import SharedScene
from env.recording import Recorder
from env.renderers.base import build_renderer
from env.scene import BodyEvent, Scene, SceneConfig
from env.views import ViewConfig, record_views

CONFIG = SceneConfig(renderer="toy", frame_size=16, objects=1)
POSE = ring_pose(0, RingConfig())


def recorder_at(pose=POSE, config=CONFIG, events=(), viewer=None):
    return Recorder(Scene(config, 0, events), build_renderer(config), pose, viewer)


def seen(ticks, seed=0, count=4, recorder=None, config=None):
    return record_views(recorder or recorder_at(), ticks, np.random.default_rng(seed), count, config)


def test_glances_are_frames_actions_and_offsets_of_the_asked_size():
    found = seen([5, 2, 5000], count=4)
    assert found.frames.shape == (3, 4, 16, 16, 3)
    assert found.frames.dtype == np.uint8
    assert found.actions.shape == (3, 3, 2)
    assert found.offsets.shape == (3, 4, 2)
    assert found.ticks.tolist() == [5, 2, 5000]
    assert np.abs(found.offsets).max() <= 1
    assert seen([1], count=1).actions.shape == (1, 0, 2)
    assert seen([]).frames.shape == (0, 4, 16, 16, 3)


def test_actions_lead_from_glance_to_glance():
    found = seen(range(20), count=5)
    walked = found.offsets[:, :1] + np.cumsum(found.actions, axis=1)
    assert np.allclose(walked, found.offsets[:, 1:], atol=1e-6)


def test_each_frame_is_the_instant_seen_in_its_direction():
    recorder = recorder_at()
    found = seen([7, 9], recorder=recorder, config=ViewConfig(20.0))
    for row, tick in enumerate((7, 9)):
        for column in range(4):
            pan, tilt = (20.0 * found.offsets[row, column].astype(float)).tolist()
            expected = recorder.renderer.render(recorder.scene.state(tick), turned_pose(POSE, pan, tilt))
            assert (found.frames[row, column] == expected).all()


def test_the_offsets_are_actions_of_the_gymnasium_face():
    still = replace(CONFIG, dynamics="static")
    found = seen([0], recorder=recorder_at(config=still), config=ViewConfig(12.0))
    shared = SharedScene(still, POSE, max_view_angle=12.0)
    shared.reset(seed=0)
    for column in range(4):
        frame, _, _, _, info = shared.step(found.offsets[0, column])
        assert (frame == found.frames[0, column]).all()
        assert info["glance"] == pytest.approx(tuple(12.0 * found.offsets[0, column]))
    shared.close()


def test_glances_of_no_degrees_are_what_the_camera_sees():
    recorder = recorder_at()
    found = seen([3], recorder=recorder, config=ViewConfig(0))
    assert (found.frames == recorder.render_views(3)).all()


def test_equal_generators_look_the_same_way_and_later_ticks_change_nothing():
    one, two, other = seen([4, 8], seed=1), seen([4, 8, 9, 10], seed=1), seen([4, 8], seed=2)
    assert (one.frames == two.frames[:2]).all()
    assert (one.offsets == two.offsets[:2]).all()
    assert (one.offsets != other.offsets).all()


def test_directions_fill_the_square_and_follow_nothing():
    offsets = seen([0] * 400, count=3).offsets.astype(float)
    flat = offsets.reshape(-1, 6)  # pan and tilt of three glances
    assert np.abs(np.corrcoef(flat.T) - np.eye(6)).max() < 0.2
    assert np.abs(flat.mean(0)).max() < 0.1
    assert np.abs(flat.var(0) - 1 / 3).max() < 0.06


def test_a_camera_that_glances_leaves_its_own_body_out():
    low = replace(POSE, pitch=-1.0)
    events = [BodyEvent(0, "me", replace(low, x=-4.8, yaw=0.0))]
    mine = seen([0], recorder=recorder_at(low, events=events, viewer="me"))
    theirs = seen([0], recorder=recorder_at(low, events=events, viewer="peer"))
    assert (mine.frames != theirs.frames).any()


@pytest.mark.gl
def test_miniworld_glances_as_well():
    config = SceneConfig(frame_size=16)
    recorder = recorder_at(config=config)
    found = seen([1, 2], recorder=recorder)
    recorder.renderer.close()
    assert len({frame.tobytes() for frame in found.frames.reshape(8, -1)}) == 8


def test_what_no_camera_does_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="max_view_angle"):
        ViewConfig(-1)
    with pytest.raises(ValueError, match="max_view_angle"):
        ViewConfig(float("nan"))
    with pytest.raises(ValueError, match="count"):
        seen([0], count=0)
    with pytest.raises(ValueError, match="tick"):
        seen([-1])
    steep = recorder_at(Pose(2.0, 3.2, 0, 180, -80))
    with pytest.raises(ValueError, match="lower max_view_angle to 9 or less"):
        seen([0], recorder=steep)

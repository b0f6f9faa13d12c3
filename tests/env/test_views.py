from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose, turned_pose
from env.gym.shared_scene import SharedScene
from env.recording import Recorder
from env.renderers.build import build_renderer
from env.scene import BodyEvent, Scene, SceneConfig
from env.views import ViewConfig, record_views

CONFIG = SceneConfig(renderer="toy", frame_size=16, objects=1)
POSE = ring_pose(0, RingConfig())


def recorder_at(pose=POSE, config=CONFIG, events=(), viewer=None):
    return Recorder(Scene(config, 0, events), build_renderer(config), pose, viewer)


def views_of(ticks, seed=0, count=4, recorder=None, config=None):
    return record_views(recorder or recorder_at(), ticks, np.random.default_rng(seed), count, config)


def test_views_are_arrays_of_the_documented_shapes():
    views = views_of([5, 2, 5000], count=4)
    assert views.frames.shape == (3, 4, 16, 16, 3)
    assert views.frames.dtype == np.uint8
    assert views.actions.shape == (3, 3, 2)
    assert views.offsets.shape == (3, 4, 2)
    assert views.ticks.tolist() == [5, 2, 5000]
    assert np.abs(views.offsets).max() <= 1
    assert views_of([1], count=1).actions.shape == (1, 0, 2)
    assert views_of([]).frames.shape == (0, 4, 16, 16, 3)


def test_actions_lead_from_view_to_view():
    views = views_of(range(20), count=5)
    composed = views.offsets[:, :1] + np.cumsum(views.actions, axis=1)
    assert np.allclose(composed, views.offsets[:, 1:], atol=1e-6)


def test_each_frame_is_the_view_of_its_tick_and_offset():
    recorder = recorder_at()
    views = views_of([7, 9], recorder=recorder, config=ViewConfig(20.0))
    for row, tick in enumerate((7, 9)):
        for column in range(4):
            pan, tilt = (20.0 * views.offsets[row, column].astype(float)).tolist()
            expected = recorder.renderer.render(recorder.scene.state(tick), turned_pose(POSE, pan, tilt))
            assert (views.frames[row, column] == expected).all()


def test_offsets_are_actions_of_the_gymnasium_environment():
    static = replace(CONFIG, dynamics="static")
    views = views_of([0], recorder=recorder_at(config=static), config=ViewConfig(12.0))
    shared = SharedScene(static, POSE, max_view_angle=12.0)
    shared.reset(seed=0)
    for column in range(4):
        frame, _, _, _, info = shared.step(views.offsets[0, column])
        assert (frame == views.frames[0, column]).all()
        assert info["view"] == pytest.approx(tuple(12.0 * views.offsets[0, column]))
    shared.close()


def test_a_view_angle_of_0_gives_the_frames_of_the_pose():
    recorder = recorder_at()
    views = views_of([3], recorder=recorder, config=ViewConfig(0))
    assert (views.frames == recorder.render_views(3)).all()


def test_equal_generators_give_equal_views_and_later_ticks_do_not_change_them():
    one, two, other = views_of([4, 8], seed=1), views_of([4, 8, 9, 10], seed=1), views_of([4, 8], seed=2)
    assert (one.frames == two.frames[:2]).all()
    assert (one.offsets == two.offsets[:2]).all()
    assert (one.offsets != other.offsets).all()


def test_offsets_are_uniform_and_independent():
    offsets = views_of([0] * 400, count=3).offsets.astype(float)
    flat = offsets.reshape(-1, 6)  # pan and tilt of three views
    assert np.abs(np.corrcoef(flat.T) - np.eye(6)).max() < 0.2
    assert np.abs(flat.mean(0)).max() < 0.1
    assert np.abs(flat.var(0) - 1 / 3).max() < 0.06


def test_views_leave_the_own_body_out():
    low = replace(POSE, pitch=-1.0)
    events = [BodyEvent(0, "me", replace(low, x=-4.8, yaw=0.0))]
    mine = views_of([0], recorder=recorder_at(low, events=events, viewer="me"))
    theirs = views_of([0], recorder=recorder_at(low, events=events, viewer="peer"))
    assert (mine.frames != theirs.frames).any()


@pytest.mark.gl
def test_miniworld_renders_different_views():
    config = SceneConfig(frame_size=16)
    recorder = recorder_at(config=config)
    views = views_of([1, 2], recorder=recorder)
    recorder.renderer.close()
    assert len({frame.tobytes() for frame in views.frames.reshape(8, -1)}) == 8


def test_invalid_arguments_are_rejected_with_the_remedy():
    with pytest.raises(ValueError, match="max_view_angle"):
        ViewConfig(-1)
    with pytest.raises(ValueError, match="max_view_angle"):
        ViewConfig(float("nan"))
    with pytest.raises(ValueError, match="count"):
        views_of([0], count=0)
    with pytest.raises(ValueError, match="tick"):
        views_of([-1])
    steep = recorder_at(Pose(2.0, 3.2, 0, 180, -80))
    with pytest.raises(ValueError, match="lower max_view_angle to 9 or less"):
        views_of([0], recorder=steep)

from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose
from env.recording import Recorder, ReplayBuffer
from env.renderers.build import build_renderer
from env.scene import BodyEvent, Scene, SceneConfig

CONFIG = SceneConfig(renderer="toy", frame_size=16, objects=1)
POSE = ring_pose(0, RingConfig())


@pytest.fixture
def recorder():
    return Recorder(Scene(CONFIG, 0), build_renderer(CONFIG), POSE, "me")


def test_a_recording_holds_the_frames_of_its_ticks_in_order(recorder):
    recording = recorder.record([5, 2, 5000])
    assert recording.frames.shape == (3, 16, 16, 3)
    assert recording.frames.dtype == np.uint8
    assert recording.ticks.tolist() == [5, 2, 5000]
    assert (recording.frames[1] == recorder.record(range(3)).frames[2]).all()
    assert len(recorder.record([]).ticks) == 0


def test_a_camera_leaves_its_own_body_out():
    low = replace(POSE, pitch=-1.0)
    peer = replace(low, x=-4.8, yaw=0.0)
    renderer = build_renderer(CONFIG)

    def frames_with(name):
        return Recorder(Scene(CONFIG, 0, [BodyEvent(0, name, peer)]), renderer, low, "me").record([0]).frames

    assert (frames_with("me") != frames_with("peer")).any()


def test_a_pose_that_sees_nothing_is_rejected():
    with pytest.raises(ValueError, match="sees nothing"):
        Recorder(Scene(CONFIG, 0), build_renderer(CONFIG), Pose(4.8, 3.2, 0, 0, -35))


def test_advancing_renders_only_new_ticks_that_are_kept(recorder):
    replay_buffer = ReplayBuffer(recorder, start=10, size=8)
    assert len(replay_buffer) == 0
    assert [replay_buffer.advance_to(stop) for stop in (13, 13, 20, 50)] == [3, 0, 7, 8]
    assert replay_buffer.ticks == range(42, 50)


def test_a_replay_buffer_fills_and_then_drops_the_oldest_ticks(recorder):
    replay_buffer = ReplayBuffer(recorder, start=10, size=8)
    for stop, held in [(10, range(10, 10)), (14, range(10, 14)), (18, range(10, 18)), (21, range(13, 21))]:
        replay_buffer.advance_to(stop)
        assert replay_buffer.ticks == held
        assert len(replay_buffer) == len(held)


@pytest.mark.parametrize("stops", [[12], [18], [19, 23], [18, 40, 41], [14, 37]])
def test_segments_are_consecutive_ticks_also_across_the_end_of_the_ring(recorder, stops):
    replay_buffer = ReplayBuffer(recorder, start=10, size=8)
    for stop in stops:
        replay_buffer.advance_to(stop)
    length = min(3, len(replay_buffer))
    recorded = recorder.record(replay_buffer.ticks).frames
    expected = {recorded[i : i + length].tobytes() for i in range(len(replay_buffer) - length + 1)}
    segments = replay_buffer.read(replay_buffer.draw(np.random.default_rng(0), 300, length))
    assert segments.shape == (300, length, 16, 16, 3)
    assert {segment.tobytes() for segment in segments} == expected


def test_segment_starts_are_uniform(recorder):
    replay_buffer = ReplayBuffer(recorder, start=0, size=8)
    replay_buffer.advance_to(13)
    segments = replay_buffer.read(replay_buffer.draw(np.random.default_rng(0), 6000, 3))
    _, counts = np.unique([hash(segment.tobytes()) for segment in segments], return_counts=True)
    assert len(counts) == 6
    assert np.abs(counts / 1000 - 1).max() < 0.15


def test_equal_generators_draw_equal_segments(recorder):
    replay_buffer = ReplayBuffer(recorder, start=0, size=8)
    replay_buffer.advance_to(13)
    a, b = (replay_buffer.draw(np.random.default_rng(7), 5, 2) for _ in range(2))
    assert (a == b).all()


def test_invalid_arguments_of_a_replay_buffer_are_rejected(recorder):
    replay_buffer = ReplayBuffer(recorder, start=0, size=8)
    replay_buffer.advance_to(5)
    with pytest.raises(ValueError, match="only advances"):
        replay_buffer.advance_to(4)
    with pytest.raises(ValueError, match="length"):
        replay_buffer.draw(np.random.default_rng(0), 1, 6)
    with pytest.raises(ValueError, match="the replay buffer holds ticks range\\(0, 5\\), requested 4 to 5"):
        replay_buffer.read(np.array([4, 5]))
    with pytest.raises(ValueError, match="start"):
        ReplayBuffer(recorder, -1, 8)
    with pytest.raises(ValueError, match="size"):
        ReplayBuffer(recorder, 0, 0)

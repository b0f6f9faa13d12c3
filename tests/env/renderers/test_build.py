import gc
import hashlib
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from env.appearance import BODY_COLOR, OBJECT_COLORS
from env.camera import Pose, RingConfig, ring_pose, to_camera
from env.renderers.build import build_renderer, share_renderer
from env.scene import MAX_OBJECTS, BodyEvent, Scene, SceneConfig

POSES = [ring_pose(k, RingConfig()) for k in range(4)]
SIZE = 32


@pytest.fixture(params=["toy", "batch", pytest.param("miniworld", marks=pytest.mark.gl)])
def config(request):
    return SceneConfig(renderer=request.param, frame_size=SIZE)


@pytest.fixture
def renderer(config):
    built = build_renderer(config)
    yield built
    built.close()


def moved(state, *positions):
    """Return the state with its objects at other positions."""
    return replace(state, positions=np.array(positions, dtype=float))


def test_a_frame_is_a_new_array_of_the_configured_size(config, renderer):
    state = Scene(config, 0).state(0)
    a, b = renderer.render(state, POSES[0]), renderer.render(state, POSES[0])
    assert a.shape == (SIZE, SIZE, 3)
    assert a.dtype == np.uint8
    assert a.flags.c_contiguous
    assert not np.shares_memory(a, b)
    assert len(np.unique(a.reshape(-1, 3), axis=0)) > 20


def test_equal_states_and_poses_give_equal_pixels_after_other_frames(config, renderer):
    scene = Scene(config, 0)
    first = [renderer.render(scene.state(tick), POSES[tick % 4]) for tick in range(8)]
    again = [renderer.render(scene.state(tick), POSES[tick % 4]) for tick in reversed(range(8))]
    assert all((a == b).all() for a, b in zip(first, reversed(again), strict=True))


def test_a_frame_depends_on_no_frame_before_it(config, renderer):
    """Whatever a renderer keeps while camera and bodies stay: both change here, with and without a return."""
    scene = Scene(config, 0)
    first, second = (replace(pose, pitch=0.0) for pose in (POSES[0], POSES[2]))  # each sees the other's body
    few, many = (("peer", POSES[1]),), (("peer", POSES[1]), ("first", first), ("second", second))
    views = [(few, first), (many, first), (many, second), (few, first), (few, second)]
    frames = {}
    for tick, (bodies, pose) in [(t, view) for view in views for t in (0, 1, 2, 3, 0)]:
        state = replace(scene.state(tick), bodies=bodies)
        frame = renderer.render(state, pose, "me")
        assert (frame == frames.setdefault((tick, bodies, pose), frame)).all()
    without_bodies = {(tick, pose) for tick, _, pose in frames}
    assert len({frame.tobytes() for frame in frames.values()}) > len(without_bodies)
    for (tick, bodies, pose), frame in frames.items():  # no two after each other with the same background
        state = replace(scene.state(tick), bodies=bodies)
        renderer.render(replace(state, bodies=()), POSES[1])
        assert (renderer.render(state, pose, "me") == frame).all()


@pytest.mark.gl
def test_a_frame_after_a_state_that_cannot_be_drawn_is_right():
    config = SceneConfig(renderer="miniworld", frame_size=SIZE)
    scene, renderer = Scene(config, 0), build_renderer(config)
    state, other = scene.state(0), scene.state(1)
    expected = renderer.render(state, POSES[0])
    for _ in range(3):
        renderer.render(state, POSES[0])
    renderer.render(other, POSES[1])
    with pytest.raises(IndexError):
        renderer.render(replace(state, identities=(7,) * config.objects), POSES[0])
    assert (renderer.render(state, POSES[0]) == expected).all()
    renderer.close()


def test_different_poses_give_different_frames(config, renderer):
    state = Scene(config, 0).state(0)
    views = [renderer.render(state, pose).astype(int) for pose in POSES]
    for i in range(4):
        for j in range(i):
            assert (np.abs(views[i] - views[j]).max(-1) > 4).mean() > 0.1


def test_moving_any_object_slightly_changes_the_frame(config, renderer):
    state = moved(Scene(config, 0).state(0), (0, -1.5), (0, 0), (0, 1.5))
    before = renderer.render(state, POSES[0])
    for i in range(3):
        positions = state.positions.copy()
        positions[i] += 0.05
        assert (renderer.render(replace(state, positions=positions), POSES[0]) != before).any()


def test_objects_appear_where_the_camera_model_projects_them(config, renderer):
    blank = moved(Scene(config, 0).state(0), (-50, 0), (-50, 0), (-50, 0))
    for pose in POSES:
        for position in [(0.0, 0.0), (1.5, -1.0), (-2.0, 1.0)]:
            change = renderer.render(moved(blank, position, (-50, 0), (-50, 0)), pose).astype(int)
            rows, columns = np.nonzero(np.abs(change - renderer.render(blank, pose)).max(-1) > 40)
            right, up, depth = to_camera(pose, np.array([position[0], 0.45, position[1]]))
            focal = SIZE / 2 / np.tan(np.radians(pose.fov / 2))
            assert abs(columns.mean() + 0.5 - (SIZE / 2 + focal * right / depth)) < 1.0
            assert abs(rows.mean() + 0.5 - (SIZE / 2 - focal * up / depth)) < 1.0


def test_the_nearer_object_occludes_the_farther_one(config, renderer):
    blank = moved(Scene(config, 0).state(0), (-50, 0), (-50, 0), (-50, 0))
    low = Pose(4.8, 0.95, 0.0, 180, 0)
    red_first = renderer.render(moved(blank, (2.0, 0.0), (-2.0, 0.0), (-50, 0)), low)
    green_first = renderer.render(moved(blank, (-2.0, 0.0), (2.0, 0.0), (-50, 0)), low)
    middle = (slice(SIZE // 2 + 3, SIZE // 2 + 6), slice(SIZE // 2 - 1, SIZE // 2 + 1))
    assert (red_first[middle][..., 0] > 2 * red_first[middle][..., 1].astype(int)).all()
    assert (green_first[middle][..., 1] > 2 * green_first[middle][..., 0].astype(int)).all()


def test_all_objects_differ_in_color_from_each_other_the_floor_the_walls_and_bodies(config):
    """By more than a quarter of the range of a channel, where an object is at the center of the room."""
    full = replace(config, objects=MAX_OBJECTS)
    renderer = build_renderer(full)
    away = [(-50, 0)] * MAX_OBJECTS
    state = Scene(full, 0).state(0)
    for pose in POSES[:2]:
        empty = renderer.render(moved(state, *away), pose).astype(int)
        colors = []
        for i in range(MAX_OBJECTS):
            positions = away.copy()
            positions[i] = (0, 0)
            frame = renderer.render(moved(state, *positions), pose).astype(int)
            change = np.abs(frame - empty).max(-1)
            colors.append(np.median(frame[change > 0.7 * change.max()], axis=0))
        distances = np.abs(np.array(colors)[:, None] - np.array(colors)[None]).max(-1)
        assert distances[~np.eye(MAX_OBJECTS, dtype=bool)].min() > 64
        background = np.unique(empty.reshape(-1, 3), axis=0)
        assert np.abs(np.array(colors)[:, None] - background[None]).max(-1).min() > 64
        assert np.abs(np.array(colors) - 255 * np.array(BODY_COLOR)).max(-1).min() > 64
    renderer.close()


def test_the_colors_of_objects_are_far_apart():
    colors = np.array(OBJECT_COLORS)
    assert len(colors) == MAX_OBJECTS
    distances = np.abs(colors[:, None] - colors[None]).max(-1) + np.eye(MAX_OBJECTS)
    assert distances.min() >= 0.5
    assert np.ptp(colors, axis=1).min() == 1  # saturated: floor and walls are gray


def test_a_body_is_visible_to_peers_and_not_to_its_own_camera(config, renderer):
    mine, theirs = POSES[0], Pose(-4.8, 3.2, 0, 0, 0)
    scene = Scene(config, 0, [BodyEvent(1, "me", mine), BodyEvent(1, "peer", theirs)])
    before, after = scene.state(0), replace(scene.state(0), bodies=scene.state(1).bodies)
    assert (renderer.render(after, theirs, "peer") != renderer.render(before, theirs, "peer")).any()
    alone = replace(after, bodies=(("me", mine),))
    assert (renderer.render(alone, mine, "me") == renderer.render(before, mine, "me")).all()


@pytest.mark.gl
def test_a_second_miniworld_renderer_is_rejected_until_the_first_is_closed_or_deleted():
    config = SceneConfig(frame_size=16)
    state, frames = Scene(config, 0).state(0), []
    for release in ("close", "delete", "close"):
        renderer = build_renderer(config)
        frames.append(renderer.render(state, POSES[0]))
        with pytest.raises(RuntimeError, match="share_renderer"):
            build_renderer(config)
        if release == "close":
            renderer.close()
            renderer.close()
            with pytest.raises(RuntimeError, match="closed"):
                renderer.render(state, POSES[0])
        del renderer
        gc.collect()
    assert (frames[0] == frames[1]).all()
    assert (frames[0] == frames[2]).all()


@pytest.mark.gl
def test_another_process_renders_the_same_pixels():
    code = (
        "import hashlib; from env.camera import *; from env.renderers.build import *;"
        "from env.scene import *;"
        "c = SceneConfig(frame_size=32); pose = ring_pose(1, RingConfig());"
        "f = build_renderer(c).render(Scene(c, 5).state(77), pose);"
        "print(hashlib.sha256(f.tobytes()).hexdigest())"
    )
    config = SceneConfig(frame_size=32)
    renderer = build_renderer(config)
    here = hashlib.sha256(renderer.render(Scene(config, 5).state(77), POSES[1]).tobytes()).hexdigest()
    renderer.close()
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == here  # no other output


def test_missing_opengl_is_explained_with_the_remedy():
    code = "from env.renderers.build import *; build_renderer(SceneConfig())"
    environment = {"__EGL_VENDOR_LIBRARY_DIRS": "/nowhere", "PYTHONPATH": ":".join(sys.path)}
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert failed.returncode == 1
    assert "apt-get install -y libegl1 libgl1-mesa-dri libglu1-mesa" in failed.stderr.splitlines()[-1]


def test_threads_may_use_one_renderer_in_turn(config, renderer):
    state = Scene(config, 0).state(0)
    here, there = renderer.render(state, POSES[0]), []
    for _ in range(2):
        thread = threading.Thread(target=lambda: there.append(renderer.render(state, POSES[0])))
        thread.start()
        thread.join()
    there.append(renderer.render(state, POSES[0]))
    assert all((frame == here).all() for frame in there)


def test_a_shared_renderer_is_closed_with_its_last_reference(config):
    state = Scene(config, 0).state(0)
    one, two = share_renderer(config), share_renderer(config)
    frame = one.render(state, POSES[0])
    one.close()
    one.close()
    assert (two.render(state, POSES[0]) == frame).all()
    with pytest.raises(RuntimeError, match="closed"):
        one.render(state, POSES[0])
    two.close()
    again = share_renderer(config)
    assert (again.render(state, POSES[0]) == frame).all()
    again.close()

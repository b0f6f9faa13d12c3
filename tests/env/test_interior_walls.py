from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose
from env.depth import WALL, cast_rays, depth_map
from env.interior_walls import InteriorWallsConfig, crosses_rectangle, distance_to_wall, wall_hits
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig
from social_jepa.config.run_config import load_config

WALLS = InteriorWallsConfig(((0.0, -4.0, 0.0, 0.2),))
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "walls.toml"
AWAY = (-50.0, 0.0)
LOW = Pose(4.8, 0.95, 0.0, 180, 0)

both_renderers = pytest.mark.parametrize("kind", ["toy", pytest.param("miniworld", marks=pytest.mark.gl)])


def scene_with(kind, segments, height=1.5, **settings):
    areas = ((2.0, 0.0, 0.5, 0.5),)
    walls = InteriorWallsConfig(segments, height)
    return SceneConfig(
        renderer=kind, objects=1, frame_size=32, object_areas=areas, interior_walls=walls, **settings
    )


def test_rays_end_at_the_first_wall_and_pass_beside_above_and_behind():
    walls = InteriorWallsConfig(((0.0, -1.0, 0.0, 1.0), (-1.0, -1.0, -1.0, 1.0)), height=2.0)
    eye = np.array([2.0, 1.0, 0.0])
    rays = np.array([[-1, 0, 0], [-2, 0, 0.9], [-2, 0, 1.1], [-1, 0.4, 0], [-1, 0.6, 0], [1, 0, 0]])
    steps, index = wall_hits(walls, eye, rays)
    np.testing.assert_allclose(steps, [2, 1, np.inf, 2, np.inf, np.inf])
    assert index[:2].tolist() == [0, 0]
    assert wall_hits(walls, np.array([-0.5, 1.0, 0.0]), rays[:1])[1].tolist() == [1]


def test_a_slanted_wall_is_where_its_ends_say():
    rng = np.random.default_rng(0)
    walls = InteriorWallsConfig(((-1.0, 2.0, 3.0, -1.0),), height=2.0)
    for share, height in rng.uniform([0, 0], [1, 2], size=(50, 2)):
        point = np.array([-1 + 4 * share, height, 2 - 3 * share])
        eye = rng.uniform(-4, 4, 3)
        steps, _ = wall_hits(walls, eye, (point - eye)[None])
        assert steps[0] == pytest.approx(1)


def test_distances_and_crossings_of_rectangles():
    assert distance_to_wall((0, 0, 2, 0), 1, 3) == 3
    assert distance_to_wall((0, 0, 2, 0), 5, 4) == 5
    assert crosses_rectangle((0, -4, 0, 0.2), (0, 0), (1, 1))
    assert not crosses_rectangle((0, -4, 0, 0.2), (0, 1.3), (1, 1))
    assert not crosses_rectangle((-2, 0, 0, 2.1), (0, 0), (1, 1))  # past the corner
    assert crosses_rectangle((-2, 0, 0, 1.9), (0, 0), (1, 1))


@both_renderers
def test_a_wall_hides_what_is_behind_it_and_not_what_is_before_it(kind):
    blank = build_renderer(scene_with(kind, ((0.0, -2.0, 0.0, 2.0),)))
    state = Scene(scene_with(kind, ()), 0).state(0)

    def frame(x, z=0.0):
        return blank.render(replace(state, positions=np.array([[x, z]])), LOW).astype(int)

    empty = frame(*AWAY)
    assert (frame(-2.0) == empty).all()
    assert (np.abs(frame(2.0) - empty).max(-1) > 40).sum() > 20
    beside = np.abs(frame(-1.2, 2.6) - empty).max(-1) > 40
    assert beside.any()
    blank.close()


@both_renderers
def test_part_of_an_object_behind_the_end_of_a_wall_is_visible(kind):
    config = scene_with(kind, ((0.0, -2.0, 0.0, 0.0),))
    covered, free = {}, {}
    for found, settings in ((covered, config), (free, scene_with(kind, ()))):
        renderer = build_renderer(settings)
        state = Scene(settings, 0).state(0)
        empty = renderer.render(replace(state, positions=np.array([AWAY])), LOW).astype(int)
        frame = renderer.render(replace(state, positions=np.array([[-1.0, 0.0]])), LOW).astype(int)
        found["columns"] = np.flatnonzero((np.abs(frame - empty).max(-1) > 40).any(0))
        renderer.close()
    assert set(covered["columns"]) < set(free["columns"])
    assert abs(len(covered["columns"]) - len(free["columns"]) / 2) <= 1


@both_renderers
def test_walls_in_frames_are_where_rays_meet_them(kind):
    config = scene_with(kind, ((-1.0, -2.0, 0.5, 1.5),), bodies=False)
    bare = replace(config, interior_walls=InteriorWallsConfig())
    state = replace(Scene(config, 0).state(0), positions=np.array([AWAY]))
    frames = []
    for settings in (config, bare):
        renderer = build_renderer(settings)
        frames.append([renderer.render(state, ring_pose(k, RingConfig())).astype(int) for k in range(4)])
        renderer.close()
    for k in range(4):
        labels = depth_map(config, state, ring_pose(k, RingConfig()), 32).labels
        plain = depth_map(bare, state, ring_pose(k, RingConfig()), 32).labels
        drawn = np.abs(frames[0][k] - frames[1][k]).max(-1) > 4
        expected = (labels == WALL) & (plain != WALL)
        assert expected.any()
        assert (drawn == expected).mean() > 0.96  # antialiased edges are ambiguous


def test_depth_maps_end_at_interior_walls():
    config = scene_with("toy", ((0.0, -2.0, 0.0, 2.0),))
    state = replace(Scene(config, 0).state(0), positions=np.array([[-2.0, 0.0]]))
    steps, labels = cast_rays(config, state, np.array([4.0, 0.5, 0.0]), np.array([[-1.0, 0.0, 0.0]]))
    assert steps.tolist() == [4.0]
    assert labels.tolist() == [WALL]


@both_renderers
@pytest.mark.parametrize("tick", [0, 7])
def test_in_the_example_each_camera_misses_another_object_and_both_see_the_third(kind, tick):
    config = load_config(EXAMPLE, [f"scene.renderer={kind}", "scene.bodies=false"])
    state = Scene(config.scene, config.seed).state(tick)
    areas = config.scene.areas
    corners = [np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) * area[2:] + area[:2] for area in areas]
    renderer = build_renderer(config.scene)
    changed = np.zeros((2, 3), dtype=bool)
    for camera, pose in enumerate(config.poses()):
        before = renderer.render(state, pose)
        for k, places in enumerate(corners):
            frames = []
            for place in places:
                positions = state.positions.copy()
                positions[k] = place
                frames.append(renderer.render(replace(state, positions=positions), pose))
            changed[camera, k] = any((frame != before).any() for frame in frames)
    renderer.close()
    assert changed.tolist() == [[False, True, True], [True, False, True]]


@both_renderers
def test_in_the_example_objects_are_visible_at_nearly_every_tick(kind):
    config = load_config(EXAMPLE, [f"scene.renderer={kind}", "scene.bodies=false"])
    renderer, scene = build_renderer(config.scene), Scene(config.scene, config.seed)
    seen = []
    for tick in range(0, 1000, 10):
        state = scene.state(tick)
        for pose, objects in zip(config.poses(), ((1, 2), (0, 2)), strict=True):
            before = renderer.render(state, pose)
            for k in objects:
                positions = state.positions.copy()
                positions[k] = AWAY
                after = renderer.render(replace(state, positions=positions), pose)
                seen.append((after != before).any(-1).sum())
    renderer.close()
    assert min(seen) > 20


def test_objects_of_areas_stay_in_them():
    config = SceneConfig(objects=2, object_areas=((-2.0, 1.0, 0.5, 1.0), (1.0, -1.0, 1.5, 0.2)))
    positions = np.stack([Scene(config, 0).state(tick).positions for tick in range(300)])
    assert (np.abs(positions - config.areas[:, :2]) < config.areas[:, 2:]).all()
    assert (np.ptp(positions, axis=0) > config.areas[:, 2:]).all()


def test_walls_are_appearance_and_areas_are_motion():
    areas = ((-2.0, -2.0, 0.5, 0.5), (2.0, -2.0, 0.5, 0.5))
    config = SceneConfig(objects=2, object_areas=areas)
    walled = replace(config, interior_walls=WALLS)
    assert Scene(walled, 0).fingerprint == Scene(config, 0).fingerprint
    assert (Scene(walled, 0).state(9).positions == Scene(config, 0).state(9).positions).all()
    assert Scene(SceneConfig(objects=2), 0).fingerprint != Scene(config, 0).fingerprint


@pytest.mark.parametrize(
    ("walls", "message"),
    [
        ({"segments": ((0, 0, 1),)}, "x1, z1, x2, z2"),
        ({"segments": ((0, 0, 0, 0),)}, "no length"),
        ({"segments": ((0, 0, 0, float("nan")),)}, "segments"),
        ({"height": 0.0}, "height"),
    ],
)
def test_each_invalid_wall_is_rejected(walls, message):
    with pytest.raises(ValueError, match=message):
        InteriorWallsConfig(**walls)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interior_walls": WALLS}, "object 0 would pass through interior wall 0: set object_areas"),
        ({"interior_walls": InteriorWallsConfig(((5, 0, 5, 1),))}, "leaves the room"),
        ({"object_areas": ((0, 0, 1, 1),) * 3, "dynamics": "collide"}, "share the room: empty object_areas"),
        ({"object_areas": ((0, 0, 1, 1),)}, "each of the 3 objects, got 1"),
        ({"object_areas": ((0, 0, 1),) * 3}, "x, z, range_x, range_z"),
        ({"object_areas": ((3, 0, 1, 1),) * 3}, "pass through the wall of the room"),
        ({"object_areas": ((0, 0, 0, 1),) * 3}, "ranges of object_areas"),
    ],
)
def test_areas_that_objects_cannot_keep_to_are_rejected_with_the_remedy(settings, message):
    with pytest.raises(ValueError, match=message):
        SceneConfig(**settings)


def test_a_wall_may_stand_close_to_an_area_only_as_far_as_boxes_fit():
    def config(distance):
        return SceneConfig(
            objects=1,
            object_areas=((0, 0, 1, 1),),
            interior_walls=InteriorWallsConfig(((-1, 1 + distance, 1, 1 + distance),)),
        )

    config(0.64)
    with pytest.raises(ValueError, match=r"0\.64 meters"):
        config(0.63)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (
            Pose(0.05, 1.0, -2.0, 180, -10),
            r"stands in interior wall 0, or walks through it: raise y above 2\.2",
        ),
        (Pose(-4.5, 1.0, -1.0, 0, 0), "interior walls hide all places"),
        (Pose(2.0, 0.5, -2.0, 180, 0), "objects can reach the camera"),
    ],
)
def test_a_pose_that_walls_spoil_is_rejected_with_the_remedy(pose, message):
    config = SceneConfig(objects=1, object_areas=((2.0, -2.0, 1.0, 1.0),), interior_walls=WALLS)
    scene = Scene(config, 0)
    with pytest.raises(ValueError, match=message):
        scene.check_pose(pose)
    scene.check_pose(Pose(0.05, 2.3, -2.0, 0, -30))
    scene.check_pose(replace(pose, x=4.8, y=1.0, z=0.0, yaw=170))

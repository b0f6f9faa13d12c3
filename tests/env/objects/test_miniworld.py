import numpy as np
import pytest

from env.appearance import Look
from env.camera import RingConfig, ring_pose
from env.objects.dataset import CLASSES, ObjectsConfig, build_drawer
from env.objects.rotation import from_euler
from env.renderers.base import build_renderer
from env.scene import Scene, SceneConfig

pytestmark = pytest.mark.gl
SIZE = 32


def look(kind, angles):
    light, grey = np.array([0.0, 0.0, 1.0]), np.full(3, 0.5)
    return Look(kind, from_euler(np.array(angles, dtype=float)), np.ones(3), light, grey)


def test_a_mesh_turns_the_way_its_quaternion_says():
    drawer = build_drawer(ObjectsConfig(frame_size=SIZE))
    cone, duck = (CLASSES["miniworld"].index(name) for name in ("cone", "duckie"))
    above, below, beak, tail = drawer.draw(
        [look(cone, (90, 0, 0)), look(cone, (-90, 0, 0)), look(duck, (0, -90, 0)), look(duck, (0, 90, 0))]
    ).astype(int)
    middle = (slice(12, 20), slice(12, 20))
    colorful = [np.ptp(frame[middle], axis=-1).mean() for frame in (above, below)]
    assert colorful[0] > 10 * colorful[1]  # orange stripes from above, a black foot below

    def orange(frame):
        return ((frame[..., 0] > 150) & (frame[..., 1] < 0.65 * frame[..., 0]) & (frame[..., 2] < 80)).sum()

    assert orange(beak) > orange(tail) + 4
    drawer.close()


def test_objects_and_the_room_live_side_by_side():
    config = SceneConfig(frame_size=SIZE)
    state, pose = Scene(config, 0).state(0), ring_pose(0, RingConfig())
    rooms, things = [], []
    for order in ("room first", "objects first"):
        renderer = build_renderer(config) if order == "room first" else None
        drawer = build_drawer(ObjectsConfig(frame_size=SIZE))
        renderer = renderer or build_renderer(config)
        for _ in range(2):
            rooms.append(renderer.render(state, pose))
            things.append(drawer.draw([look(4, (20, 60, 0))])[0])
        drawer.close()
        rooms.append(renderer.render(state, pose))
        renderer.close()
    assert all((frame == rooms[0]).all() for frame in rooms)
    assert all((frame == things[0]).all() for frame in things)


def test_a_closed_drawer_draws_no_more():
    drawer = build_drawer(ObjectsConfig(frame_size=SIZE))
    drawer.close()
    drawer.close()
    with pytest.raises(RuntimeError, match="build another"):
        drawer.draw([look(0, (0, 0, 0))])

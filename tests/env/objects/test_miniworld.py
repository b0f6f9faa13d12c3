import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from env.appearance import ObjectView
from env.camera import RingConfig, ring_pose
from env.objects.dataset import CLASSES, ObjectsConfig, build_object_renderer
from env.objects.rotation import to_quaternions
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig

pytestmark = pytest.mark.gl
SIZE = 32


def view(class_index, angles):
    light, gray = np.array([0.0, 0.0, 1.0]), np.full(3, 0.5)
    rotation = to_quaternions(Rotation.from_euler("xyz", angles, degrees=True))
    return ObjectView(class_index, rotation, np.ones(3), light, gray)


def test_a_mesh_is_rotated_by_its_quaternion():
    renderer = build_object_renderer(ObjectsConfig(frame_size=SIZE))
    cone, duck = (CLASSES["miniworld"].index(name) for name in ("cone", "duckie"))
    above, below, beak, tail = renderer.render(
        [view(cone, (90, 0, 0)), view(cone, (-90, 0, 0)), view(duck, (0, -90, 0)), view(duck, (0, 90, 0))]
    ).astype(int)
    middle = (slice(12, 20), slice(12, 20))
    colorful = [np.ptp(frame[middle], axis=-1).mean() for frame in (above, below)]
    assert colorful[0] > 10 * colorful[1]  # orange stripes from above, a black foot below

    def orange(frame):
        return ((frame[..., 0] > 150) & (frame[..., 1] < 0.65 * frame[..., 0]) & (frame[..., 2] < 80)).sum()

    assert orange(beak) > orange(tail) + 4
    renderer.close()


def test_an_object_renderer_and_a_scene_renderer_coexist():
    config = SceneConfig(frame_size=SIZE)
    state, pose = Scene(config, 0).state(0), ring_pose(0, RingConfig())
    rooms, objects = [], []
    for order in ("room first", "objects first"):
        room = build_renderer(config) if order == "room first" else None
        renderer = build_object_renderer(ObjectsConfig(frame_size=SIZE))
        room = room or build_renderer(config)
        for _ in range(2):
            rooms.append(room.render(state, pose))
            objects.append(renderer.render([view(4, (20, 60, 0))])[0])
        renderer.close()
        rooms.append(room.render(state, pose))
        room.close()
    assert all((frame == rooms[0]).all() for frame in rooms)
    assert all((frame == objects[0]).all() for frame in objects)


def test_a_closed_renderer_raises():
    renderer = build_object_renderer(ObjectsConfig(frame_size=SIZE))
    renderer.close()
    renderer.close()
    with pytest.raises(RuntimeError, match="build another"):
        renderer.render([view(0, (0, 0, 0))])

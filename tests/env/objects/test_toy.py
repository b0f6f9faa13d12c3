import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from env.appearance import AMBIENT, DIFFUSE, ObjectView
from env.objects.dataset import CLASSES
from env.objects.rotation import from_quaternions, to_quaternions
from env.objects.toy import ToyObjectRenderer, corners

AHEAD = np.array([0.0, 0.0, 1.0])


def test_the_face_towards_the_camera_is_visible():
    renderer = ToyObjectRenderer(["cube"], 16)
    cube = renderer._solids[0]
    for angles in np.random.default_rng(0).choice([-90.0, 0.0, 90.0, 180.0], size=(20, 3)):
        quaternion = to_quaternions(Rotation.from_euler("xyz", angles, degrees=True))
        face = (cube.normals @ from_quaternions(quaternion).as_matrix().T)[:, 2].argmax()
        frame = renderer.render([ObjectView(0, quaternion, np.ones(3), AHEAD, np.zeros(3))])[0]
        assert np.abs(frame[8, 8] - 255 * cube.colors[face] * (AMBIENT + DIFFUSE)).max() <= 1


def test_every_toy_class_has_a_solid():
    assert set(CLASSES["toy"]) == set(corners())


@pytest.mark.parametrize("name", sorted(corners()))
def test_every_solid_is_convex_and_fits_into_the_ball_of_radius_1(name):
    solid = ToyObjectRenderer([name], 16)._solids[0]
    points = np.random.default_rng(0).normal(size=(2000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    inside = (solid.normals @ (1.001 * points).T <= solid.offsets[:, None]).all(0)
    assert not inside.any()
    assert len(np.unique(solid.colors.round(3), axis=0)) == len(solid.colors)

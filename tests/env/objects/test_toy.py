import numpy as np
import pytest

from env.appearance import AMBIENT, DIFFUSE, Look
from env.objects.dataset import CLASSES
from env.objects.rotation import from_euler, to_matrix
from env.objects.toy import ToyDrawer, corners

AHEAD = np.array([0.0, 0.0, 1.0])


def test_the_toy_shows_the_face_that_is_turned_to_the_camera():
    toy = ToyDrawer(["cube"], 16)
    cube = toy._solids[0]
    for angles in np.random.default_rng(0).choice([-90, 0, 90, 180], size=(20, 3)):
        turn = to_matrix(from_euler(angles.astype(float)))
        face = (cube.normals @ turn.T)[:, 2].argmax()
        centre = toy.draw([Look(0, from_euler(angles.astype(float)), np.ones(3), AHEAD, np.zeros(3))])[0][
            8, 8
        ]
        assert np.abs(centre - 255 * cube.colors[face] * (AMBIENT + DIFFUSE)).max() <= 1


def test_the_toy_knows_its_classes():
    assert set(CLASSES["toy"]) == set(corners())


@pytest.mark.parametrize("name", sorted(corners()))
def test_every_solid_is_convex_and_fits_into_the_ball_of_radius_1(name):
    solid = ToyDrawer([name], 16)._solids[0]
    points = np.random.default_rng(0).normal(size=(2000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    inside = (solid.normals @ (1.001 * points).T <= solid.offsets[:, None]).all(0)
    assert not inside.any()
    assert len(np.unique(solid.colors.round(3), axis=0)) == len(solid.colors)

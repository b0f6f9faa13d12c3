import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from env.objects.rotation import from_euler, inverse, multiply, relative, to_matrix, to_vector


def rotations(count=50, seed=0):
    return from_euler(np.random.default_rng(seed).uniform(-180, 180, size=(count, 3)))


def known(rotation):
    """The same rotations in SciPy's hands."""
    return Rotation.from_quat(rotation, scalar_first=True)


def test_angles_are_about_x_then_y_then_z_with_the_axes_staying_put():
    angles = np.random.default_rng(0).uniform(-180, 180, size=(50, 3))
    ours = to_matrix(from_euler(angles))
    assert np.allclose(ours, Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
    quarter = to_matrix(from_euler(np.array([0.0, 0.0, 90.0])))
    assert np.allclose(quarter @ [1, 0, 0], [0, 1, 0])


def test_matrices_and_vectors_are_those_of_an_independent_library():
    some = rotations()
    assert np.allclose(to_matrix(some), known(some).as_matrix())
    assert np.allclose(to_vector(some), known(some).as_rotvec())


def test_products_of_rotations_are_products_of_matrices():
    a, b = rotations(seed=1), rotations(seed=2)
    assert np.allclose(to_matrix(multiply(a, b)), to_matrix(a) @ to_matrix(b))


def test_every_result_is_a_unit_quaternion_of_one_sign():
    a, b = rotations(seed=1), rotations(seed=2)
    for some in (a, multiply(a, b), inverse(a), relative(a, b)):
        assert np.allclose(np.linalg.norm(some, axis=-1), 1)
        assert (some[..., 0] >= 0).all()


def test_relative_rotations_lead_from_one_to_the_other_and_compose():
    a, b, c = (rotations(seed=seed) for seed in range(3))
    assert np.allclose(multiply(relative(a, b), a), b)
    assert np.allclose(relative(a, c), multiply(relative(b, c), relative(a, b)))
    assert np.allclose(relative(b, a), inverse(relative(a, b)))
    assert np.allclose(relative(a, a), [1, 0, 0, 0])


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 1.0, np.pi - 1e-6])
def test_a_vector_is_the_axis_as_long_as_the_angle(angle):
    axis = np.array([2.0, -1.0, 2.0]) / 3
    rotation = np.array([np.cos(angle / 2), *(np.sin(angle / 2) * axis)])
    assert np.allclose(to_vector(rotation), angle * axis, rtol=1e-9, atol=0)
    assert np.allclose(to_vector(-rotation), angle * axis, rtol=1e-9, atol=1e-15)


def test_many_axes_of_rotations_are_welcome():
    some = rotations(24).reshape(2, 3, 4, 4)
    assert to_matrix(some).shape == (2, 3, 4, 3, 3)
    assert to_vector(some).shape == (2, 3, 4, 3)
    assert relative(some[:, :-1], some[:, 1:]).shape == (2, 2, 4, 4)

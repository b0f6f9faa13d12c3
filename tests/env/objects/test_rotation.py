import numpy as np
from scipy.spatial.transform import Rotation

from env.objects.rotation import from_quaternions, relative_quaternions, to_quaternions


def quaternions(shape=(50,), seed=0):
    angles = np.random.default_rng(seed).uniform(-180, 180, size=(*shape, 3))
    return to_quaternions(Rotation.from_euler("xyz", angles, degrees=True))


def test_quaternions_have_unit_norm_a_leading_w_and_one_sign():
    a, b = quaternions(seed=1), quaternions(seed=2)
    for each in (a, relative_quaternions(a, b)):
        assert np.allclose(np.linalg.norm(each, axis=-1), 1)
        assert (each[..., 0] >= 0).all()
    assert np.allclose(to_quaternions(Rotation.from_euler("z", 90, degrees=True)), [0.5**0.5, 0, 0, 0.5**0.5])


def test_rotations_survive_the_round_trip():
    a = quaternions()
    assert np.allclose(to_quaternions(from_quaternions(a)), a)
    assert np.allclose(to_quaternions(from_quaternions(-a)), a)


def test_relative_rotations_lead_from_one_rotation_to_the_other_and_compose():
    a, b, c = (quaternions(seed=seed) for seed in range(3))
    ab, bc, ac = relative_quaternions(a, b), relative_quaternions(b, c), relative_quaternions(a, c)
    assert np.allclose(to_quaternions(from_quaternions(ab) * from_quaternions(a)), b)
    assert np.allclose(to_quaternions(from_quaternions(bc) * from_quaternions(ab)), ac)
    assert np.allclose(relative_quaternions(a, a), [1, 0, 0, 0])


def test_leading_axes_are_kept_even_if_they_are_empty():
    a = quaternions((2, 3, 4))
    assert relative_quaternions(a[:, :-1], a[:, 1:]).shape == (2, 2, 4, 4)
    assert relative_quaternions(a[:, :0], a[:, :0]).shape == (2, 0, 4, 4)

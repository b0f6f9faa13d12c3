"""Rotations in space as unit quaternions (w, x, y, z), w >= 0; "a after b" is ``multiply(a, b)``.

A quaternion and its negative turn things alike. Everything here returns the one whose w is not negative, so
that a learner is never shown one rotation under two names.
"""

import numpy as np


def multiply(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the rotation ``before`` followed by ``after``, [..., 4] (Hamilton's product)."""
    w, x, y, z = np.moveaxis(np.asarray(after, dtype=np.float64), -1, 0)
    a, b, c, d = np.moveaxis(np.asarray(before, dtype=np.float64), -1, 0)
    parts = (
        w * a - x * b - y * c - z * d,
        w * b + x * a + y * d - z * c,
        w * c - x * d + y * a + z * b,
        w * d + x * c - y * b + z * a,
    )
    return _upper(np.stack(parts, axis=-1))


def inverse(rotation: np.ndarray) -> np.ndarray:
    """Return the rotation back, [..., 4]."""
    return np.asarray(rotation, dtype=np.float64) * np.array([1.0, -1.0, -1.0, -1.0])


def relative(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return what turns ``start`` into ``end``, [..., 4]: ``end == multiply(relative, start)``."""
    return multiply(end, inverse(start))


def from_euler(angles: np.ndarray) -> np.ndarray:
    """Return the rotation by angles about x, then y, then z, the axes staying put.

    Degrees [..., 3] -> [..., 4].
    """
    half = np.radians(np.asarray(angles, dtype=np.float64)) / 2
    turns = np.zeros((*half.shape, 4))
    turns[..., 0] = np.cos(half)
    turns[..., np.arange(3), np.arange(1, 4)] = np.sin(half)
    return multiply(turns[..., 2, :], multiply(turns[..., 1, :], turns[..., 0, :]))


def to_vector(rotation: np.ndarray) -> np.ndarray:
    """Return axis times angle, [..., 4] -> radians [..., 3], at most pi long."""
    rotation = _upper(np.asarray(rotation, dtype=np.float64))
    axis = rotation[..., 1:]
    length = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, rotation[..., :1])
    small = length < 1e-9  # there angle / length is 2 to within rounding
    return axis * np.where(small, 2.0, angle / np.where(small, 1.0, length))


def to_matrix(rotation: np.ndarray) -> np.ndarray:
    """Return the matrices that turn column vectors, [..., 4] -> [..., 3, 3]."""
    w, x, y, z = np.moveaxis(np.asarray(rotation, dtype=np.float64), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _upper(rotation: np.ndarray) -> np.ndarray:
    return np.where(rotation[..., :1] < 0, -rotation, rotation)

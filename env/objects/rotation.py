"""Rotations stored as unit quaternions (w, x, y, z) with w >= 0, on top of SciPy's Rotation.

A quaternion and its negative are the same rotation. The canonical one has w >= 0, so that a model never sees
one rotation as two targets.
"""

import numpy as np
from scipy.spatial.transform import Rotation


def to_quaternions(rotations: Rotation) -> np.ndarray:
    """Return the canonical quaternions of rotations, [..., 4]."""
    return rotations.as_quat(canonical=True, scalar_first=True)


def from_quaternions(quaternions: np.ndarray) -> Rotation:
    """Return the rotations of quaternions, [..., 4]."""
    return Rotation.from_quat(quaternions, scalar_first=True)


def relative_quaternions(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the rotations that follow ``start`` to give ``end``, as quaternions [..., 4]."""
    return to_quaternions(from_quaternions(end) * from_quaternions(start).inv())

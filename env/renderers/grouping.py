"""What the renderers that draw many frames together need of them: poses and bodies as arrays."""

from collections.abc import Sequence

import numpy as np

from env.camera import Pose
from env.scene_state import Bodies


def distinct_poses(poses: Sequence[Pose]) -> tuple[list[Pose], np.ndarray]:
    """Return the distinct objects among N poses, and the index of each frame's, int64 [N]."""
    numbers: dict[int, int] = {}
    found: list[Pose] = []
    for pose in poses:
        if id(pose) not in numbers:
            numbers[id(pose)] = len(found)
            found.append(pose)
    return found, np.array([numbers[id(pose)] for pose in poses], dtype=np.int64)


def visible_bodies(bodies: Sequence[Bodies], viewers: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return the bodies that each of N cameras can see, all but the viewer's own.

    Args:
        bodies: Of each frame.
        viewers: Names of the peers whose cameras they are.

    Returns:
        (x, y, z and yaw in degrees of each body, [N, B, 4]; whether it is there, bool [N, B]).
    """
    most = max((len(placed) for placed in bodies), default=0)
    places = np.zeros((len(bodies), most, 4))
    present = np.zeros((len(bodies), most), dtype=bool)
    known: dict[tuple[int, str | None], int] = {}
    rows: list[int] = []
    for row, (placed, viewer) in enumerate(zip(bodies, viewers, strict=True)):
        first = known.setdefault((id(placed), viewer), row)
        rows.append(first)
        if first == row:
            others = [pose for name, pose in placed if name != viewer]
            for column, pose in enumerate(others):
                places[row, column] = pose.x, pose.y, pose.z, pose.yaw
            present[row, : len(others)] = True
    return places[rows], present[rows]

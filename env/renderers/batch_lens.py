"""The camera and the light of the batch renderer, which are those of the MiniWorld renderer."""

import math
from dataclasses import dataclass
from typing import Final

from env.camera import Pose, camera_axes

# Column and row of each of four samples in its pixel, where Mesa's OpenGL has them, and of the center.
SAMPLES: Final = ((0.375, 0.875), (0.875, 0.625), (0.125, 0.375), (0.625, 0.125))
CENTER: Final = (0.5, 0.5)
NEAR_PLANE: Final = 0.04  # meters
# MiniWorld adds 1 to each coordinate of light_pos, here (0, 6, 0), and leaves the fourth at 0: OpenGL takes
# that for the direction of a light infinitely far away.
LIGHT: Final = (1.0, 7.0, 1.0)
AMBIENT: Final = 0.2 + 0.45  # OpenGL's own and the lamp's
DIFFUSE: Final = 0.7


@dataclass(frozen=True)
class Lens:
    """The geometry of a camera's picture.

    Attributes:
        eye: x, y, z of the camera, meters.
        axes: Right, up and forward, unit vectors in the room.
        edge: Tangent of half of the field of view.
        size: Pixels along each side of the picture.
    """

    eye: tuple[float, float, float]
    axes: list[list[float]]
    edge: float
    size: int

    @classmethod
    def of(cls, pose: Pose, size: int) -> "Lens":
        """Return the geometry of a camera at a pose."""
        edge = math.tan(math.radians(pose.fov / 2))
        return cls((pose.x, pose.y, pose.z), camera_axes(pose).tolist(), edge, size)

    def slopes(self, angle: float = 0.0) -> tuple[list[list[float]], list[float], list[float]]:
        """Return the components of rays to 1 meter in front of the camera as functions of column and row.

        Args:
            angle: Degrees by which the axes of the components are turned about the upright axis.

        Returns:
            (components at column 0 and row 0 of each sample and of the center, [3][5]; change from column to
            column, [3]; change from row to row, [3]).
        """
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        right, up, forward = ((cos * x - sin * z, y, sin * x + cos * z) for x, y, z in self.axes)
        across = [2 * self.edge / self.size * value for value in right]
        down = [-2 * self.edge / self.size * value for value in up]
        places = [(column - self.size / 2, row - self.size / 2) for column, row in (*SAMPLES, CENTER)]
        first = [
            [forward[k] + column * across[k] + row * down[k] for column, row in places] for k in range(3)
        ]
        return first, across, down


def face_light(normal: tuple[float, float, float]) -> float:
    """Return the intensity of the light on a face: ambient, and diffuse as Lambert's law says."""
    cosine = sum(n * x for n, x in zip(normal, LIGHT, strict=True)) / math.hypot(*LIGHT)
    return AMBIENT + DIFFUSE * max(0.0, cosine)

"""Single objects drawn with numpy alone: convex solids whose faces have colours of their own, evenly lit."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from env.appearance import AMBIENT, DIFFUSE, OBJECT_DISTANCE, OBJECT_FOV, Look
from env.objects.rotation import to_matrix

FINER = 2  # rays per pixel along each side, for smooth edges


@dataclass(frozen=True)
class Solid:
    """All points x with ``normals @ x <= offsets``; the farthest lies at 1.

    Attributes:
        normals: [faces, 3], unit vectors.
        offsets: [faces].
        colors: [faces, 3], red, green and blue parts in [0, 1].
    """

    normals: np.ndarray
    offsets: np.ndarray
    colors: np.ndarray


class ToyDrawer:
    """Draws one solid at a time, from straight ahead."""

    def __init__(self, names: Sequence[str], size: int) -> None:
        """Build the solids.

        Args:
            names: Keys of ``corners()``, by class.
            size: Pixels, square.
        """
        known = corners()
        self._solids = [_hull(known[name]) for name in names]
        self._size = size
        edge = math.tan(math.radians(OBJECT_FOV / 2))
        across = ((np.arange(size * FINER) + 0.5) / (size * FINER) * 2 - 1) * edge
        rays = np.stack(np.broadcast_arrays(across, -across[:, None], -1.0), axis=-1)
        self._rays = rays.reshape(-1, 3)

    def draw(self, looks: Sequence[Look]) -> np.ndarray:
        """Return a picture of each, uint8 [N, H, W, 3]."""
        frames = np.empty((len(looks), self._size, self._size, 3), dtype=np.uint8)
        for row, look in enumerate(looks):
            fine = self._trace(look).reshape(self._size, FINER, self._size, FINER, 3)
            frames[row] = 255 * fine.mean((1, 3)) + 0.5
        return frames

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def _trace(self, look: Look) -> np.ndarray:
        """Return the colour that each ray meets, [rays, 3].

        A ray is inside a convex solid from the last face that it enters to the first that it leaves by.
        """
        solid, turn = self._solids[look.kind], to_matrix(look.rotation)
        # The solid stays as it is, and the rays are turned and stretched the other way.
        eye = np.array([0.0, 0.0, OBJECT_DISTANCE]) @ turn / look.size
        along = (self._rays @ turn / look.size) @ solid.normals.T  # [rays, faces]
        before = solid.offsets - solid.normals @ eye
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = before / along
        entered = np.where(along < 0, steps, -np.inf)
        left = np.where(along > 0, steps, np.inf).min(-1)
        face = entered.argmax(-1)
        hit = entered.max(-1) < left

        normals = solid.normals / look.size @ turn.T
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        light = AMBIENT + DIFFUSE * np.maximum(normals @ look.light, 0.0)
        return np.where(hit[:, None], (light[:, None] * solid.colors)[face], look.background)


def corners() -> dict[str, np.ndarray]:
    """Return the corners of the solids by name, each [corners, 3]."""
    up = [(0.0, 1.0, 0.0)]
    both = [*up, (0.0, -1.0, 0.0)]
    box = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    return {
        "cube": box,
        "slab": box * (1.0, 0.2, 0.7),
        "pillar": box * (0.35, 1.0, 0.25),
        "tetrahedron": np.array([*_ring(3, 1.0, -0.4), *up]),
        "pyramid": np.array([*_ring(4, 1.0, -0.5), *up]),
        "prism": np.array([*_ring(3, 0.7, -0.8), *_ring(3, 0.7, 0.8)]),
        "hexagonal prism": np.array([*_ring(6, 0.9, -0.4), *_ring(6, 0.9, 0.4)]),
        "spindle": np.array([*_ring(5, 0.45, 0.2), *both]),
        "octahedron": np.array([*_ring(4, 1.0, 0.0), *both]),
        "frustum": np.array([*_ring(4, 1.0, -0.6), *_ring(4, 0.4, 0.6)]),
        "antiprism": np.array([*_ring(4, 0.9, -0.5), *_ring(4, 0.9, 0.5, 45.0)]),
        "wedge": np.array([*(box[box[:, 1] < 0] * (1.0, 0.5, 0.7)), (1.0, 0.7, 0.7), (1.0, 0.7, -0.7)]),
    }


def _ring(count: int, radius: float, y: float, turned: float = 0.0) -> list[tuple[float, float, float]]:
    """Return points on a level circle, the first one turned by some degrees."""
    angles = [math.radians(turned + 360.0 * k / count) for k in range(count)]
    return [(radius * math.cos(angle), y, radius * math.sin(angle)) for angle in angles]


def _hull(points: np.ndarray) -> Solid:
    """Return the solid with given corners, moved and scaled into the ball of radius 1."""
    points = points - (points.min(0) + points.max(0)) / 2
    points = points / np.linalg.norm(points, axis=1).max()
    planes = np.unique(ConvexHull(points).equations.round(9), axis=0)  # a square face comes as two triangles
    hues = (0.618034 * np.arange(len(planes))) % 1  # the golden ratio: neighbours in the list look unlike
    colors = np.array([colorsys.hsv_to_rgb(hue, 0.75, 1.0) for hue in hues])
    return Solid(planes[:, :3], -planes[:, 3], colors)

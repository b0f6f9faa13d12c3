"""Renderer of single objects with numpy alone: convex solids whose faces have different colors."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from env.appearance import AMBIENT, DIFFUSE, OBJECT_DISTANCE, OBJECT_FOV, ObjectView
from env.objects.rotation import from_quaternions

SUPERSAMPLING = 2  # rays per pixel along each side, against aliasing


@dataclass(frozen=True)
class Solid:
    """All points x with ``normals @ x <= offsets``; the farthest has norm 1.

    Attributes:
        normals: [faces, 3], unit vectors.
        offsets: [faces].
        colors: [faces, 3], RGB in [0, 1].
    """

    normals: np.ndarray
    offsets: np.ndarray
    colors: np.ndarray


class ToyObjectRenderer:
    """Renders one solid at a time, from straight ahead."""

    def __init__(self, names: Sequence[str], size: int) -> None:
        """Build the solids.

        Args:
            names: Keys of ``corners()``, by class index.
            size: Pixels, square.
        """
        known = corners()
        self._solids = [_hull(known[name]) for name in names]
        self._size = size
        edge = math.tan(math.radians(OBJECT_FOV / 2))
        across = ((np.arange(size * SUPERSAMPLING) + 0.5) / (size * SUPERSAMPLING) * 2 - 1) * edge
        rays = np.stack(np.broadcast_arrays(across, -across[:, None], -1.0), axis=-1)
        self._rays = rays.reshape(-1, 3)

    def render(self, views: Sequence[ObjectView]) -> np.ndarray:
        """Return a picture of each view, uint8 [N, H, W, 3]."""
        frames = np.empty((len(views), self._size, self._size, 3), dtype=np.uint8)
        for row, view in enumerate(views):
            fine = self._trace(view).reshape(self._size, SUPERSAMPLING, self._size, SUPERSAMPLING, 3)
            frames[row] = 255 * fine.mean((1, 3)) + 0.5
        return frames

    def close(self) -> None:
        """Do nothing: there are no resources to release."""

    def _trace(self, view: ObjectView) -> np.ndarray:
        """Return the color of each ray, [rays, 3].

        A ray is inside a convex solid from the last face that it enters to the first face that it leaves.
        """
        solid = self._solids[view.class_index]
        rotation = from_quaternions(view.rotation).as_matrix()
        # Rays are transformed into the solid's coordinates.
        eye = np.array([0.0, 0.0, OBJECT_DISTANCE]) @ rotation / view.size
        along = (self._rays @ rotation / view.size) @ solid.normals.T  # [rays, faces]
        distance = solid.offsets - solid.normals @ eye
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = distance / along
        entered = np.where(along < 0, steps, -np.inf)
        left = np.where(along > 0, steps, np.inf).min(-1)
        face = entered.argmax(-1)
        hit = entered.max(-1) < left

        normals = solid.normals / view.size @ rotation.T
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        light = AMBIENT + DIFFUSE * np.maximum(normals @ view.light, 0.0)
        return np.where(hit[:, None], (light[:, None] * solid.colors)[face], view.background)


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


def _ring(count: int, radius: float, y: float, angle: float = 0.0) -> list[tuple[float, float, float]]:
    """Return points on a horizontal circle, the first at ``angle`` degrees."""
    angles = [math.radians(angle + 360.0 * k / count) for k in range(count)]
    return [(radius * math.cos(each), y, radius * math.sin(each)) for each in angles]


def _hull(points: np.ndarray) -> Solid:
    """Return the solid with given corners, centered and scaled into the ball of radius 1."""
    points = points - (points.min(0) + points.max(0)) / 2
    points = points / np.linalg.norm(points, axis=1).max()
    planes = np.unique(ConvexHull(points).equations.round(9), axis=0)  # a square face comes as two triangles
    hues = (0.618034 * np.arange(len(planes))) % 1  # golden ratio: adjacent faces of the list differ in hue
    colors = np.array([colorsys.hsv_to_rgb(hue, 0.75, 1.0) for hue in hues])
    return Solid(planes[:, :3], -planes[:, 3], colors)

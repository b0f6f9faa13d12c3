"""Depth maps of the scene by ray casting, and the overlap of what two cameras see.

Rays are followed to the first floor, wall or box that they hit. The room's walls are visible from the inside
only, as MiniWorld draws them, so that a camera outside the room looks through the near one; interior walls
hide from both sides. Bodies are left out.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from env.camera import Pose, camera_axes, in_view
from env.interior_walls import wall_hits
from env.scene import SceneConfig
from env.scene_state import SceneState

EMPTY: Final = -3  # labels of a pixel; 0 and above are object indices
WALL: Final = -2
FLOOR: Final = -1
OCCLUSION_TOLERANCE: Final = 1e-6  # share of a ray's length by which rounding may occlude a visible point


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth, label and position of each pixel of a square picture.

    Attributes:
        distances: [H, W], meters from the camera; infinite where a ray hits nothing.
        labels: int [H, W], an object's index, FLOOR, WALL or EMPTY.
        points: [H, W, 3], meters in the room; NaN where a ray hits nothing.
    """

    distances: np.ndarray
    labels: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Overlap:
    """Shares of one camera's pixels that another camera sees too.

    Attributes:
        pixels: Among all pixels that are not empty.
        surface: Among the pixels of objects; NaN without any.
    """

    pixels: float
    surface: float


def depth_map(config: SceneConfig, state: SceneState, pose: Pose, size: int) -> DepthMap:
    """Return the depth map of a camera with ``size`` by ``size`` pixels."""
    edge = math.tan(math.radians(pose.fov / 2))
    across = ((np.arange(size) + 0.5) / size * 2 - 1) * edge
    rays = np.stack(np.broadcast_arrays(across, -across[:, None], 1.0), axis=-1) @ camera_axes(pose)
    origin = np.array([pose.x, pose.y, pose.z])
    steps, labels = cast_rays(config, state, origin, rays)
    finite_steps = np.where(labels == EMPTY, np.nan, steps)
    return DepthMap(steps * np.linalg.norm(rays, axis=-1), labels, origin + finite_steps[..., None] * rays)


def overlap(config: SceneConfig, state: SceneState, pose: Pose, other: Pose, size: int) -> Overlap:
    """Return the share of what a camera sees that another camera sees too.

    The other camera sees a point if it projects into its picture and nothing occludes it.

    Args:
        config: Of the scene.
        state: Of the scene at one tick.
        pose: The camera whose pixels are counted.
        other: The other camera.
        size: Pixels of the first camera, square.
    """
    depth = depth_map(config, state, pose, size)
    hit = depth.labels != EMPTY
    points, labels = depth.points[hit], depth.labels[hit]
    origin = np.array([other.x, other.y, other.z])
    steps, other_labels = cast_rays(config, state, origin, points - origin)
    visible = in_view(other, points) & (steps > 1 - OCCLUSION_TOLERANCE) & (other_labels == labels)
    return Overlap(_share(visible), _share(visible[labels >= 0]))


def seen_surfaces(config: SceneConfig, state: SceneState, pose: Pose, per_edge: int) -> np.ndarray:
    """Return which points on the boxes' surfaces a camera sees, bool [objects, 5 * per_edge**2].

    The points lie on a grid of equal cells, the same for every camera, on the top and the four sides of each
    box, so that equally many points are equally large surfaces.

    Args:
        config: Of the scene.
        state: Of the scene at one tick.
        pose: The camera.
        per_edge: Points along an edge of a box.
    """
    origin = np.array([pose.x, pose.y, pose.z])
    places = np.zeros((len(state.positions), 1, 3))
    places[:, 0, [0, 2]] = state.positions
    points = places + _box_points(config.object_size, per_edge)
    steps, labels = cast_rays(config, state, origin, points - origin)
    own = labels == np.arange(len(points))[:, None]
    return in_view(pose, points) & (steps > 1 - OCCLUSION_TOLERANCE) & own


def _box_points(size: float, per_edge: int) -> np.ndarray:
    """Return points on the top and the sides of a box on the floor, [5 * per_edge**2, 3]."""
    cells = (np.arange(per_edge) + 0.5) / per_edge - 0.5
    across, along = (grid.ravel() for grid in np.meshgrid(cells, cells))
    end, height = np.full_like(across, 0.5), along + 0.5
    faces = [np.stack([across, 2 * end, along], axis=1)]
    for side in (-end, end):
        faces += [np.stack([side, height, across], axis=1), np.stack([across, height, side], axis=1)]
    return size * np.concatenate(faces)


def cast_rays(
    config: SceneConfig, state: SceneState, origin: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first hit of each ray.

    Args:
        config: Of the scene.
        state: Of the scene at one tick.
        origin: [3], where all rays start.
        rays: [..., 3], of any length.

    Returns:
        (distance to the hit in lengths of the ray, [...], infinite for a miss; label of the hit, int [...]).

    Raises:
        ValueError: An object is rotated, which is not supported.
    """
    if np.any(state.yaws % 90):
        raise ValueError(f"ray casting supports axis-aligned boxes only, got yaws {state.yaws}")
    with np.errstate(divide="ignore", invalid="ignore"):  # a ray parallel to a plane never meets it
        inside, _ = wall_hits(config.interior_walls, origin, rays)
        steps = [_floor_hits(config, origin, rays), np.minimum(_wall_hits(config, origin, rays), inside)]
        steps += [_box_hits(config.object_size, position, origin, rays) for position in state.positions]
    nearest = np.argmin(steps, axis=0)
    found = np.take_along_axis(np.stack(steps), nearest[None], axis=0)[0]
    labels = np.array([FLOOR, WALL, *range(len(state.positions))])
    return found, np.where(np.isinf(found), EMPTY, labels[nearest])


def _floor_hits(config: SceneConfig, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    steps = -origin[1] / rays[..., 1]
    points = origin + steps[..., None] * rays
    inside = np.abs(points[..., [0, 2]]).max(-1) <= config.room_size / 2
    return np.where((steps > 0) & inside, steps, np.inf)


def _wall_hits(config: SceneConfig, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    half, nearest = config.room_size / 2, np.full(rays.shape[:-1], np.inf)
    for axis, along in ((0, 2), (2, 0)):
        steps = (np.copysign(half, rays[..., axis]) - origin[axis]) / rays[..., axis]  # leaving the room
        points = origin + steps[..., None] * rays
        inside = (np.abs(points[..., along]) <= half) & (points[..., 1] >= 0)
        hit = (steps > 0) & inside & (points[..., 1] <= config.wall_height)
        nearest = np.minimum(nearest, np.where(hit, steps, np.inf))
    return nearest


def _box_hits(size: float, position: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Return the steps to a box on the floor by the slab method: inside all three pairs of planes."""
    low = np.array([position[0] - size / 2, 0.0, position[1] - size / 2])
    sides = np.stack([low - origin, low + size - origin])
    crossings = np.sort(sides.reshape(2, *(1,) * (rays.ndim - 1), 3) / rays, axis=0)
    enters, leaves = crossings[0].max(-1), crossings[1].min(-1)
    return np.where((enters <= leaves) & (enters > 0), enters, np.inf)


def _share(mask: np.ndarray) -> float:
    return float(mask.mean()) if mask.size else math.nan

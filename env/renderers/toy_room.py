"""The room of the toy renderer: sky, a tiled floor and interior walls, cast once for each pose."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from env.camera import Pose, camera_axes
from env.interior_walls import InteriorWallsConfig, wall_hits

SKY = (190.0, 190.0, 190.0)
GROUND = (105.0, 105.0, 105.0)  # outside the room
WALL = (176.0, 132.0, 96.0)
WALL_TILE = 0.5  # meters, the side of the pattern on an interior wall
KEPT_ROOMS, KEPT_BYTES = 64, 2**30  # pictures of one size that are kept, at most
PIXEL_BYTES = 59  # of a `Room`
TILE_SHADE, BACK_SHADE = 0.9, 0.75  # of every other tile, and of the side of a wall that faces away


@dataclass(frozen=True, eq=False)
class Room:
    """A camera's picture of a room without objects; the arrays are not to be written to.

    Attributes:
        picture: float [H, W, 3], gray levels from 0 to 255.
        pixels: uint8 [H, W, 3], the picture rounded.
        rays: [H, W, 3], directions of the pixels; their component along the camera's axis is 1.
        wall_steps: [H, W], how far a ray runs to the first interior wall; infinite for a miss. None where
            the room has no interior walls.
    """

    picture: np.ndarray
    pixels: np.ndarray
    rays: np.ndarray
    wall_steps: np.ndarray | None


def see_room(pose: Pose, size: int, room_size: float, walls: InteriorWallsConfig) -> Room:
    """Return a camera's picture of the room without objects, with ``size`` by ``size`` pixels.

    The floor is tiled; it brightens along x and reddens along z, so that no two sides of the room look alike.
    The pictures of the latest poses are kept.
    """
    return _caster(size)(pose, size, room_size, walls)


@lru_cache(maxsize=2)
def _caster(size: int) -> Callable[[Pose, int, float, InteriorWallsConfig], Room]:
    """Return `_cast_room` with a cache of pictures of one size: fewer of large ones, which fill memory."""
    return lru_cache(maxsize=max(2, min(KEPT_ROOMS, KEPT_BYTES // (PIXEL_BYTES * size**2))))(_cast_room)


def _cast_room(pose: Pose, size: int, room_size: float, walls: InteriorWallsConfig) -> Room:
    edge = math.tan(math.radians(pose.fov / 2))
    across = ((np.arange(size) + 0.5) / size * 2 - 1) * edge
    rays = np.stack(np.broadcast_arrays(across, -across[:, None], 1.0), axis=-1) @ camera_axes(pose)
    down = rays[..., 1] < -1e-6
    steps = np.where(down, -pose.y / np.where(down, rays[..., 1], -1.0), 0.0)
    x, z = pose.x + steps * rays[..., 0], pose.z + steps * rays[..., 2]
    half = room_size / 2
    gray = 150.0 + 8.0 * ((np.floor(x) + np.floor(z)) % 2) + 10.0 * x / half
    floor = np.stack([gray + 10.0 * z / half, gray, gray], axis=-1)
    inside = down & (np.abs(x) < half) & (np.abs(z) < half)
    picture = np.where(down[..., None], np.array(GROUND), np.array(SKY))
    picture = np.where(inside[..., None], floor, picture)
    if not walls.segments:
        return Room(picture, to_bytes(picture), rays, None)
    eye = np.array([pose.x, pose.y, pose.z])
    wall_steps, index = wall_hits(walls, eye, rays)
    colors = _wall_colors(walls, index, eye, rays, np.where(np.isinf(wall_steps), 0.0, wall_steps))
    picture = np.where(np.isinf(wall_steps)[..., None], picture, colors)
    return Room(picture, to_bytes(picture), rays, wall_steps)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Return gray levels rounded, [...] -> uint8 [...]."""
    return (values + 0.5).astype(np.uint8)


def _wall_colors(
    walls: InteriorWallsConfig, index: np.ndarray, eye: np.ndarray, rays: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Return the color of the wall that each ray meets, [H, W, 3]: tiled, and darker on one side."""
    ends = np.array(walls.segments)[index]  # [H, W, 4]
    along = ends[..., 2:] - ends[..., :2]
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    points = eye + steps[..., None] * rays
    places = ((points[..., [0, 2]] - ends[..., :2]) * along).sum(-1)  # meters from the wall's first end
    odd = (np.floor(places / WALL_TILE) + np.floor(points[..., 1] / WALL_TILE)) % 2
    back = along[..., 0] * rays[..., 2] - along[..., 1] * rays[..., 0] > 0
    shade = np.where(odd, TILE_SHADE, 1.0) * np.where(back, BACK_SHADE, 1.0)
    return shade[..., None] * np.array(WALL)

"""What the pixels of a camera show of the scene, and how much of it another camera sees too.

Rays are followed to the first floor, wall or box that they hit. Walls are seen from the inside only, as
MiniWorld draws them, so that a camera outside looks through the near one. Bodies are left out.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from env.camera import Pose, camera_axes, in_view
from env.scene import SceneConfig, SceneState

NOTHING: Final = -3  # what a pixel shows; 0 and more are the numbers of objects
WALL: Final = -2
FLOOR: Final = -1
TOUCHING: Final = 1e-6  # share of a ray's length by which rounding may hide a point from who sees it


@dataclass(frozen=True, eq=False)
class DepthMap:
    """What each pixel of a square picture shows.

    Attributes:
        distances: [H, W], metres from the camera; infinite where there is nothing.
        things: int [H, W], the number of an object, FLOOR, WALL or NOTHING.
        points: [H, W, 3], metres in the room; not a number where there is nothing.
    """

    distances: np.ndarray
    things: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Overlap:
    """How much of what one camera sees another sees too, as shares of the first one's pixels.

    Attributes:
        pixels: Of all pixels that show something.
        surface: Of the pixels that show an object; not a number where none does.
    """

    pixels: float
    surface: float


def depth_map(config: SceneConfig, state: SceneState, pose: Pose, size: int) -> DepthMap:
    """Return what a camera's pixels show, size by size of them."""
    edge = math.tan(math.radians(pose.fov / 2))
    across = ((np.arange(size) + 0.5) / size * 2 - 1) * edge
    rays = np.stack(np.broadcast_arrays(across, -across[:, None], 1.0), axis=-1) @ camera_axes(pose)
    origin = np.array([pose.x, pose.y, pose.z])
    steps, things = first_hits(config, state, origin, rays)
    seen = np.where(things == NOTHING, np.nan, steps)
    return DepthMap(steps * np.linalg.norm(rays, axis=-1), things, origin + seen[..., None] * rays)


def overlap(config: SceneConfig, state: SceneState, pose: Pose, other: Pose, size: int) -> Overlap:
    """Return how much of what a camera sees another sees too.

    A point counts as seen by the other camera where it falls into its picture and nothing hides it.

    Args:
        config: Of the scene.
        state: What stands where.
        pose: Of the camera whose pixels are counted.
        other: Of the other camera.
        size: Pixels of the first camera, square.
    """
    shown = depth_map(config, state, pose, size)
    real = shown.things != NOTHING
    points, things = shown.points[real], shown.things[real]
    eye = np.array([other.x, other.y, other.z])
    steps, hit = first_hits(config, state, eye, points - eye)
    seen = in_view(other, points) & (steps > 1 - TOUCHING) & (hit == things)
    return Overlap(_share(seen), _share(seen[things >= 0]))


def first_hits(
    config: SceneConfig, state: SceneState, origin: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where rays first hit something.

    Args:
        config: Of the scene.
        state: What stands where.
        origin: [3], where all rays begin.
        rays: [..., 3], of any length.

    Returns:
        (how many lengths of the ray to go, [...], infinite where nothing is hit; what is hit, int [...]).

    Raises:
        ValueError: An object is turned, which this caster does not know.
    """
    if np.any(state.yaws % 90):
        raise ValueError(f"the ray caster knows boxes that stand straight, got yaws {state.yaws}")
    with np.errstate(divide="ignore", invalid="ignore"):  # a ray along a plane never meets it
        steps = [_floor(config, origin, rays), _walls(config, origin, rays)]
        steps += [_box(config.object_size, place, origin, rays) for place in state.positions]
    nearest = np.argmin(steps, axis=0)
    found = np.take_along_axis(np.stack(steps), nearest[None], axis=0)[0]
    numbers = np.array([FLOOR, WALL, *range(len(state.positions))])
    return found, np.where(np.isinf(found), NOTHING, numbers[nearest])


def _floor(config: SceneConfig, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    steps = -origin[1] / rays[..., 1]
    reached = origin + steps[..., None] * rays
    inside = np.abs(reached[..., [0, 2]]).max(-1) <= config.room_size / 2
    return np.where((steps > 0) & inside, steps, np.inf)


def _walls(config: SceneConfig, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    half, nearest = config.room_size / 2, np.full(rays.shape[:-1], np.inf)
    for axis, along in ((0, 2), (2, 0)):
        steps = (np.copysign(half, rays[..., axis]) - origin[axis]) / rays[..., axis]  # leaving the room
        reached = origin + steps[..., None] * rays
        inside = (np.abs(reached[..., along]) <= half) & (reached[..., 1] >= 0)
        hit = (steps > 0) & inside & (reached[..., 1] <= config.wall_height)
        nearest = np.minimum(nearest, np.where(hit, steps, np.inf))
    return nearest


def _box(size: float, place: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Return the steps to a box on the floor: where a ray is inside all three pairs of its planes."""
    low = np.array([place[0] - size / 2, 0.0, place[1] - size / 2])
    sides = np.stack([low - origin, low + size - origin])
    crossings = np.sort(sides.reshape(2, *(1,) * (rays.ndim - 1), 3) / rays, axis=0)
    enters, leaves = crossings[0].max(-1), crossings[1].min(-1)
    return np.where((enters <= leaves) & (enters > 0), enters, np.inf)


def _share(seen: np.ndarray) -> float:
    return float(seen.mean()) if seen.size else math.nan

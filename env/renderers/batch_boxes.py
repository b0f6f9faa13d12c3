"""Boxes that cameras see, as arrays: their sides, corners in the picture, and colors of their faces."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from env.appearance import BODY_COLOR, BODY_SIZE, OBJECT_COLORS
from env.renderers.batch_lens import NEAR_PLANE, Lens, face_light
from env.scene import SceneConfig


@dataclass(frozen=True, eq=False)
class Boxes:
    """B upright boxes that one camera sees in N frames, in the order of the frames.

    "Along its axes" is in meters from the camera, along axes that are turned with the box.

    Attributes:
        frames: int64 [B], index of the frame of each.
        numbers: int64 [B], of its object or body in the frame, from 0.
        low: [3, B], its sides along its axes.
        high: [3, B], its sides along its axes.
        colors: int64 [3, B], of the face towards the camera along each axis, packed (`pack_colors`).
        turns: int64 [B], index of its angle among the angles.
        angles: Distinct angles about the upright axis, in degrees.
        corners: [2, 8, B], column and row of its corners in the picture; bit k of a corner's index says on
            which side along axis k it is. Corners of a box that reaches behind the camera are the picture's.
        hidden_by_room: bool [B], whether parts of the room can hide it.
    """

    frames: np.ndarray
    numbers: np.ndarray
    low: np.ndarray
    high: np.ndarray
    colors: np.ndarray
    turns: np.ndarray
    angles: Sequence[float]
    corners: np.ndarray
    hidden_by_room: np.ndarray

    def of_frames(self, start: int, stop: int) -> "Boxes":
        """Return the boxes of a range of frames, which are numbered from 0."""
        first, last = np.searchsorted(self.frames, (start, stop))
        at = slice(first, last)
        return Boxes(
            self.frames[at] - start, self.numbers[at], self.low[:, at], self.high[:, at], self.colors[:, at],
            self.turns[at], self.angles, self.corners[:, :, at], self.hidden_by_room[at],
        )  # fmt: skip


def pack_colors(colors: np.ndarray) -> np.ndarray:
    """Return three channels, up to 65535 each, as one whole number, int64 [..., 3] -> [...]."""
    return colors[..., 0] + (colors[..., 1] << 16) + (colors[..., 2] << 32)


def visible_boxes(
    config: SceneConfig,
    lens: Lens,
    positions: np.ndarray,
    yaws: np.ndarray,
    bodies: np.ndarray,
    present: np.ndarray,
) -> Boxes:
    """Return the boxes of objects and bodies that are in a camera's picture.

    Args:
        config: Of the scene.
        lens: The camera.
        positions: [N, objects, 2], x and z.
        yaws: [N, objects], degrees.
        bodies: [N, bodies, 4], x, y, z and yaw of their centers.
        present: bool [N, bodies].
    """  # fmt: skip
    count, objects, _ = positions.shape
    placed = bodies.shape[1]
    centers = np.empty((count, objects + placed, 3))
    centers[:, :objects, [0, 2]], centers[:, :objects, 1] = positions, config.object_size / 2
    centers[:, objects:] = bodies[..., :3]
    centers -= lens.eye
    halves = np.repeat([config.object_size / 2, BODY_SIZE / 2], [objects, placed])
    shown = _in_view(lens, centers, math.sqrt(3) * halves)
    shown[:, objects:] &= present
    frames, numbers = np.nonzero(shown)
    half = halves[numbers]
    turned = np.concatenate([yaws, bodies[..., 3]], axis=1)[frames, numbers]
    angles, turns = np.unique(turned, return_inverse=True)
    offsets = centers[frames, numbers].T  # [3, B]
    cos, sin = (np.array([f(math.radians(angle)) for angle in angles])[turns] for f in (math.cos, math.sin))
    along = np.stack([cos * offsets[0] - sin * offsets[2], offsets[1], sin * offsets[0] + cos * offsets[2]])
    hidden = np.repeat([bool(config.interior_walls.segments), True], [objects, placed])
    return Boxes(
        frames, numbers, along - half, along + half, _face_colors(angles, turns, along, numbers, objects),
        turns, angles.tolist(), _corners(lens, offsets, cos * half, sin * half, half), hidden[numbers],
    )  # fmt: skip


def _in_view(lens: Lens, centers: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return which balls around boxes can reach into the picture, [N, K, 3] -> bool [N, K]."""
    right, up, depth = _project(lens, np.moveaxis(centers, 2, 0))
    reach = lens.edge * depth + math.sqrt(1 + lens.edge**2) * radii
    return (depth > NEAR_PLANE - radii) & (np.abs(right) < reach) & (np.abs(up) < reach)


def _project(lens: Lens, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return meters to the right of a camera, above it and in front of it, of points [3, ...]."""
    x, y, z = points
    # Products one by one: how a matrix product rounds would depend on the number of points.
    return tuple(x * axis[0] + y * axis[1] + z * axis[2] for axis in lens.axes)


def _corners(
    lens: Lens, centers: np.ndarray, cos: np.ndarray, sin: np.ndarray, half: np.ndarray
) -> np.ndarray:
    """Return the corners of boxes in the picture, [3, B] -> [2, 8, B]; cos and sin are times half."""
    zero = np.zeros_like(half)
    corners = np.stack(_project(lens, centers))[:, None]  # [3, 1, B], then 2, 4 and 8 of them
    for side in ((cos, zero, -sin), (zero, half, zero), (sin, zero, cos)):
        step = np.stack(_project(lens, np.stack(side)))[:, None]
        corners = np.concatenate([corners - step, corners + step], axis=1)
    right, up, depth = corners
    scale = lens.size / 2 / lens.edge / np.maximum(depth, NEAR_PLANE)
    found = np.stack([lens.size / 2 + right * scale, lens.size / 2 - up * scale])
    whole = lens.size * np.array([(0, 1) * 4, (0, 0, 1, 1) * 2])[:, :, None]
    return np.where(depth.min(0) > NEAR_PLANE, found, whole)


def _face_colors(
    angles: np.ndarray, turns: np.ndarray, along: np.ndarray, numbers: np.ndarray, objects: int
) -> np.ndarray:
    """Return the packed color of the face towards the camera along each axis, int64 [3, B].

    Args:
        angles: [T], in degrees.
        turns: [B], index of each box's angle.
        along: [3, B], centers along the boxes' axes.
        numbers: [B], of the object or body; bodies follow after the objects.
        objects: Number of objects.
    """
    palette = np.array([*OBJECT_COLORS[:objects], BODY_COLOR])
    table = np.empty((len(angles), 3, 2, len(palette)), dtype=np.int64)  # [angle, axis, side, color]
    for row, angle in zip(table, np.radians(angles).tolist(), strict=True):
        cos, sin = math.cos(angle), math.sin(angle)
        for axis, normal in enumerate(((cos, 0.0, -sin), (0.0, 1.0, 0.0), (sin, 0.0, cos))):
            for side, sign in enumerate((1, -1)):  # side 0 of a box at a negative place faces the camera
                x, y, z = normal
                shades = np.minimum(face_light((sign * x, sign * y, sign * z)) * palette, 1)
                row[axis, side] = pack_colors(np.floor(255 * shades + 0.5).astype(np.int64))
    colors = np.minimum(numbers, objects)
    found: np.ndarray = table[turns, np.arange(3)[:, None], (along > 0).astype(int), colors]
    return found

"""Shapes of the toy renderer, drawn into many frames together.

The pixels of all shapes' windows are rows of one list, and each operation runs over the whole list. Every
pixel is computed from its own row alone, so that a frame does not depend on those it is drawn with.

Interior walls are part of a room's picture, with the length of every pixel's ray to the first of them: a
pixel of a shape is drawn unless its ray meets a wall before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from env.renderers.toy_room import Room, to_bytes
from env.renderers.toy_shapes import PATTERNS, edge_distance, pattern


@dataclass(frozen=True, eq=False)
class Shapes:
    """S shapes in the pictures of N frames, in the order in which they are drawn.

    Attributes:
        frames: int64 [S], index of the frame of each.
        kinds: int64 [S], index of its name; -1 for a body, which is a disc.
        ranks: int64 [S], ascending; those of one frame differ and rise from the farthest to the nearest.
        columns: [S], of its center, in pixels.
        rows: [S], of its center, in pixels.
        radii: [S], of the disc around it, in pixels.
        colors: [S, 3], gray levels from 0 to 255.
        offsets: [S, 3], from the camera to its center, in meters.
    """

    frames: np.ndarray
    kinds: np.ndarray
    ranks: np.ndarray
    columns: np.ndarray
    rows: np.ndarray
    radii: np.ndarray
    colors: np.ndarray
    offsets: np.ndarray

    def of_frames(self, start: int, stop: int) -> "Shapes":
        """Return the shapes of a range of frames, which are numbered from 0."""
        within = (self.frames >= start) & (self.frames < stop)
        values = {field.name: getattr(self, field.name)[within] for field in fields(self)}
        return Shapes(**values | {"frames": values["frames"] - start})


@dataclass(frozen=True, eq=False)
class Lines:
    """The rows of pixels of all shapes' windows, one after the other: L lines with P pixels in all.

    Attributes:
        shapes: int64 [L], index of the shape of each line.
        y: [L], pixels below the shape's center.
        of_pixel: int64 [P], index of each pixel's line.
        x: [P], pixels to the right of the shape's center.
        pixels: int64 [P], index of each pixel in the frames, [N * H * W].
        starts: int64 [S + 1], index of each shape's first pixel, and P.
    """

    shapes: np.ndarray
    y: np.ndarray
    of_pixel: np.ndarray
    x: np.ndarray
    pixels: np.ndarray
    starts: np.ndarray


def draw_shapes(
    frames: np.ndarray, canvas: np.ndarray, rooms: Sequence[Room], shapes: Shapes, names: Sequence[str]
) -> None:
    """Draw shapes into rooms, antialiased and lit from above, except where interior walls hide them.

    Args:
        frames: uint8 [N, H, W, 3], written to.
        canvas: float [N, H, W, 3], overwritten.
        rooms: N rooms.
        shapes: The shapes.
        names: Of the kinds of shapes: the toy renderer's in `env.shapes.SHAPES`.
    """
    for room, picture, frame in zip(rooms, canvas, frames, strict=True):
        picture[:], frame[:] = room.picture, room.pixels
    lines = _lines(shapes, frames.shape[1])
    cover, colors = _paint(shapes, lines, names)
    if rooms and rooms[0].wall_steps is not None:
        cover = cover * _before_walls(rooms, shapes, lines)
    drawn = np.flatnonzero(cover)
    cover, colors, pixels = cover[drawn, None], colors.take(drawn, axis=0), lines.pixels[drawn]
    values, last = canvas.reshape(-1, 3), shapes.ranks.max(initial=0)
    starts = lines.starts[np.searchsorted(shapes.ranks, np.arange(last + 2))]
    # The shapes of one rank are of different frames, so that no pixel occurs twice.
    for start, stop in pairwise(np.searchsorted(drawn, starts).tolist()):
        at = pixels[start:stop]
        now = values.take(at, axis=0)
        put_rows(values, at, now + cover[start:stop] * (colors[start:stop] - now))
    put_rows(frames.reshape(-1, 3), pixels, to_bytes(values.take(pixels, axis=0)))


def put_rows(array: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
    """Write rows of an array, ``array[rows] = values``, several times faster; both are contiguous [., C]."""
    kind = f"V{array.itemsize * array.shape[1]}"  # a row as one opaque element
    array.view(kind)[:, 0][rows] = values.view(kind)[:, 0]


def _lines(shapes: Shapes, size: int) -> Lines:
    """Return the lines of all shapes' windows: one pixel larger than their discs, inside the picture."""
    reach = shapes.radii + 1
    columns, rows = shapes.columns, shapes.rows
    edges = (columns - reach, columns + reach, rows - reach, rows + reach)
    left, right, top, bottom = (np.clip(np.floor(edge), 0, size).astype(np.int64) for edge in edges)
    widths = right - left
    heights = np.where(widths > 0, bottom - top, 0)
    owners = np.repeat(np.arange(len(left)), heights)
    row = np.arange(len(owners)) + (top - np.cumsum(heights) + heights)[owners]
    lengths = widths[owners]
    of_pixel = np.repeat(np.arange(len(owners)), lengths)
    column = np.arange(len(of_pixel)) + (left[owners] - np.cumsum(lengths) + lengths)[of_pixel]
    x = column + (0.5 - shapes.columns)[owners][of_pixel]
    y = row + (0.5 - shapes.rows)[owners]
    pixels = ((shapes.frames[owners] * size + row) * size)[of_pixel] + column
    starts = np.append(0, np.cumsum(heights * widths))
    return Lines(owners, y, of_pixel, x, pixels, starts)


def _paint(shapes: Shapes, lines: Lines, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each pixel that its shape covers, [P], and the shape's color there, [P, 3]."""
    radii = shapes.radii[lines.shapes]
    shade = np.clip(0.8 - 0.2 * lines.y / radii, 0.6, 1.0)
    y, kinds = lines.y[lines.of_pixel], None
    if set(names) == {"box"}:
        distance = edge_distance("box", lines.x, y)
    else:
        kinds = shapes.kinds[lines.shapes][lines.of_pixel]
        distance = _by_kind(kinds, names, lambda name, at: edge_distance(name, lines.x[at], y[at]))
    cover = np.clip((radii + 0.5)[lines.of_pixel] - distance, 0.0, 1.0)
    if kinds is None or not any(name.startswith(PATTERNS) for name in names):
        return cover, (shade[:, None] * shapes.colors[lines.shapes]).take(lines.of_pixel, axis=0)
    radius = radii[lines.of_pixel]

    def patterned(name: str, at: np.ndarray) -> np.ndarray:
        if not name.startswith(PATTERNS):
            return np.ones(len(at))
        return pattern(name, lines.x[at] / radius[at], y[at] / radius[at])

    share = shade[lines.of_pixel] * _by_kind(kinds, names, patterned)
    return cover, share[:, None] * shapes.colors[lines.shapes][lines.of_pixel]


def _by_kind(
    kinds: np.ndarray, names: Sequence[str], evaluate: Callable[[str, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return values of all pixels, [P], from a function of a shape's name and indices of its pixels."""
    values = np.empty(len(kinds))
    for kind in np.unique(kinds).tolist():
        at = np.flatnonzero(kinds == kind)
        values[at] = evaluate("box" if kind < 0 else names[kind], at)
    return values


def _before_walls(rooms: Sequence[Room], shapes: Shapes, lines: Lines) -> np.ndarray:
    """Return whether each pixel's ray passes its shape before it meets an interior wall, [P].

    A ray passes a ball in one piece, which holds the ray's nearest point to the ball's center. No wall stands
    in a ball, so that the whole piece is in front of the ray's wall if that point is.
    """
    rays = np.concatenate([room.rays.reshape(-1, 3) for room in rooms])[lines.pixels]
    steps = np.concatenate([room.wall_steps.reshape(-1) for room in rooms if room.wall_steps is not None])[
        lines.pixels
    ]
    offsets = shapes.offsets[lines.shapes][lines.of_pixel]
    x, y, z = (rays * offsets).T
    return (x + y + z) / np.square(rays).sum(-1) < steps

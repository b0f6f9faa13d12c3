"""Rays to boxes inside their outlines in the picture, of many frames together.

The pixels of all outlines are entries of one list, and each operation runs over the list. A sample's value is
a function of its own ray and box, and what is added up are whole numbers: a frame does not depend on those it
is drawn with, nor on the number of threads.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from env.renderers.batch_boxes import Boxes
from env.renderers.batch_lens import NEAR_PLANE, Lens
from env.renderers.batch_room import RoomView

# A pixel's sum, one whole number: three colors of 16 bits each, then the number of samples that see a box,
# then the number of boxes.
COLORS: Final = 0xFFFF_FFFF_FFFF
QUARTERS: Final = 0x3FFF_3FFF_3FFF  # of the colors, without what a division by 4 moves from one to the next
HALVES: Final = 0x0002_0002_0002  # rounds a quarter of each color
SAMPLE: Final = 1 << 48
BOX: Final = 1 << 56
MARGIN: Final = 0.01  # pixels around an outline, more than rounding moves it
TINY: Final = 1e-3  # pixels; an edge that is less high runs along a row
STARTS: Final = (0, 2, 4, 6, 0, 1, 4, 5, 0, 1, 2, 3)  # corners at both ends of a box's twelve edges
ENDS: Final = (1, 3, 5, 7, 2, 3, 6, 7, 4, 5, 6, 7)
NOTHING: Final = 255  # number of the room in the keys of depths; boxes have smaller ones


@dataclass(frozen=True, eq=False)
class Entries:
    """E pixels of outlines, in L lines; a pixel of a frame occurs once for each outline that it is in.

    Attributes:
        boxes: int64 [L], index of each line's box.
        rows: int64 [L], of the picture.
        lines: int64 [E], index of each entry's line.
        columns: int64 [E].
        places: int64 [E], index of the pixel in all frames.
    """

    boxes: Tensor
    rows: Tensor
    lines: Tensor
    columns: Tensor
    places: Tensor


def draw_boxes(frames: Tensor, boxes: Boxes, lens: Lens, room: RoomView) -> None:
    """Draw boxes over a room.

    Args:
        frames: uint8 [N, P, 3]; they hold the room and are written to.
        boxes: Those in the frames.
        lens: The camera.
        room: The camera's view of it.
    """
    if not len(boxes.frames):
        return
    area, device = frames.shape[1], frames.device
    entries = _entries(boxes, lens.size, device)
    entered, faces = _cast(entries, boxes, lens)
    counts = _count(faces)
    drawn = torch.nonzero(counts[0] + counts[1] + counts[2])[:, 0]
    counts = [count.index_select(0, drawn) for count in counts]
    places = entries.places.index_select(0, drawn)
    owners = entries.boxes.index_select(0, entries.lines.index_select(0, drawn))
    colors = [put(row, device).index_select(0, owners) for row in boxes.colors]
    values = _values(counts, colors)
    sums = torch.zeros(frames.shape[0] * area, dtype=torch.int64, device=device)
    sums.index_add_(0, places, values)
    here = sums.index_select(0, places)
    pixels = places - put(boxes.frames * area, device).index_select(0, owners)
    hidden = put(boxes.hidden_by_room, device).index_select(0, owners)
    contested = torch.nonzero((here >= 2 * BOX) | hidden)[:, 0]
    if len(contested):
        at, whose = drawn.index_select(0, contested), places.index_select(0, contested)
        numbers = put(boxes.numbers, device)[owners.index_select(0, contested)]
        behind = room.depths.index_select(1, pixels.index_select(0, contested))
        hit = faces.reshape(12, -1).index_select(1, at).reshape(3, 4, -1)
        visible = _nearest(entered.index_select(1, at), hit[0] | hit[1] | hit[2], whose, numbers, behind)
        seen = _values(_count(hit & visible), [color.index_select(0, contested) for color in colors])
        sums.index_add_(0, whose, seen - values[contested])
        here = sums.index_select(0, places)
    _write(frames, places, here, room.packed.index_select(0, pixels))


def put(array: np.ndarray, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return an array as a tensor on a device."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, dtype)


def _entries(boxes: Boxes, size: int, device: torch.device) -> Entries:
    """Return the pixels that boxes can be in, line by line."""
    corners = put(boxes.corners, device, torch.float32)  # [2, 8, B]
    top = (corners[1].amin(0) - MARGIN).floor().clamp(0, size).to(torch.int64)
    bottom = (corners[1].amax(0) + MARGIN + 1).floor().clamp(0, size).to(torch.int64)
    heights = bottom - top
    owners = torch.repeat_interleave(heights)
    first_row = top - heights.cumsum(0) + heights
    rows = torch.arange(len(owners), device=device) + first_row.index_select(0, owners)
    left, right = _spans(corners.reshape(16, -1).index_select(1, owners).reshape(2, 8, -1), rows, size)
    lengths = (right - left).clamp(min=0)
    lines = torch.repeat_interleave(lengths)
    first = left - lengths.cumsum(0) + lengths
    columns = torch.arange(len(lines), device=device) + first.index_select(0, lines)
    starts = (put(boxes.frames, device).index_select(0, owners) * size + rows) * size
    return Entries(owners, rows, lines, columns, columns + starts.index_select(0, lines))


def _spans(corners: Tensor, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the first column, and the last plus one, of a box's outline in each row of pixels, int64 [L].

    Args:
        corners: [2, 8, L], column and row of the corners of each line's box.
        rows: int64 [L].
        size: Pixels of the picture.
    """
    from_x, from_y = corners[0, STARTS], corners[1, STARTS]  # [12, L]
    to_x, to_y = corners[0, ENDS], corners[1, ENDS]
    upper = torch.maximum(torch.minimum(from_y, to_y), rows - MARGIN)
    lower = torch.minimum(torch.maximum(from_y, to_y), rows + (1 + MARGIN))
    height = to_y - from_y
    level = height.abs() < TINY  # an edge that runs along the row
    slope = torch.where(level, 0.0, (to_x - from_x) / torch.where(level, 1.0, height))
    one, other = from_x + (upper - from_y) * slope, from_x + (lower - from_y) * slope
    other = torch.where(level, to_x, other)
    crosses = upper <= lower
    left = torch.where(crosses, torch.minimum(one, other), torch.inf).amin(0)
    right = torch.where(crosses, torch.maximum(one, other), -torch.inf).amax(0)
    edges = (left - MARGIN).floor(), (right + MARGIN).floor() + 1
    first, last = (edge.clamp(0, size).to(torch.int64) for edge in edges)
    return first, last


def _cast(entries: Entries, boxes: Boxes, lens: Lens) -> tuple[Tensor, Tensor]:
    """Return depths and faces at which rays enter their boxes, by the slab method (Kay and Kajiya 1986).

    Returns:
        (meters in front of the camera, [4, E]; whether it enters by the face along each axis, bool
        [3, 4, E]: none of the three for a miss).
    """
    device, lines = entries.lines.device, entries.lines
    slopes = [lens.slopes(angle) for angle in boxes.angles]
    turns = put(boxes.turns, device)[entries.boxes] if len(slopes) > 1 else None  # [L]
    columns, rows = entries.columns.to(torch.float32), entries.rows.to(torch.float32)
    near: list[Tensor] = []
    leaves = torch.full((4, len(columns)), torch.inf, device=device)
    for axis in range(3):
        rows_of = [(*first[axis][:4], across[axis], down[axis]) for first, across, down in slopes]
        table = torch.tensor(rows_of, device=device, dtype=torch.float32).T  # [6, T]
        first, across, down = table[:4], table[4], table[5]
        if turns is not None:
            across, down, first = across[turns][lines], down[turns], first[:, turns][:, lines]
        # A component of 0 gives infinite distances to the planes, as it should.
        inverse = (first + (columns * across + (rows * down).index_select(0, lines))).reciprocal_()
        low, high = (
            put(side[axis], device, torch.float32).index_select(0, entries.boxes)
            for side in (boxes.low, boxes.high)
        )
        one = low.index_select(0, lines) * inverse
        other = inverse.mul_(high.index_select(0, lines))
        near.append(torch.minimum(one, other))
        torch.minimum(leaves, torch.maximum(one, other, out=one), out=leaves)
    enters = torch.maximum(torch.maximum(near[0], near[1]), near[2])
    hit = (enters <= leaves) & (enters > NEAR_PLANE)
    faces = torch.empty(3, *hit.shape, dtype=torch.bool, device=device)
    torch.logical_and(hit, near[0] == enters, out=faces[0])
    hit ^= faces[0]
    torch.logical_and(hit, near[1] == enters, out=faces[1])
    torch.logical_xor(hit, faces[1], out=faces[2])
    return enters, faces


def _count(faces: Tensor) -> list[Tensor]:
    """Return the number of samples that see the face along each axis, bool [3, 4, E] -> 3 of uint8 [E]."""
    hits = faces.view(torch.uint8)
    return list(hits[:, 0] + hits[:, 1] + hits[:, 2] + hits[:, 3])


def _values(counts: list[Tensor], colors: list[Tensor]) -> Tensor:
    """Return the terms of entries in their pixels' sums, from counts and packed colors by axis, int64 [M]."""
    total = counts[0] + counts[1] + counts[2]
    painted = counts[0] * colors[0] + counts[1] * colors[1] + counts[2] * colors[2]
    return painted + total.to(torch.int64) * SAMPLE + BOX


def _nearest(entered: Tensor, hit: Tensor, places: Tensor, numbers: Tensor, behind: Tensor) -> Tensor:
    """Return whether each sample of C entries sees its box before any other and before the room, bool [4, C].

    Depths are compared as whole numbers: a depth's bits, which order as positive numbers do, then the number
    of the box, so that of equal depths one is the nearest.

    Args:
        entered: [4, C], meters in front of the camera.
        hit: bool [4, C], whether the box is hit.
        places: int64 [C], index of the pixel in all frames.
        numbers: int64 [C], of the box in its frame.
        behind: [4, C], meters in front of the camera where the room is.
    """
    keys = torch.where(hit, _bits(entered) + numbers, torch.iinfo(torch.int64).max)
    found, slots = torch.unique(places, return_inverse=True)
    slots = slots + torch.arange(4, device=slots.device)[:, None] * len(found)
    flat = slots.reshape(-1)
    nearest = torch.empty(4 * len(found), dtype=torch.int64, device=slots.device)
    nearest.scatter_(0, flat, (_bits(behind) + NOTHING).reshape(-1))
    nearest.scatter_reduce_(0, flat, keys.reshape(-1), "amin")
    return hit & (nearest.index_select(0, flat).reshape(slots.shape) == keys)


def _bits(depths: Tensor) -> Tensor:
    """Return whole numbers in the order of positive depths, with room for a number below 256 in each."""
    return depths.contiguous().view(torch.int32).to(torch.int64) * 256


def _write(frames: Tensor, places: Tensor, sums: Tensor, room: Tensor) -> None:
    """Write pixels, each the mean of its four samples.

    Args:
        frames: uint8 [N, P, 3], written to.
        places: int64 [M], indices of pixels in all frames; a pixel may occur several times.
        sums: int64 [M], of the samples that see boxes.
        room: int64 [M], packed sum of the four samples without boxes.
    """
    others = 4 - (sums >> 48 & 0xFF)
    behind = ((others * room + HALVES) >> 2) & QUARTERS
    mean = ((sums & COLORS) + behind + HALVES) >> 2
    flat, first = frames.view(-1), places * 3
    for channel in range(3):  # to uint8 keeps the lowest eight bits
        flat.scatter_(0, first + channel, (mean >> (16 * channel)).to(torch.uint8))

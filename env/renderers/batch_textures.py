"""MiniWorld's textures for the batch renderer: levels of detail, and OpenGL's trilinear filtering."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional


@lru_cache(maxsize=16)
def load_levels(name: str, device: str) -> tuple[Tensor, ...]:
    """Return a texture of MiniWorld and its halvings down to one texel, each float32 [H, W, 3] in 0 to 255.

    Row 0 is at the bottom, where the coordinate v is 0. MiniWorld itself is not imported, since that opens an
    OpenGL display.

    Raises:
        RuntimeError: The package miniworld is not installed.
    """
    package = find_spec("miniworld")
    if package is None or package.origin is None:
        raise RuntimeError(
            "the batch renderer reads textures of the package miniworld: pip install miniworld"
        )
    with Image.open(Path(package.origin).parent / "textures" / f"{name}_1.png") as image:
        pixels = np.array(image.convert("RGB"))[::-1].copy()
    level = torch.from_numpy(pixels).to(device, torch.float32)
    levels = [level]
    while max(level.shape[:2]) > 1:
        halved = functional.avg_pool2d(
            level.permute(2, 0, 1), (min(2, level.shape[0]), min(2, level.shape[1]))
        )
        level = halved.ceil().permute(1, 2, 0).contiguous()  # Mesa stores bytes and rounds up
        levels.append(level)
    return tuple(levels)


def sample_texture(levels: tuple[Tensor, ...], places: Tensor, footprints: Tensor) -> Tensor:
    """Return a texture's color at places, filtered between texels and between two levels, float32 [M, 3].

    Args:
        levels: See `load_levels`.
        places: [M, 2], u and v; the texture repeats with period 1.
        footprints: [M], side of a pixel in texels of level 0.
    """
    detail = torch.log2(footprints.clamp(min=1e-6)).clamp(0, len(levels) - 1)
    low = detail.floor()
    share = (detail - low)[:, None]
    colors = torch.empty(len(places), 3, device=places.device)
    for number in torch.unique(low).to(torch.int64).tolist():
        rows = torch.nonzero(low == number)[:, 0]
        fine = _bilinear(levels[number], places[rows])
        coarse = _bilinear(levels[min(number + 1, len(levels) - 1)], places[rows])
        colors[rows] = fine + share[rows] * (coarse - fine)
    return colors


def _bilinear(level: Tensor, places: Tensor) -> Tensor:
    """Return the color between the four nearest texels, [M, 3]."""
    height, width, _ = level.shape
    at = places * torch.tensor([width, height], device=places.device) - 0.5
    corner = at.floor()
    right, up = (at - corner).unbind(1)
    column, row = corner.to(torch.int64).unbind(1)
    columns, rows = (column % width, (column + 1) % width), (row % height, (row + 1) % height)
    texels = level.reshape(-1, 3)
    sides = [[texels.index_select(0, y * width + x) for x in columns] for y in rows]
    lower, upper = (torch.lerp(first, second, right[:, None]) for first, second in sides)
    return torch.lerp(lower, upper, up[:, None])

"""What the batch renderer sees of a room without objects: ray-cast once for each pose of a camera.

Camera, light, textures and samples are those of MiniWorld as this project sets it up, so that its OpenGL
pictures are the reference: a pixel has four samples, and each surface that a sample meets is shaded once, at
the pixel's center. The room's walls are visible from inside only.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from env.camera import Pose
from env.interior_walls import Segment
from env.renderers.batch_lens import NEAR_PLANE, Lens, face_light
from env.renderers.batch_textures import load_levels, sample_texture
from env.scene import SceneConfig

SKY: Final = 0.75
FLOOR, WALL, INTERIOR_WALL = "concrete", "concrete", "brick_wall"
INTERIOR_TEXTURE_SIZE = 2.0  # meters that one copy of an interior wall's texture covers; 1 for the others


@dataclass(frozen=True, eq=False)
class RoomView:
    """A camera's view of the room without objects, with P = H * W pixels.

    Attributes:
        picture: uint8 [P, 3].
        packed: int64 [P], the sum of the colors of a pixel's four samples, 16 bits for each channel.
        depths: float32 [4, P], meters in front of the camera at which each sample meets a surface; infinite
            for the sky.
    """

    picture: Tensor
    packed: Tensor
    depths: Tensor


@dataclass(frozen=True, eq=False)
class Surface:
    """One floor or wall of the room as rays meet it; S samples, P pixels.

    Attributes:
        steps: [S, P], meters in front of the camera; infinite for a miss.
        places: [P, 2], texture coordinates at the pixels' centers, also of pixels that miss it.
        light: Its intensity; what exceeds 1 is cut off.
        texture: Its name.
    """

    steps: Tensor
    places: Tensor
    light: float
    texture: str


def cast_rays(lens: Lens, device: str) -> Tensor:
    """Return the rays of samples and centers to 1 meter in front of a camera, float32 [3, 5, P]."""
    pixels = torch.arange(lens.size, device=device, dtype=torch.float32)
    first, across, down = (
        torch.tensor(values, device=device, dtype=torch.float32) for values in lens.slopes()
    )
    steps = pixels * across[:, None, None] + pixels[:, None] * down[:, None, None]  # [3, H, W]
    return first[:, :, None] + steps.reshape(3, 1, -1)


def view_room(config: SceneConfig, pose: Pose, device: str) -> RoomView:
    """Return a camera's view of the room without objects."""
    rays = cast_rays(Lens.of(pose, config.frame_size), device)
    surfaces = list(_surfaces(config, pose, rays))
    depths, nearest = torch.stack([surface.steps[:4] for surface in surfaces]).min(0)  # [4, P]
    nearest[depths.isinf()] = -1
    colors = (nearest == -1).sum(0)[:, None] * round(255 * SKY) * torch.ones(3, device=rays.device)
    for number, surface in enumerate(surfaces):
        count = (nearest == number).sum(0)
        at = torch.nonzero(count)[:, 0]
        if len(at):
            shade = _shade(surface, at, config.frame_size)
            colors[at] += count[at, None] * shade
    whole = colors.to(torch.int64)
    packed = whole[:, 0] + (whole[:, 1] << 16) + (whole[:, 2] << 32)
    return RoomView(((whole + 2) >> 2).to(torch.uint8), packed, depths)


def _shade(surface: Surface, at: Tensor, size: int) -> Tensor:
    """Return the color of a surface at some pixels, whole numbers from 0 to 255, [M, 3]."""
    levels = load_levels(surface.texture, str(at.device))
    grid = surface.places.reshape(size, size, 2)
    across = torch.diff(grid, dim=1, append=2 * grid[:, -1:] - grid[:, -2:-1])
    down = torch.diff(grid, dim=0, append=2 * grid[-1:] - grid[-2:-1])
    slopes = torch.maximum(across.abs().amax(2), down.abs().amax(2)).reshape(-1)
    colors = sample_texture(levels, surface.places[at], slopes[at] * levels[0].shape[0])
    return (colors * min(1.0, surface.light) + 0.5).floor().clamp(0, 255)


def _surfaces(config: SceneConfig, pose: Pose, rays: Tensor) -> Iterator[Surface]:
    """Yield the floor, the walls of the room that face the camera, and the interior walls."""
    half, height = config.room_size / 2, config.wall_height
    steps, points = _meet(rays, (0.0, 1.0, 0.0), 0.0, pose)
    inside = (points[0].abs() <= half) & (points[2].abs() <= half)
    yield _surface(steps, inside, (points[0], points[2]), face_light((0.0, 1.0, 0.0)), FLOOR)
    corners = ((half, half), (half, -half), (-half, -half), (-half, half))
    for first, second in zip(corners, (*corners[1:], corners[0]), strict=True):
        yield from _upright(pose, rays, (*first, *second), height, WALL)
    for x1, z1, x2, z2 in config.interior_walls.segments:
        for segment in ((x1, z1, x2, z2), (x2, z2, x1, z1)):
            yield from _upright(pose, rays, segment, config.interior_walls.height, INTERIOR_WALL)


def _upright(pose: Pose, rays: Tensor, segment: Segment, height: float, texture: str) -> Iterator[Surface]:
    """Yield a wall that stands on the floor, unless the camera is behind it."""
    x1, z1, x2, z2 = segment
    length = math.hypot(x2 - x1, z2 - z1)
    along = ((x2 - x1) / length, 0.0, (z2 - z1) / length)
    facing = 1 if texture == INTERIOR_WALL else -1  # seen from the right of the segment, or from its left
    normal = (-facing * along[2], 0.0, facing * along[0])
    offset = normal[0] * x1 + normal[2] * z1
    if normal[0] * pose.x + normal[2] * pose.z <= offset:
        return
    steps, points = _meet(rays, normal, offset, pose)
    place = (points[0] - x1) * along[0] + (points[2] - z1) * along[2]
    up = points[1]
    inside = (place >= 0) & (place <= length) & (up >= 0) & (up <= height)
    lit = texture != INTERIOR_WALL
    light, scale = (face_light(normal), 1.0) if lit else (1.0, 1 / INTERIOR_TEXTURE_SIZE)
    yield _surface(steps, inside, (place * scale, up * scale), light, texture)


def _surface(
    steps: Tensor, inside: Tensor, places: tuple[Tensor, Tensor], light: float, texture: str
) -> Surface:
    hit = inside & (steps > NEAR_PLANE)
    centers = torch.stack([places[0][4], places[1][4]], dim=-1)
    return Surface(torch.where(hit, steps, torch.inf), centers, light, texture)


def _meet(
    rays: Tensor, normal: tuple[float, float, float], offset: float, pose: Pose
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the lengths of rays to the plane ``normal . x = offset``, and x, y, z there, each [S, P]."""
    eye = (pose.x, pose.y, pose.z)
    distance = offset - sum(n * x for n, x in zip(normal, eye, strict=True))
    slope = rays[0] * normal[0] + rays[1] * normal[1] + rays[2] * normal[2]
    steps = distance / torch.where(slope.abs() < 1e-9, torch.full_like(slope, 1e-9), slope)
    return steps, tuple(start + steps * ray for start, ray in zip(eye, rays, strict=True))

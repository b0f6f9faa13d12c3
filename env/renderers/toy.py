"""The toy renderer, with numpy alone: a tiled floor, objects as shaded discs, bodies as small dark discs."""

import math
from functools import lru_cache

import numpy as np

from env.appearance import BODY_COLOR, BODY_SIZE, OBJECT_COLORS
from env.camera import Pose, camera_axes, to_camera
from env.renderer import Renderer
from env.scene import SceneConfig, SceneState

NEAR_PLANE = 0.05  # meters; nearer discs are not drawn
SKY = (190.0, 190.0, 190.0)
GROUND = (105.0, 105.0, 105.0)  # outside the room


class ToyRenderer(Renderer):
    """Renders the scene without OpenGL; any number may exist."""

    def __init__(self, config: SceneConfig) -> None:
        """Store sizes and colors."""
        self._config = config
        self._colors = 255.0 * np.array(OBJECT_COLORS[: config.objects])

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return a camera's frame, uint8 [H, W, 3]; the viewer's own body is left out."""
        size, height = self._config.frame_size, self._config.object_size / 2
        bodies = [body for name, body in state.bodies if name != viewer]
        centers = [(x, height, z) for x, z in state.positions] + [(body.x, body.y, body.z) for body in bodies]
        radii = [1.2 * height] * len(state.positions) + [BODY_SIZE / 2] * len(bodies)
        colors = [*self._colors, *([255.0 * np.array(BODY_COLOR)] * len(bodies))]
        right, up, depth = to_camera(pose, np.array(centers)).T
        focal = size / 2 / math.tan(math.radians(pose.fov / 2))
        picture = _background(pose, size, self._config.room_size).copy()
        for i in np.argsort(-depth):  # painter's algorithm: the farthest first
            if depth[i] > NEAR_PLANE:
                scale = focal / depth[i]
                center = (size / 2 + right[i] * scale, size / 2 - up[i] * scale)
                _draw_disc(picture, center, radii[i] * scale, colors[i])
        return (picture + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


def _draw_disc(picture: np.ndarray, center: tuple[float, float], radius: float, color: np.ndarray) -> None:
    """Draw a disc, antialiased and lit from above, into a picture, [H, W, 3]."""
    size = len(picture)
    left, right = (min(max(math.floor(center[0] + side * (radius + 1)), 0), size) for side in (-1, 1))
    top, bottom = (min(max(math.floor(center[1] + side * (radius + 1)), 0), size) for side in (-1, 1))
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right) + (0.5 - center[0])
    y = (np.arange(top, bottom) + (0.5 - center[1]))[:, None]
    cover = np.clip(radius + 0.5 - np.sqrt(x * x + y * y), 0.0, 1.0)[:, :, None]
    shade = np.clip(0.8 - 0.2 * y / radius, 0.6, 1.0)[:, :, None]
    patch = picture[top:bottom, left:right]
    patch += cover * (shade * color - patch)


@lru_cache(maxsize=64)
def _background(pose: Pose, size: int, room_size: float) -> np.ndarray:
    """Return the picture of an empty room, float [H, W, 3].

    The floor is tiled; it brightens along x and reddens along z, so that no two sides of the room look alike.
    """
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
    return np.where(inside[..., None], floor, picture)

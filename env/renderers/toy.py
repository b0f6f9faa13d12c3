"""The toy renderer, with numpy alone: a tiled floor, objects as flat shapes, bodies as small dark discs.

Shapes are drawn from the farthest to the nearest. Interior walls are part of the background, with the length
of every pixel's ray to the first of them: a pixel of a shape is drawn unless its ray meets a wall before it.
"""

import math

import numpy as np

from env.appearance import BODY_COLOR, BODY_SIZE, OBJECT_COLORS
from env.camera import Pose, camera_axes
from env.renderer import Renderer
from env.renderers.toy_room import Room, see_room
from env.renderers.toy_shapes import PATTERNS, edge_distance, pattern
from env.scene import SceneConfig, SceneState

NEAR_PLANE = 0.05  # meters; nearer shapes are not drawn


class ToyRenderer(Renderer):
    """Renders the scene without OpenGL; any number may exist."""

    def __init__(self, config: SceneConfig) -> None:
        """Store sizes and colors."""
        self._config = config
        self._colors = 255.0 * np.array(OBJECT_COLORS[: config.objects])
        self._body_color = 255.0 * np.array(BODY_COLOR)

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return a camera's frame, uint8 [H, W, 3]; the viewer's own body is left out."""
        size, height = self._config.frame_size, self._config.object_size / 2
        bodies = [body for name, body in state.bodies if name != viewer]
        centers = [(x, height, z) for x, z in state.positions] + [(body.x, body.y, body.z) for body in bodies]
        radii = [1.2 * height] * len(state.positions) + [BODY_SIZE / 2] * len(bodies)
        colors = [*self._colors, *([self._body_color] * len(bodies))]
        shapes = [self._config.shapes[k] for k in state.identities] + ["box"] * len(bodies)
        offsets = np.array(centers) - np.array([pose.x, pose.y, pose.z])
        right, up, depth = (offsets @ camera_axes(pose).T).T.tolist()
        focal = size / 2 / math.tan(math.radians(pose.fov / 2))
        room = see_room(pose, size, self._config.room_size, self._config.interior_walls)
        picture = room.picture.copy()
        for i in sorted(
            range(len(depth)), key=lambda i: -depth[i]
        ):  # painter's algorithm: the farthest first
            if depth[i] > NEAR_PLANE:
                scale = focal / depth[i]
                center = (size / 2 + right[i] * scale, size / 2 - up[i] * scale)
                _draw_shape(picture, shapes[i], center, radii[i] * scale, colors[i], room, offsets[i])
        return (picture + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


def _draw_shape(
    picture: np.ndarray,
    shape: str,
    center: tuple[float, float],
    radius: float,
    color: np.ndarray,
    room: Room,
    offset: np.ndarray,
) -> None:
    """Draw a shape, antialiased and lit from above, into a picture, except where interior walls hide it.

    Args:
        picture: [H, W, 3].
        shape: One of the toy renderer's shapes in `env.shapes.SHAPES`.
        center: Column and row of the shape's center, in pixels.
        radius: Of the disc around the shape, in pixels.
        color: [3], gray levels from 0 to 255.
        room: The room in the picture.
        offset: [3], from the camera to the shape's center, in meters.
    """  # fmt: skip
    size = len(picture)
    left, right = (min(max(math.floor(center[0] + side * (radius + 1)), 0), size) for side in (-1, 1))
    top, bottom = (min(max(math.floor(center[1] + side * (radius + 1)), 0), size) for side in (-1, 1))
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right) + (0.5 - center[0])
    y = (np.arange(top, bottom) + (0.5 - center[1]))[:, None]
    cover = np.clip(radius + 0.5 - edge_distance(shape, x, y), 0.0, 1.0)[:, :, None]
    shade = np.clip(0.8 - 0.2 * y / radius, 0.6, 1.0)[:, :, None]
    if shape.startswith(PATTERNS):
        shade = shade * pattern(shape, x / radius, y / radius)[:, :, None]
    patch = picture[top:bottom, left:right]
    if room.wall_steps is not None:
        # A ray passes a ball in one piece, which holds the ray's nearest point to the ball's center. No wall
        # stands in a ball, so that the whole piece is in front of the ray's wall if that point is.
        rays = room.rays[top:bottom, left:right]
        nearest = rays @ offset / np.square(rays).sum(-1)
        cover = cover * (nearest < room.wall_steps[top:bottom, left:right])[:, :, None]
    patch += cover * (shade * color - patch)

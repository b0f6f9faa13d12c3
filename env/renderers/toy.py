"""The toy renderer, with numpy alone: a tiled floor, objects as flat shapes, bodies as small dark discs."""

import math
from collections.abc import Sequence

import numpy as np

from env.appearance import BODY_COLOR, BODY_SIZE, OBJECT_COLORS
from env.camera import Pose, camera_axes
from env.renderer import Renderer
from env.renderers.grouping import distinct_poses, visible_bodies
from env.renderers.toy_drawing import Shapes, draw_shapes
from env.renderers.toy_room import Room, see_room
from env.scene import SceneConfig
from env.scene_state import SceneState, SceneStates

NEAR_PLANE = 0.05  # meters; nearer shapes are not drawn
CANVAS_BYTES = 2**21  # of the frames that are drawn together, so that they stay in a CPU's cache


class ToyRenderer(Renderer):
    """Renders the scene without OpenGL; any number may exist."""

    def __init__(self, config: SceneConfig) -> None:
        """Store sizes and colors."""
        self._config = config
        self._colors = 255.0 * np.array(OBJECT_COLORS[: config.objects])
        self._body_color = 255.0 * np.array(BODY_COLOR)
        self._chunk = max(1, CANVAS_BYTES // (8 * 3 * config.frame_size**2))

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return a camera's frame, uint8 [H, W, 3]; the viewer's own body is left out."""
        frame: np.ndarray = self.render_many(SceneStates.of([state]), [pose], [viewer])[0]
        return frame

    def render_many(
        self, states: SceneStates, poses: Sequence[Pose], viewers: Sequence[str | None]
    ) -> np.ndarray:
        """Return one camera's frame of each state, uint8 [N, H, W, 3]."""
        config, size = self._config, self._config.frame_size
        cameras, index = distinct_poses(poses)
        shapes = self._shapes(states, cameras, index, viewers)
        frames = np.empty((len(states), size, size, 3), dtype=np.uint8)
        canvas = np.empty((min(self._chunk, len(states)), size, size, 3))
        for first in range(0, len(states), self._chunk):
            chunk = frames[first : first + self._chunk]
            numbers = index[first : first + len(chunk)].tolist()
            rooms = {number: self._room(cameras[number]) for number in set(numbers)}
            within = shapes.of_frames(first, first + len(chunk))
            draw_shapes(chunk, canvas[: len(chunk)], [rooms[k] for k in numbers], within, config.shapes)
        return frames

    def close(self) -> None:
        """Do nothing: there are no resources to release."""

    def _room(self, pose: Pose) -> Room:
        config = self._config
        return see_room(pose, config.frame_size, config.room_size, config.interior_walls)

    def _shapes(
        self, states: SceneStates, cameras: Sequence[Pose], index: np.ndarray, viewers: Sequence[str | None]
    ) -> Shapes:
        """Return the shapes in the pictures of N frames; ``index``, [N], is that of each frame's camera."""
        size, half = self._config.frame_size, self._config.object_size / 2
        objects = self._config.objects
        bodies, present = visible_bodies(states.bodies, viewers)
        centers, kinds = self._places(states, bodies)
        offsets, right, up, depth = _to_cameras(centers, cameras, index)
        shown = depth > NEAR_PLANE
        shown[:, objects:] &= present
        order = np.argsort(-depth, axis=1, kind="stable").T  # painter's algorithm: the farthest first, [K, N]
        ranks, frames = np.nonzero(shown[np.arange(len(states)), order])
        at = frames, order[ranks, frames]
        focal = np.array([size / 2 / math.tan(math.radians(pose.fov / 2)) for pose in cameras])
        scale = focal[index][frames] / depth[at]
        radii = np.array([1.2 * half] * objects + [BODY_SIZE / 2] * bodies.shape[1])
        colors = np.concatenate([self._colors, np.tile(self._body_color, (bodies.shape[1], 1))])
        return Shapes(
            frames, kinds[at], ranks, size / 2 + right[at] * scale, size / 2 - up[at] * scale,
            radii[at[1]] * scale, colors[at[1]], offsets[at],
        )  # fmt: skip

    def _places(self, states: SceneStates, bodies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the centers of objects and bodies, [N, K, 3], and the indices of their names, [N, K]."""
        count, objects, _ = states.positions.shape
        centers = np.empty((count, objects + bodies.shape[1], 3))
        centers[:, :objects, [0, 2]] = states.positions
        centers[:, :objects, 1] = self._config.object_size / 2
        centers[:, objects:] = bodies[..., :3]
        kinds = np.full(centers.shape[:2], -1)  # a body is a disc
        kinds[:, :objects] = states.identities
        return centers, kinds


def _to_cameras(centers: np.ndarray, cameras: Sequence[Pose], index: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return offsets from the cameras, [N, K, 3], then meters to the right, above, and in front, [N, K]."""
    eyes = np.array([(pose.x, pose.y, pose.z) for pose in cameras])[index]
    axes = np.array([camera_axes(pose) for pose in cameras])[index]  # [N, 3, 3]
    offsets = centers - eyes[:, None]
    x, y, z = np.moveaxis(offsets, 2, 0)
    # Products one by one: how a matrix product rounds would depend on the number of frames.
    return offsets, *(
        x * axes[:, i, 0, None] + y * axes[:, i, 1, None] + z * axes[:, i, 2, None] for i in range(3)
    )

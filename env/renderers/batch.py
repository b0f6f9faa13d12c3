"""The batch renderer: many frames together by ray casting in torch, on a CPU or a GPU.

It draws what the MiniWorld renderer draws (same camera, textures, light and four samples in each pixel), of
boxes alone. A camera's view of the room is cast once for each of its poses and kept while it is used; boxes
are cast at all ticks together, inside their outlines in the picture.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from env.camera import Pose
from env.renderer import Renderer
from env.renderers.batch_boxes import visible_boxes
from env.renderers.batch_cast import draw_boxes
from env.renderers.batch_lens import Lens
from env.renderers.batch_room import RoomView, view_room
from env.renderers.grouping import distinct_poses, visible_bodies
from env.scene import SceneConfig
from env.scene_state import SceneState, SceneStates

KEPT_VIEWS, KEPT_BYTES = 64, 2**30  # poses of cameras, those used last, whose view of the room is kept
PIXEL_BYTES = 27  # of such a view
CPU_PIXELS, GPU_PIXELS = 2**19, 2**25  # of frames that are drawn together


class BatchRenderer(Renderer):
    """Renders boxes in torch; any number may exist."""

    def __init__(self, config: SceneConfig, device: str = "cpu") -> None:
        """Choose a device.

        Args:
            config: Of the scene.
            device: Where frames are drawn, such as "cpu" or "cuda:0".
        """
        self._config = config
        self._device = device
        self._rooms: OrderedDict[Pose, RoomView] = OrderedDict()
        self._kept = max(2, min(KEPT_VIEWS, KEPT_BYTES // (PIXEL_BYTES * config.frame_size**2)))
        pixels = CPU_PIXELS if torch.device(device).type == "cpu" else GPU_PIXELS
        self._chunk = max(1, pixels // config.frame_size**2)

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return a camera's frame, uint8 [H, W, 3]; the viewer's own body is left out."""
        frame: np.ndarray = self.render_many(SceneStates.of([state]), [pose], [viewer])[0]
        return frame

    def render_many(
        self, states: SceneStates, poses: Sequence[Pose], viewers: Sequence[str | None]
    ) -> np.ndarray:
        """Return one camera's frame of each state, uint8 [N, H, W, 3]."""
        return self.render_tensor(states, poses, viewers).cpu().numpy()

    @torch.inference_mode()
    def render_tensor(
        self, states: SceneStates, poses: Sequence[Pose], viewers: Sequence[str | None]
    ) -> Tensor:
        """Return the frames of `render_many` on the renderer's device, uint8 [N, H, W, 3]."""
        size = self._config.frame_size
        frames = torch.empty(len(states), size, size, 3, dtype=torch.uint8, device=self._device)
        cameras, index = distinct_poses(poses)
        bodies, present = visible_bodies(states.bodies, viewers)
        for number, pose in enumerate(cameras):
            at = np.flatnonzero(index == number)
            placed = states.positions[at], states.yaws[at], bodies[at], present[at]
            drawn = frames if len(cameras) == 1 else torch.empty_like(frames[: len(at)])
            self._draw(drawn.reshape(len(at), size**2, 3), pose, *placed)
            if len(cameras) > 1:
                frames[torch.from_numpy(at).to(self._device)] = drawn
        return frames

    def close(self) -> None:
        """Drop the views of the room."""
        self._rooms.clear()

    def _draw(
        self,
        frames: Tensor,
        pose: Pose,
        positions: np.ndarray,
        yaws: np.ndarray,
        bodies: np.ndarray,
        present: np.ndarray,
    ) -> None:
        """Draw frames of one camera, uint8 [N, P, 3]."""  # fmt: skip
        lens, room = Lens.of(pose, self._config.frame_size), self._room(pose)
        boxes = visible_boxes(self._config, lens, positions, yaws, bodies, present)
        frames.copy_(room.picture.expand_as(frames))
        for first in range(0, len(frames), self._chunk):
            chunk = frames[first : first + self._chunk]
            draw_boxes(chunk, boxes.of_frames(first, first + len(chunk)), lens, room)

    def _room(self, pose: Pose) -> RoomView:
        """Return a camera's view of the room, cast unless it is among those that were used last."""
        if pose not in self._rooms:
            self._rooms[pose] = view_room(self._config, pose, self._device)
            if len(self._rooms) > self._kept:
                self._rooms.popitem(last=False)
        self._rooms.move_to_end(pose)  # the first is the one that was not used for longest
        return self._rooms[pose]

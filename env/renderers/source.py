"""Frames of a source in the place of a renderer."""

from collections import OrderedDict

import numpy as np

from env.camera import Pose
from env.renderer import Renderer
from env.scene import SceneConfig
from env.scene_state import SceneState
from env.sources.registry import build_source

AHEAD, AHEAD_BYTES = 64, 2**24  # ticks that are read together where they are requested one by one, at most
BLOCKS = 4  # of them that are kept


class SourceRenderer(Renderer):
    """Reads the frame of a tick from the source that ``config.source`` names."""

    def __init__(self, config: SceneConfig) -> None:
        """Build the source, or share that of this process.

        Raises:
            ValueError: See `env.sources.registry.build_source`.
        """
        self._source = build_source(config.source, config.frames, config.frame_size)
        frame_bytes = config.frame_size**2 * 3
        self._ahead = max(1, min(AHEAD, AHEAD_BYTES // frame_bytes))
        self._last: dict[int, int] = {}  # tick that was requested last, by view
        self._blocks: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()  # by view and first tick

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return the frame of a tick and a view, a new uint8 [H, W, 3]."""
        view, tick = pose.view or 0, state.tick
        for (other, first), frames in self._blocks.items():
            if other == view and first <= tick < first + len(frames):
                self._last[view] = tick
                return frames[tick - first].copy()
        follows = self._last.get(view) == tick - 1
        self._last[view] = tick
        stop = min(tick + self._ahead, self._source.ticks) if follows else tick + 1
        frames = self._source.read(np.arange(tick, stop), view)
        if follows:
            self._blocks[view, tick] = frames
            while len(self._blocks) > BLOCKS:
                self._blocks.popitem(last=False)
        return frames[0].copy()

    def close(self) -> None:
        """Drop what was read ahead."""
        self._blocks.clear()

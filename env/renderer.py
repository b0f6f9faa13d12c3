"""The contract of every renderer."""

from typing import Protocol

import numpy as np

from env.camera import Pose
from env.scene import SceneState


class Renderer(Protocol):
    """Renders a state from a pose; equal arguments give equal pixels."""

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return a camera's frame, uint8 [H, W, 3]; the viewer's own body is left out."""

    def close(self) -> None:
        """Release all resources; a second call does nothing."""

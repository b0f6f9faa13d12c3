"""The contract of every renderer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from env.camera import Pose
from env.scene import SceneConfig
from env.scene_state import SceneState, SceneStates


class Renderer(ABC):
    """Base class of renderers; ``scene.renderer=package.module:Class`` selects a custom one.

    A process builds it with ``Class(config)`` from a SceneConfig. It keeps no state between frames: equal
    arguments give equal pixels in every process of one machine, whatever was rendered before.
    `env.custom_scenes.checker.check_renderer` checks a class.
    """

    def __init__(self, config: SceneConfig) -> None:  # noqa: B027 - subclasses keep what they need
        """Build a renderer of scenes with these settings."""

    @abstractmethod
    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return a camera's frame, a new uint8 [H, W, 3]; the viewer's own body is left out."""

    def render_many(
        self, states: SceneStates, poses: Sequence[Pose], viewers: Sequence[str | None]
    ) -> np.ndarray:
        """Return one camera's frame of each state, a new uint8 [N, H, W, 3]: those that `render` returns.

        A renderer that draws many frames faster together than one by one overrides it.

        Args:
            states: N states; a state may be repeated for several cameras.
            poses: N poses; frames of one camera that stands still share one Pose.
            viewers: N names of the peers whose cameras they are, as in `render`.
        """
        rows = zip(states, poses, viewers, strict=True)
        return np.stack([self.render(state, pose, viewer) for state, pose, viewer in rows])

    @abstractmethod
    def close(self) -> None:
        """Release all resources; a second call does nothing."""

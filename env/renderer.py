"""The contract of every renderer."""

from abc import ABC, abstractmethod

import numpy as np

from env.camera import Pose
from env.scene import SceneConfig, SceneState


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

    @abstractmethod
    def close(self) -> None:
        """Release all resources; a second call does nothing."""

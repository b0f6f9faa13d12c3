"""What a renderer is, and how one is built."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from env.camera import Pose
from env.scene import SceneConfig, SceneState


class Renderer(Protocol):
    """Turns a state and a pose into pixels; equal arguments give equal pixels."""

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return what a camera sees, uint8 [H, W, 3]; the viewer's own body is left out."""

    def close(self) -> None:
        """Give back what the renderer holds; a second call does nothing."""


def build_renderer(config: SceneConfig) -> Renderer:
    """Build the renderer that the settings name.

    Raises:
        RuntimeError: OpenGL is missing, or this process has a MiniWorld renderer already.
    """
    if config.renderer == "toy":
        from env.renderers.toy import ToyRenderer

        return ToyRenderer(config)
    with opengl_explained():
        from env.renderers.miniworld import MiniworldRenderer  # import ing it opens an OpenGL display
    return MiniworldRenderer(config)


@contextlib.contextmanager
def opengl_explained() -> Iterator[None]:
    """Turn what an import of MiniWorld raises into a RuntimeError that names the remedy."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"the miniworld renderer needs the package {error.name}: pip install miniworld"
        ) from error
    except Exception as error:  # pyglet raises its own kinds, and plain ImportError, for missing libraries
        raise RuntimeError(
            "the miniworld renderer cannot open OpenGL: run "
            "apt-get install -y libegl1 libgl1-mesa-dri libglu1-mesa, "
            f"or choose renderer toy (the system said: {error!r})"
        ) from error


class _Lease:
    """One user's hold on a renderer that several share."""

    def __init__(self, config: SceneConfig) -> None:
        self._config = config
        self._open = True

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return what a camera sees, uint8 [H, W, 3]."""
        if not self._open:
            raise RuntimeError("this renderer is closed: build another")
        return _shared[self._config].renderer.render(state, pose, viewer)

    def close(self) -> None:
        """Let go; the last to do so closes the renderer."""
        if self._open:
            self._open = False
            held = _shared[self._config]
            held.users -= 1
            if held.users == 0:
                del _shared[self._config]
                held.renderer.close()


class _Shared:
    """A renderer and how many use it."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.users = 0


_shared: dict[SceneConfig, _Shared] = {}


def share_renderer(config: SceneConfig) -> Renderer:
    """Return this process's renderer for the settings, built for the first who asks and closed by the last.

    A renderer remembers nothing of the scene between two pictures, so that any number of users with equal
    settings can share one; MiniWorld allows no more than one in a process.
    """
    if config not in _shared:
        _shared[config] = _Shared(build_renderer(config))
    _shared[config].users += 1
    return _Lease(config)

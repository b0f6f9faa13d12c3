"""The renderer interface, and functions that build a renderer or share one within a process."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from env.camera import Pose
from env.common.custom_class import load_class
from env.renderer import Renderer
from env.scene import SceneConfig
from env.scene_state import SceneState, SceneStates


def build_renderer(config: SceneConfig, device: str = "cpu") -> Renderer:
    """Return a new renderer of the kind that ``config.renderer`` names, or of the source of frames.

    Args:
        config: Of the scene.
        device: Where the batch renderer draws, such as "cpu" or "cuda:0"; the others do not use it.

    Raises:
        ValueError: The class of a custom renderer cannot be loaded.
        RuntimeError: OpenGL is missing, or this process has a MiniWorld renderer already.
    """
    if config.source:
        from env.renderers.source import SourceRenderer

        return SourceRenderer(config)
    if ":" in config.renderer:
        return load_renderer(config.renderer)(config)
    if config.renderer == "toy":
        from env.renderers.toy import ToyRenderer

        return ToyRenderer(config)
    if config.renderer == "batch":
        from env.renderers.batch import BatchRenderer  # torch alone is imported for it

        return BatchRenderer(config, device)
    with explain_opengl_errors():
        from env.renderers.miniworld import MiniworldRenderer  # importing it opens an OpenGL display
    return MiniworldRenderer(config)


def load_renderer(text: str) -> type[Renderer]:
    """Return the class of a custom renderer, "package.module:Class"; its module is imported.

    Raises:
        ValueError: It names no class that defines every abstract method of Renderer.
    """
    return load_class("scene.renderer", text, Renderer, "renderer")  # type: ignore[type-abstract]


@contextlib.contextmanager
def explain_opengl_errors() -> Iterator[None]:
    """Turn errors of importing MiniWorld into a RuntimeError that names the remedy."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"the miniworld renderer needs the package {error.name}: pip install miniworld"
        ) from error
    except Exception as error:  # pyglet raises its own classes, and plain ImportError, for missing libraries
        raise RuntimeError(
            "the miniworld renderer cannot open OpenGL: run "
            "apt-get install -y libegl1 libgl1-mesa-dri libglu1-mesa, "
            f"or set renderer to toy (the system reports: {error!r})"
        ) from error


class _RendererHandle(Renderer):
    """One user's reference to a shared renderer."""

    def __init__(self, key: tuple[SceneConfig, str]) -> None:
        self._key = key
        self._open = True

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return a camera's frame, uint8 [H, W, 3]."""
        return self._renderer().render(state, pose, viewer)

    def render_many(
        self, states: SceneStates, poses: Sequence[Pose], viewers: Sequence[str | None]
    ) -> np.ndarray:
        """Return frames, uint8 [N, H, W, 3]."""
        return self._renderer().render_many(states, poses, viewers)

    def close(self) -> None:
        """Drop the reference; the renderer is closed with its last reference."""
        if self._open:
            self._open = False
            shared = _shared[self._key]
            shared.references -= 1
            if shared.references == 0:
                del _shared[self._key]
                shared.renderer.close()

    def _renderer(self) -> Renderer:
        if not self._open:
            raise RuntimeError("this renderer is closed: build another")
        return _shared[self._key].renderer


class _SharedRenderer:
    """A renderer and its reference count."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.references = 0


_shared: dict[tuple[SceneConfig, str], _SharedRenderer] = {}


def share_renderer(config: SceneConfig, device: str = "cpu") -> Renderer:
    """Return a reference to this process's renderer for the settings, which is built on first use.

    A renderer keeps no state between frames, so any number of users with equal settings can share one;
    MiniWorld allows only one per process. The renderer is closed with its last reference.

    Args:
        config: Of the scene.
        device: See `build_renderer`.
    """
    key = config, device
    if key not in _shared:
        _shared[key] = _SharedRenderer(build_renderer(config, device))
    _shared[key].references += 1
    return _RendererHandle(key)

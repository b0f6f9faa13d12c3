"""Pictures of single objects under known rotations.

A small stand-in for 3DIEBench, the rendered objects that seq-JEPA is tested on (arXiv:2505.03176).

All coordinates are the camera's: x is right, y up, and z towards the camera.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from env.appearance import ObjectView
from env.checks import check_choice, check_integer, check_number
from env.objects.rotation import relative_quaternions, to_quaternions
from env.renderers.build import explain_opengl_errors

# Classes by renderer; the last ones are held out. Rotations of the barrel, the cone, the potion or the pine
# about their own axes are hardly visible.
CLASSES = {
    "miniworld": (
        *("barrel", "barrier", "building", "cone", "key", "keycard", "office_desk", "potion", "tree"),
        *("tree_pine", "duckie", "medkit", "office_chair"),
    ),
    "toy": (
        *("cube", "slab", "pillar", "tetrahedron", "pyramid", "prism", "hexagonal prism", "spindle"),
        *("octahedron", "frustum", "antiprism", "wedge"),
    ),
}
SPLITS = ("seen", "unseen", "all")
LIGHT_ANGLE = -45.0  # degrees about x from the camera's direction: the mean light comes from above the camera
MEAN_BACKGROUND = 0.6  # of red, green and blue


@dataclass(frozen=True)
class ObjectsConfig:
    """Renderer, held-out classes, and the ranges that views are drawn from."""

    renderer: str = "miniworld"  # miniworld (OpenGL, textured meshes) or toy (numpy alone, convex solids)
    frame_size: int = 64  # pixels, square
    unseen_classes: int = 3  # classes held out, the last ones of CLASSES
    max_rotation: float = 90.0  # degrees either way about each of the axes x, y and z, up to 180
    min_scale: float = 0.75  # smallest size of an object in a view; the largest is 1
    min_stretch: float = (
        0.8  # smallest scale along each axis of an object, in all its views; the largest is 1
    )
    max_light_angle: float = 60.0  # degrees between the light and its mean direction, up to 90
    background_range: float = 0.3  # largest deviation of the background's RGB from 0.6, up to 0.4

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid setting."""
        check_choice("renderer", self.renderer, tuple(CLASSES))
        check_integer("frame_size", self.frame_size, 16, 1024)
        check_integer("unseen_classes", self.unseen_classes, 0, len(self.classes) - 1)
        check_number("max_rotation", self.max_rotation, 0, 180)
        check_number("min_scale", self.min_scale, 0.1, 1)
        check_number("min_stretch", self.min_stretch, 0.1, 1)
        check_number("max_light_angle", self.max_light_angle, 0, 90)
        check_number("background_range", self.background_range, 0, 0.4)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes, by index."""
        return CLASSES[self.renderer]


@dataclass(frozen=True)
class ObjectViews:
    """M views of each of N objects.

    Attributes:
        frames: uint8 [N, M, H, W, 3].
        rotations: float64 [N, M, 4], quaternions (env.objects.rotation) applied to the stored mesh.
        actions: float64 [N, M - 1, 4], the relative rotation from a view to the next:
            ``rotations[:, m + 1]`` is ``rotations[:, m]`` followed by ``actions[:, m]``.
        classes: int64 [N], indices into ``ObjectsConfig.classes`` for every split.
        stretches: float64 [N, 3], along the axes of each object.
        scales: float64 [N, M].
        lights: float64 [N, M, 3], unit vectors towards the light.
        backgrounds: float64 [N, M, 3], RGB in [0, 1].
    """

    frames: np.ndarray
    rotations: np.ndarray
    actions: np.ndarray
    classes: np.ndarray
    stretches: np.ndarray
    scales: np.ndarray
    lights: np.ndarray
    backgrounds: np.ndarray


class ObjectRenderer(Protocol):
    """Renders single objects; equal views give equal pixels."""

    def render(self, views: Sequence[ObjectView]) -> np.ndarray:
        """Return a picture of each view, uint8 [N, H, W, 3]."""

    def close(self) -> None:
        """Release all resources; a second call does nothing."""


class ObjectDataset:
    """Samples objects and their views; may coexist with a MiniWorld renderer of the scene."""

    def __init__(self, config: ObjectsConfig | None = None) -> None:
        """Open the renderer.

        Raises:
            RuntimeError: OpenGL is missing; the message names the remedy.
        """
        self.config = config or ObjectsConfig()
        self._renderer = build_object_renderer(self.config)

    def sample(self, rng: np.random.Generator, objects: int, views: int, split: str = "seen") -> ObjectViews:
        """Return random objects, each class equally likely, and random views of each.

        Rotation, size, light and background are independent in every view; only the class and the stretch
        are shared by the views of one object. Equal generators give equal views.

        Args:
            rng: The only source of randomness.
            objects: N.
            views: M.
            split: Classes to draw from: seen, unseen or all.
        """
        check_integer("objects", objects, 1)
        check_integer("views", views, 1)
        config, shape = self.config, (objects, views, 3)
        classes = rng.choice(split_classes(config, split), size=objects)
        stretches = rng.uniform(config.min_stretch, 1, size=(objects, 3))
        angles = rng.uniform(-config.max_rotation, config.max_rotation, size=shape)
        rotations = to_quaternions(Rotation.from_euler("xyz", angles, degrees=True))  # about fixed axes
        scales = rng.uniform(config.min_scale, 1, size=(objects, views))
        lights = _sample_lights(rng, (objects, views), config.max_light_angle)
        deviations = rng.uniform(-config.background_range, config.background_range, size=shape)
        backgrounds = MEAN_BACKGROUND + deviations
        parameters = [
            ObjectView(index, rotations[n, m], scales[n, m] * stretches[n], lights[n, m], backgrounds[n, m])
            for n, index in enumerate(classes.tolist())
            for m in range(views)
        ]
        frames = self._renderer.render(parameters)
        frames = frames.reshape(objects, views, config.frame_size, config.frame_size, 3)
        actions = relative_quaternions(rotations[:, :-1], rotations[:, 1:])
        return ObjectViews(frames, rotations, actions, classes, stretches, scales, lights, backgrounds)

    def close(self) -> None:
        """Close the renderer; a second call does nothing."""
        self._renderer.close()


def build_object_renderer(config: ObjectsConfig) -> ObjectRenderer:
    """Return a new renderer of single objects; RuntimeError if OpenGL is missing."""
    if config.renderer == "toy":
        from env.objects.toy import ToyObjectRenderer

        return ToyObjectRenderer(config.classes, config.frame_size)
    with explain_opengl_errors():
        from env.objects.miniworld import MiniworldObjectRenderer  # importing it opens an OpenGL display
    return MiniworldObjectRenderer(config.classes, config.frame_size)


def split_classes(config: ObjectsConfig, split: str) -> np.ndarray:
    """Return the indices of the classes in a split, int64 [classes]."""
    check_choice("split", split, SPLITS)
    indices = np.arange(len(config.classes))
    seen = len(indices) - config.unseen_classes
    chosen = {"seen": indices[:seen], "unseen": indices[seen:], "all": indices}[split]
    if not len(chosen):
        raise ValueError("no class is held out: set unseen_classes to 1 or more")
    return chosen


def _sample_lights(rng: np.random.Generator, shape: tuple[int, int], max_angle: float) -> np.ndarray:
    """Return directions uniform on a spherical cap, [*shape, 3]; its half angle is in degrees."""
    z = rng.uniform(math.cos(math.radians(max_angle)), 1, size=shape)
    azimuth = rng.uniform(0, 2 * math.pi, size=shape)
    radius = np.sqrt(1 - z * z)
    cap = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=-1)
    return cap @ Rotation.from_euler("x", LIGHT_ANGLE, degrees=True).as_matrix().T

"""Pictures of single objects, turned by known rotations.

A small stand-in for 3DIEBench, the rendered objects that seq-JEPA is tested on (arXiv:2505.03176).

All coordinates are the camera's: x is right, y up, and z towards the camera.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from env.appearance import Look
from env.checks import check_number, check_whole
from env.objects.rotation import from_euler, relative, to_matrix
from env.renderers.base import opengl_explained

# What there is to see, by renderer; the last ones are those held out. A turn of the barrel, the cone, the
# potion or the pine about its own axis can hardly be seen.
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
LIGHT_FROM = -45.0  # degrees about x from the camera's own direction: from above, over the camera's shoulder
BACKGROUND = 0.6  # the part of red, green and blue about which backgrounds vary


@dataclass(frozen=True)
class ObjectsConfig:
    """What is drawn, and how much views differ."""

    renderer: str = "miniworld"  # miniworld (OpenGL, textured meshes) or toy (numpy alone, convex solids)
    frame_size: int = 64  # pixels, square
    unseen: int = 3  # classes held out, the last ones of CLASSES
    turn: float = 90.0  # degrees either way about each of the axes x, y and z, up to 180
    scale: float = 0.75  # smallest size of an object in a view; the largest is 1
    stretch: float = 0.8  # smallest factor along each axis of an object, in all its views; the largest is 1
    light: float = 60.0  # degrees that the light strays from above the camera's shoulder, up to 90
    background: float = 0.3  # how far each colour part of the background strays from 0.6, up to 0.4

    def __post_init__(self) -> None:
        """Raise ValueError for the first setting that draws nothing."""
        if self.renderer not in CLASSES:
            raise ValueError(f"renderer must be one of {', '.join(CLASSES)}, got {self.renderer!r}")
        check_whole("frame_size", self.frame_size, 16, 1024)
        check_whole("unseen", self.unseen, 0, len(CLASSES[self.renderer]) - 1)
        ranges = {
            "turn": (0, 180),
            "scale": (0.1, 1),
            "stretch": (0.1, 1),
            "light": (0, 90),
            "background": (0, 0.4),
        }
        for name, (least, most) in ranges.items():
            check_number(name, getattr(self, name), least, most)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes, by number."""
        return CLASSES[self.renderer]


@dataclass(frozen=True)
class ObjectViews:
    """N objects, each seen M times.

    Attributes:
        frames: uint8 [N, M, H, W, 3].
        rotations: float64 [N, M, 4], unit quaternions (w, x, y, z) with w >= 0, from how a class is stored.
        actions: float64 [N, M - 1, 4], the rotation after a view that leads to the next:
            ``rotations[:, m + 1] == multiply(actions[:, m], rotations[:, m])``.
        classes: int64 [N], numbers into ``ObjectsConfig.classes``, whatever the split.
        stretches: float64 [N, 3], along the axes of each object.
        scales: float64 [N, M].
        lights: float64 [N, M, 3], unit vectors towards the light.
        backgrounds: float64 [N, M, 3], red, green and blue parts in [0, 1].
    """

    frames: np.ndarray
    rotations: np.ndarray
    actions: np.ndarray
    classes: np.ndarray
    stretches: np.ndarray
    scales: np.ndarray
    lights: np.ndarray
    backgrounds: np.ndarray


class Drawer(Protocol):
    """Turns looks into pixels; equal looks give equal pixels."""

    def draw(self, looks: Sequence[Look]) -> np.ndarray:
        """Return a picture of each, uint8 [N, H, W, 3]."""

    def close(self) -> None:
        """Give back what the drawer holds; a second call does nothing."""


class Objects:
    """Draws objects; may live beside a MiniWorld renderer of the scene."""

    def __init__(self, config: ObjectsConfig | None = None) -> None:
        """Open what draws.

        Raises:
            RuntimeError: OpenGL is missing; the sentence names the remedy.
        """
        self.config = config or ObjectsConfig()
        self._drawer = build_drawer(self.config)

    def sample(self, rng: np.random.Generator, objects: int, views: int, split: str = "seen") -> ObjectViews:
        """Draw objects, each class equally likely, and views of each.

        Every view has a rotation, size, light and background of its own, drawn independently; only the class
        and the stretch are common to the views of one object. Equal generators give equal views.

        Args:
            rng: Where all chance comes from.
            objects: N.
            views: M.
            split: Which classes: seen, unseen or all.
        """
        check_whole("objects", objects, 1)
        check_whole("views", views, 1)
        config = self.config
        classes = rng.choice(split_classes(config, split), size=objects)
        stretches = rng.uniform(config.stretch, 1, size=(objects, 3))
        rotations = from_euler(rng.uniform(-config.turn, config.turn, size=(objects, views, 3)))
        scales = rng.uniform(config.scale, 1, size=(objects, views))
        lights = _lights(rng, (objects, views), config.light)
        backgrounds = BACKGROUND + rng.uniform(
            -config.background, config.background, size=(objects, views, 3)
        )
        looks = [
            Look(kind, rotations[n, m], scales[n, m] * stretches[n], lights[n, m], backgrounds[n, m])
            for n, kind in enumerate(classes.tolist())
            for m in range(views)
        ]
        frames = self._drawer.draw(looks).reshape(objects, views, config.frame_size, config.frame_size, 3)
        actions = relative(rotations[:, :-1], rotations[:, 1:])
        return ObjectViews(frames, rotations, actions, classes, stretches, scales, lights, backgrounds)

    def close(self) -> None:
        """Give back what draws; a second call does nothing."""
        self._drawer.close()


def build_drawer(config: ObjectsConfig) -> Drawer:
    """Build what draws the objects of the settings; RuntimeError where OpenGL is missing."""
    if config.renderer == "toy":
        from env.objects.toy import ToyDrawer

        return ToyDrawer(config.classes, config.frame_size)
    with opengl_explained():
        from env.objects.miniworld import MeshDrawer  # import ing it opens an OpenGL display
    return MeshDrawer(config.classes, config.frame_size)


def split_classes(config: ObjectsConfig, split: str) -> np.ndarray:
    """Return the numbers of the classes in a split, int64 [classes]."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    numbers = np.arange(len(config.classes))
    kept = len(numbers) - config.unseen
    chosen = {"seen": numbers[:kept], "unseen": numbers[kept:], "all": numbers}[split]
    if not len(chosen):
        raise ValueError("no class is held out: set unseen to 1 or more")
    return chosen


def _lights(rng: np.random.Generator, shape: tuple[int, int], widest: float) -> np.ndarray:
    """Return directions spread evenly over a cap of the sphere, [*shape, 3]; its half angle is in degrees."""
    z = rng.uniform(math.cos(math.radians(widest)), 1, size=shape)
    around = rng.uniform(0, 2 * math.pi, size=shape)
    out = np.sqrt(1 - z * z)
    cap = np.stack([out * np.cos(around), out * np.sin(around), z], axis=-1)
    return cap @ to_matrix(from_euler(np.array([LIGHT_FROM, 0.0, 0.0]))).T

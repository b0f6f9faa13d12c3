"""Two worlds to find one's way in: glances at the shared scene, and one object turned again and again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from env.camera import RingConfig, ring_pose
from env.objects.dataset import ObjectsConfig
from env.objects.rotation import relative_quaternions
from env.recording import Recorder
from env.renderers.base import build_renderer
from env.scene import Scene, SceneConfig
from env.views import ViewConfig, record_views
from social_jepa.experiments.invariance_equivariance.data import PROBE, SCORING, TRAINING, drawn, moves

APART = 1000  # ticks between the sets: the scene forgets the past within 20


@dataclass(frozen=True)
class Paths:
    """N sequences of M views and what leads through them.

    Attributes:
        frames: uint8 [N, M, H, W, 3].
        actions: float32 [N, M - 1, A]: (pan, tilt) in shares of the widest glance, or a quaternion.
        places: float64 [N, M, 2 or 4]: where each view looks, or how its object is turned.
    """

    frames: np.ndarray
    actions: np.ndarray
    places: np.ndarray

    def head(self, views: int) -> "Paths":
        """Return the first views of each sequence."""
        return Paths(self.frames[:, :views], self.actions[:, : views - 1], self.places[:, :views])

    def summed(self, moves: int) -> np.ndarray:
        """Return what the first moves come to, [N, A]: their sum, or for turns the one turn they make."""
        first, last = self.places[:, 0], self.places[:, moves]
        return relative_quaternions(first, last) if first.shape[1] == 4 else last - first


@lru_cache(maxsize=1)
def glance_paths(
    scene: SceneConfig, reach: float, seed: int, counts: tuple[int, int, int], views: int
) -> tuple[Paths, Paths, Paths]:
    """Return training, probe and scoring glances of one camera: ticks of one scene that are far apart.

    Args:
        scene: What is looked at.
        reach: The widest glance in degrees.
        seed: Of the scene and the glances.
        counts: Sequences of each set.
        views: Glances of each sequence, all at one tick, directions independent.

    Raises:
        RuntimeError: The renderer needs OpenGL and it is missing.
    """
    found, tick = [], 0
    with _renderer(scene) as renderer:
        recorder = Recorder(Scene(scene, seed), renderer, ring_pose(0, RingConfig()))
        for purpose, count in zip((TRAINING, PROBE, SCORING), counts, strict=True):
            rng = np.random.default_rng([seed, purpose, 1])
            seen = record_views(recorder, range(tick, tick + count), rng, views, ViewConfig(reach))
            found.append(Paths(seen.frames, seen.actions, seen.offsets.astype(np.float64)))
            tick += count + APART
    return found[0], found[1], found[2]


@lru_cache(maxsize=1)
def rotation_paths(
    config: ObjectsConfig, seed: int, counts: tuple[int, int, int], views: int
) -> tuple[Paths, Paths, Paths]:
    """Return training, probe and scoring sequences of turned objects, no object in two sets.

    Args:
        config: What is drawn.
        seed: Of the objects.
        counts: Objects of each set.
        views: Of each object, their rotations independent.

    Raises:
        RuntimeError: The renderer needs OpenGL and it is missing.
    """
    found = []
    for purpose, count in zip((TRAINING, PROBE, SCORING), counts, strict=True):
        seen = drawn(config, (seed, purpose), count, views)
        found.append(Paths(seen.frames, moves(seen.rotations), seen.rotations))
    return found[0], found[1], found[2]


@contextmanager
def _renderer(scene: SceneConfig) -> Iterator:
    renderer = build_renderer(scene)
    try:
        yield renderer
    finally:
        renderer.close()

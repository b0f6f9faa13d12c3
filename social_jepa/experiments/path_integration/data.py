"""Sequences of views and actions: one camera's views of the scene, and rotations of one object."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from env.camera import RingConfig, ring_pose
from env.objects.dataset import ObjectsConfig
from env.objects.rotation import from_quaternions, relative_quaternions, to_quaternions
from env.recording import Recorder
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig
from env.views import ViewConfig, record_views
from social_jepa.experiments.invariance_equivariance.data import consecutive_rotations, sample_objects
from social_jepa.experiments.path_integration.settings import SCENE_VIEWS, PathStream, Settings

QUATERNION = 4  # numbers of a rotation; a direction has two
SET_GAP = 1000  # ticks between the sets; the scene decorrelates within 20


@dataclass(frozen=True)
class ViewSequences:
    """N sequences of M views and the actions between them.

    Attributes:
        frames: uint8 [N, M, H, W, 3].
        actions: float32 [N, M - 1, A], as measured: (pan, tilt) relative to the largest view angle, or a
            quaternion.
        orientations: float64 [N, M, 2 or 4]: the direction of each view, or the rotation of its object.
    """

    frames: np.ndarray
    actions: np.ndarray
    orientations: np.ndarray

    def first(self, views: int) -> "ViewSequences":
        """Return the first views of each sequence."""
        return ViewSequences(
            self.frames[:, :views], self.actions[:, : views - 1], self.orientations[:, :views]
        )

    def total_action(self, actions: int) -> np.ndarray:
        """Return the result of the first actions, [N, A]: their sum, or the composition of rotations."""
        start, end = self.orientations[:, 0], self.orientations[:, actions]
        return relative_quaternions(start, end) if start.shape[1] == QUATERNION else end - start


DataSets = tuple[ViewSequences, ViewSequences, ViewSequences]  # training, probe, scoring
STREAMS = (PathStream.TRAINING, PathStream.PROBE, PathStream.SCORING)


def build_data(condition: str, seed: int, settings: Settings) -> DataSets:
    """Return the training, probe and scoring sequences of a condition."""
    counts = (settings.training_sequences, settings.probe_sequences, settings.scoring_sequences)
    views = settings.max_actions + 2
    if condition == SCENE_VIEWS:
        exact = record_scene_views(settings.scene_config, settings.max_view_angle, seed, counts, views)
    else:
        exact = sample_object_rotations(settings.objects_config, seed, counts, views)
    size = _root_mean_square(exact[0].actions)
    rng = PathStream.ODOMETRY.rng(seed)
    training, probe, scoring = (
        replace(each, actions=measured_actions(each.actions, settings.odometry_noise * size, rng))
        for each in exact
    )
    return training, probe, scoring


def measured_actions(actions: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Return actions as odometry measures them, each with an error of its own, float32 [N, M - 1, A].

    Args:
        actions: float32 [N, M - 1, A]; quaternions where A is 4.
        noise: Root mean square of the error: of the difference, or of the angle of the further rotation in
            radians.
        rng: Draws the errors.
    """
    if actions.shape[-1] != QUATERNION:
        errors = rng.standard_normal(actions.shape) * noise / actions.shape[-1] ** 0.5
        return (actions + errors).astype(np.float32)
    errors = rng.standard_normal((*actions.shape[:-1], 3)) * noise / 3**0.5
    turned = Rotation.from_rotvec(errors.reshape(-1, 3)) * from_quaternions(actions.reshape(-1, QUATERNION))
    return to_quaternions(turned).reshape(actions.shape).astype(np.float32)


def _root_mean_square(actions: np.ndarray) -> float:
    """Return the root mean square of the size of actions: of their length, or of their angle in radians."""
    if actions.shape[-1] != QUATERNION:
        return float(np.square(actions).sum(-1).mean() ** 0.5)
    angles = from_quaternions(actions.reshape(-1, QUATERNION)).magnitude()
    return float(np.square(angles).mean() ** 0.5)


@lru_cache(maxsize=1)
def record_scene_views(
    scene: SceneConfig, max_view_angle: float, seed: int, counts: tuple[int, int, int], views: int
) -> DataSets:
    """Return training, probe and scoring sequences of one camera, at distant ticks of one scene.

    Args:
        scene: Settings of the scene.
        max_view_angle: Largest pan and tilt in degrees.
        seed: Seed of the scene and of the directions.
        counts: Number of sequences of each set.
        views: Views of each sequence, all at one tick, in independent directions.

    Raises:
        RuntimeError: The renderer needs OpenGL and it is missing.
    """
    sets, tick = [], 0
    with _renderer(scene) as renderer:
        recorder = Recorder(Scene(scene, seed), renderer, ring_pose(0, RingConfig()))
        for stream, count in zip(STREAMS, counts, strict=True):
            ticks = range(tick, tick + count)
            found = record_views(recorder, ticks, stream.rng(seed, 1), views, ViewConfig(max_view_angle))
            sets.append(ViewSequences(found.frames, found.actions, found.offsets.astype(np.float64)))
            tick += count + SET_GAP
    return sets[0], sets[1], sets[2]


@lru_cache(maxsize=1)
def sample_object_rotations(
    config: ObjectsConfig, seed: int, counts: tuple[int, int, int], views: int
) -> DataSets:
    """Return training, probe and scoring sequences of rotated objects; no object is in two sets.

    Args:
        config: Settings of the objects.
        seed: Seed of the objects.
        counts: Number of objects of each set.
        views: Views of each object, with independent rotations.

    Raises:
        RuntimeError: The renderer needs OpenGL and it is missing.
    """
    sets = []
    for stream, count in zip(STREAMS, counts, strict=True):
        found = sample_objects(config, (seed, stream), count, views)
        sets.append(ViewSequences(found.frames, consecutive_rotations(found.rotations), found.rotations))
    return sets[0], sets[1], sets[2]


@contextmanager
def _renderer(scene: SceneConfig) -> Iterator:
    renderer = build_renderer(scene)
    try:
        yield renderer
    finally:
        renderer.close()

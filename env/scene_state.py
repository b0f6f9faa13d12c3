"""The state of the scene at one tick, and at many ticks at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from env.camera import Pose

Bodies = tuple[tuple[str, Pose], ...]


@dataclass(frozen=True)
class SceneState:
    """State of the scene at one tick, as renderers need it.

    Attributes:
        tick: Integer time.
        factors: [F], the true state, two coordinates per object; the arrays are read-only.
        positions: [objects, 2], x and z in meters.
        yaws: [objects], degrees.
        identities: int64 [objects], index of each object's shape among `SceneConfig.shapes`.
        bodies: Name and camera pose of each peer's body, in alphabetical order.
    """

    tick: int
    factors: np.ndarray
    positions: np.ndarray
    yaws: np.ndarray
    identities: np.ndarray
    bodies: Bodies


@dataclass(frozen=True, eq=False)
class SceneStates:
    """States of the scene at T ticks, in any order; iterating gives each as a SceneState.

    Attributes:
        ticks: int64 [T].
        factors: [T, F]; all arrays are read-only.
        positions: [T, objects, 2], x and z in meters.
        yaws: [T, objects], degrees.
        identities: int64 [T, objects].
        bodies: T tuples; ticks between which no body moves share one.
    """

    ticks: np.ndarray
    factors: np.ndarray
    positions: np.ndarray
    yaws: np.ndarray
    identities: np.ndarray
    bodies: Sequence[Bodies]

    @classmethod
    def of(cls, states: Sequence[SceneState]) -> "SceneStates":
        """Return one state or more together; all have the same number of objects."""
        return cls(
            np.array([state.tick for state in states], dtype=np.int64),
            np.stack([state.factors for state in states]),
            np.stack([state.positions for state in states]),
            np.stack([state.yaws for state in states]),
            np.stack([state.identities for state in states]),
            [state.bodies for state in states],
        )

    @classmethod
    def without_objects(cls, ticks: np.ndarray) -> "SceneStates":
        """Return the states at ticks of a source of frames, int64 [T], which hold the ticks alone."""
        count = len(ticks)
        none, places = np.empty((count, 0)), np.empty((count, 0, 2))
        return cls(ticks, none, places, none, np.empty((count, 0), np.int64), [()] * count)

    def __len__(self) -> int:
        """Return the number of ticks, T."""
        return len(self.ticks)

    def __iter__(self) -> Iterator[SceneState]:
        """Yield the state of each tick."""
        rows = zip(self.factors, self.positions, self.yaws, self.identities, self.bodies, strict=True)
        for tick, row in zip(self.ticks.tolist(), rows, strict=True):
            yield SceneState(tick, *row)

    def repeat(self, count: int) -> "SceneStates":
        """Return each state ``count`` times in a row."""
        return SceneStates(
            np.repeat(self.ticks, count),
            np.repeat(self.factors, count, axis=0),
            np.repeat(self.positions, count, axis=0),
            np.repeat(self.yaws, count, axis=0),
            np.repeat(self.identities, count, axis=0),
            [bodies for bodies in self.bodies for _ in range(count)],
        )

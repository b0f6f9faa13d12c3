"""Where cameras and objects stand, so that both cameras see the same objects and few of their surfaces.

Places are given along the line between the two cameras (u, towards the first one) and across it (v). All that
changes from one overlap to the next is the height of the cameras and the turn of the whole arrangement about
the room's center: boxes keep their sides along the room's axes, so that a turn decides which sides face which
camera.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from env.camera import Pose
from env.interior_walls import InteriorWallsConfig
from env.object_areas import Area
from env.scene import SceneConfig

SHARED = (0, 1)  # objects that both cameras see
PRIVATE = (2, 3)  # the object that the first camera alone sees, and that of the second
OBJECTS = len(SHARED) + len(PRIVATE)
SHARED_FACTORS = [2 * k + axis for k in SHARED for axis in (0, 1)]  # columns of the true state
SEEN_FACTORS = len(SHARED_FACTORS) + 2  # that one camera sees: those, and of its private object


@dataclass(frozen=True)
class Level:
    """One overlap of surfaces, and the cameras that have it.

    Attributes:
        overlap: Share of the shared objects' surfaces seen by any camera that both see.
        high: Whether the cameras are high, so that both see the tops of the boxes; low ones see sides alone.
        turn: Degrees from the room's x axis to the first camera.
    """

    overlap: float
    high: bool
    turn: float


LEVELS: Mapping[str, Level] = {
    "overlap 0.4": Level(0.4, high=True, turn=3.3),
    "overlap 0.2": Level(0.2, high=True, turn=30.0),
    "overlap 0.1": Level(0.1, high=False, turn=8.8),
    "overlap 0": Level(0.0, high=False, turn=30.0),
}


@dataclass(frozen=True)
class Layout:
    """Cameras 180 degrees apart, the areas that objects move in, and a wall beside each camera."""

    radius: float = 5.2  # meters from the center to a camera
    fov: float = 75.0  # degrees
    pan: float = 5.0  # degrees to the left of the center that cameras look, towards their private objects
    low_height: float = 0.75  # meters; below the tops of the boxes
    low_pitch: float = -2.0  # degrees
    high_height: float = 3.2
    high_pitch: float = -28.0
    shared_offset: float = 0.8  # meters across, from the center to the areas of the two shared objects
    shared_range: float = 1.7  # meters, the largest distance of one from the center of its area
    private_along: float = 2.2  # meters along, from the center to a private object on the far side
    private_across: float = 4.0  # meters across
    private_range: float = 0.5
    # along and across, in meters, of both ends of the wall that hides the far camera's private object
    wall_start: tuple[float, float] = (3.2, 1.35)
    wall_end: tuple[float, float] = (4.4, 3.2)
    wall_height: float = 2.6

    def poses(self, level: Level) -> list[Pose]:
        """Return the poses of both cameras."""
        height, pitch = (
            (self.high_height, self.high_pitch) if level.high else (self.low_height, self.low_pitch)
        )
        poses = []
        for turn in (level.turn, level.turn + 180):
            x, z = _place(self.radius, 0.0, turn)
            poses.append(Pose(x, height, z, (turn + 180 + self.pan) % 360, pitch, self.fov))
        return poses

    def areas(self, turn: float) -> tuple[Area, ...]:
        """Return the area of each object."""
        along, across = self.private_along, self.private_across
        centers = [(0.0, self.shared_offset), (0.0, -self.shared_offset), (-along, -across), (along, across)]
        ranges = [self.shared_range] * len(SHARED) + [self.private_range] * len(PRIVATE)
        return tuple(
            (*_place(*center, turn), extent, extent) for center, extent in zip(centers, ranges, strict=True)
        )

    def walls(self, turn: float) -> InteriorWallsConfig:
        """Return the wall beside each camera."""
        segments = [
            (*_place(*self.wall_start, angle), *_place(*self.wall_end, angle)) for angle in (turn, turn + 180)
        ]
        return InteriorWallsConfig(tuple(segments), self.wall_height)

    def scene(self, default: SceneConfig, level: Level) -> SceneConfig:
        """Return the settings of the scene at a level, given those that all levels have in common."""
        return replace(default, object_areas=self.areas(level.turn), interior_walls=self.walls(level.turn))


def seen_factors(camera: int) -> list[int]:
    """Return the columns of the true state that a camera sees, 0 or 1."""
    return [*SHARED_FACTORS, *(2 * PRIVATE[camera] + axis for axis in (0, 1))]


def _place(along: float, across: float, turn: float) -> tuple[float, float]:
    """Return x and z of a place that is given along and across the line between the cameras."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return along * cos + across * sin, across * cos - along * sin

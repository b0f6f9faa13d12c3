"""Where a camera stands and where it looks: poses, the ring around the room, glances."""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

STEEPEST_PITCH = 89.0  # at 90 degrees "up" is no longer defined for the camera


@dataclass(frozen=True)
class Pose:
    """A camera in the scene; y is height.

    Attributes:
        x: Metres.
        y: Metres above the floor.
        z: Metres.
        yaw: Degrees; 0 looks along +x, 90 along -z.
        pitch: Degrees; negative looks down.
        fov: Vertical field of view in degrees.
    """

    x: float
    y: float
    z: float
    yaw: float
    pitch: float
    fov: float = 60.0

    def __post_init__(self) -> None:
        """Raise ValueError for a pose that no camera can take."""
        for part in fields(self):
            if not math.isfinite(getattr(self, part.name)):
                raise ValueError(
                    f"{part.name} of a pose must be a finite number, got {getattr(self, part.name)!r}"
                )
        if abs(self.pitch) > STEEPEST_PITCH:
            raise ValueError(
                f"pitch of a pose must lie within {STEEPEST_PITCH:g} degrees of level, got {self.pitch:g}"
            )
        if not 1.0 <= self.fov <= 150.0:
            raise ValueError(f"fov of a pose must lie between 1 and 150 degrees, got {self.fov:g}")

    @classmethod
    def parse(cls, text: str) -> "Pose":
        """Return the pose written as ``x,y,z,yaw,pitch`` or ``x,y,z,yaw,pitch,fov``."""
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (5, 6):
            raise ValueError(
                f"a pose is written x,y,z,yaw,pitch with an optional ,fov (metres and degrees), got {text!r}"
            )
        return cls(*numbers)


@dataclass(frozen=True)
class RingConfig:
    """A ring of cameras around the room, all of them looking inwards."""

    radius: float = 4.8  # metres from the centre; 4.8 is just outside the wall of an 8 metre room
    height: float = 3.2  # metres above the floor
    pitch: float = -35.0  # degrees; negative looks down
    separation: float = 90.0  # degrees between one camera and the next
    fov: float = 60.0  # vertical field of view in degrees

    def __post_init__(self) -> None:
        """Raise ValueError for a ring that has no places to stand."""
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"radius of the ring must be a positive number of metres, got {self.radius!r}")
        if not 0.0 < self.separation <= 360.0:
            raise ValueError(
                f"separation must lie above 0 and at most at 360 degrees, got {self.separation!r}"
            )


def ring_pose(index: int, ring: RingConfig, room_centre: tuple[float, float] = (0.0, 0.0)) -> Pose:
    """Return the pose of camera ``index``, which does not depend on how many cameras there are.

    Camera k stands at the angle k * separation. After each full lap the ring is turned by the next van der
    Corput fraction of the separation (1/2, 1/4, 3/4, 1/8, ...), so that nobody stands on another's spot.

    Args:
        index: 0 or more.
        ring: Size and spacing of the ring.
        room_centre: (x, z) in metres.
    """
    if index < 0:
        raise ValueError(f"index of a ring pose must be 0 or more, got {index}")
    places = int(360.0 / ring.separation + 1e-9)
    lap, place = divmod(index, places)
    angle = ((place + _van_der_corput(lap)) * ring.separation) % 360.0
    x = room_centre[0] + ring.radius * math.cos(math.radians(angle))
    z = room_centre[1] - ring.radius * math.sin(math.radians(angle))
    return Pose(x, ring.height, z, (angle + 180.0) % 360.0, ring.pitch, ring.fov)


def turned_pose(pose: Pose, pan: float, tilt: float) -> Pose:
    """Return the pose turned by pan (positive is left) and tilt (positive is up), in degrees.

    A tilt beyond straight up or down stops there.
    """
    pitch = min(max(pose.pitch + tilt, -STEEPEST_PITCH), STEEPEST_PITCH)
    return replace(pose, yaw=(pose.yaw + pan) % 360.0, pitch=pitch)


def turned(pose: Pose, looks_at: Pose) -> tuple[float, float]:
    """Return the pan, in [-180, 180), and the tilt that ``glance`` made of a pose, in degrees."""
    return (looks_at.yaw - pose.yaw + 180.0) % 360.0 - 180.0, looks_at.pitch - pose.pitch


def camera_axes(pose: Pose) -> np.ndarray:
    """Return the unit vectors right, up and forward of a camera as rows, [3, 3]."""
    yaw, pitch = math.radians(pose.yaw), math.radians(pose.pitch)
    forward = np.array([math.cos(pitch) * math.cos(yaw), math.sin(pitch), -math.cos(pitch) * math.sin(yaw)])
    right = np.array([math.sin(yaw), 0.0, math.cos(yaw)])
    return np.stack([right, np.cross(right, forward), forward])


def in_camera(pose: Pose, points: np.ndarray) -> np.ndarray:
    """Return points as a camera has them.

    Args:
        pose: The camera.
        points: [..., 3], metres in the room.

    Returns:
        [..., 3], metres to the right, upwards and away from the camera.
    """
    return (points - np.array([pose.x, pose.y, pose.z])) @ camera_axes(pose).T


def in_view(pose: Pose, points: np.ndarray) -> np.ndarray:
    """Return which points, [..., 3], fall into a square picture, [...] bool."""
    right, up, away = np.moveaxis(in_camera(pose, points), -1, 0)
    edge = away * math.tan(math.radians(pose.fov / 2))
    return (away > 0) & (np.abs(right) < edge) & (np.abs(up) < edge)


def _van_der_corput(index: int) -> float:
    """Return the bits of an index mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    value, step = 0.0, 0.5
    while index:
        value += step * (index & 1)
        index, step = index >> 1, step / 2
    return value

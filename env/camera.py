"""Camera poses, the ring of cameras around the room, view angles, and projection into camera coordinates."""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from env.checks import check_integer, check_number, check_positive

MAX_PITCH = 89.0  # degrees; at 90 the camera's "up" is undefined


@dataclass(frozen=True)
class Pose:
    """A camera in the scene; y is height.

    Attributes:
        x: Meters.
        y: Meters above the floor.
        z: Meters.
        yaw: Degrees; 0 looks along +x, 90 along -z.
        pitch: Degrees; negative looks down.
        fov: Vertical field of view in degrees.
        view: Number of a view of a source of frames, which takes the place of the six numbers; None where the
            scene is rendered.
    """

    x: float
    y: float
    z: float
    yaw: float
    pitch: float
    fov: float = 60.0
    view: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid pose."""
        for field in fields(self):
            if field.name != "view":
                check_number(f"{field.name} of a pose", getattr(self, field.name))
        if self.view is not None:
            check_integer("view of a pose", self.view, 0)
        check_number("pitch of a pose", self.pitch, -MAX_PITCH, MAX_PITCH)
        check_number("fov of a pose", self.fov, 1, 150)

    @classmethod
    def parse(cls, text: str) -> "Pose":
        """Return the pose written as ``x,y,z,yaw,pitch``, ``x,y,z,yaw,pitch,fov`` or ``view=NUMBER``."""
        name, _, number = text.partition("=")
        if name.strip() == "view" and number.strip().isdecimal():
            return cls.of_view(int(number))
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (5, 6):
            raise ValueError(
                "a pose is written x,y,z,yaw,pitch with an optional ,fov (meters and degrees), or view=K "
                f"with a source of frames, got "
                f"{text!r}"
            )
        x, y, z, yaw, pitch, fov = (*numbers, cls.fov)[:6]
        return cls(x, y, z, yaw, pitch, fov)

    @classmethod
    def of_view(cls, view: int) -> "Pose":
        """Return the pose of a camera that shows a view of a source of frames."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, view=view)

    def __str__(self) -> str:
        """Return the text that `parse` reads, exactly."""
        if self.view is not None:
            return f"view={self.view}"
        numbers = (self.x, self.y, self.z, self.yaw, self.pitch, self.fov)
        return ",".join(repr(number) for number in numbers)


@dataclass(frozen=True)
class RingConfig:
    """A ring of cameras around the room that all face its center."""

    radius: float = 4.8  # meters from the center; 4.8 is just outside the wall of an 8 meter room
    height: float = 3.2  # meters above the floor
    pitch: float = -35.0  # degrees; negative looks down
    separation: float = 90.0  # degrees between one camera and the next
    fov: float = 60.0  # vertical field of view in degrees

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid ring."""
        check_positive("radius", self.radius)
        check_positive("separation", self.separation, 360)


def ring_pose(index: int, ring: RingConfig, room_center: tuple[float, float] = (0.0, 0.0)) -> Pose:
    """Return the pose of camera ``index``, which does not depend on how many cameras there are.

    Camera k stands at the angle k * separation. After each full turn the ring is offset by the next van der
    Corput fraction of the separation (1/2, 1/4, 3/4, 1/8, ...), so that no two cameras share a position.

    Args:
        index: 0 or more.
        ring: Size and spacing of the ring.
        room_center: (x, z) in meters.
    """
    check_integer("index", index, 0)
    cameras_per_turn = int(360.0 / ring.separation + 1e-9)
    full_turns, place = divmod(index, cameras_per_turn)
    angle = ((place + _van_der_corput(full_turns)) * ring.separation) % 360.0
    x = room_center[0] + ring.radius * math.cos(math.radians(angle))
    z = room_center[1] - ring.radius * math.sin(math.radians(angle))
    return Pose(x, ring.height, z, (angle + 180.0) % 360.0, ring.pitch, ring.fov)


def turned_pose(pose: Pose, pan: float, tilt: float) -> Pose:
    """Return the pose turned by pan (positive is left) and tilt (positive is up), in degrees.

    The pitch is clipped to +-MAX_PITCH.
    """
    pitch = min(max(pose.pitch + tilt, -MAX_PITCH), MAX_PITCH)
    return replace(pose, yaw=(pose.yaw + pan) % 360.0, pitch=pitch)


def view_angles(pose: Pose, view: Pose) -> tuple[float, float]:
    """Return the pan, in [-180, 180), and the tilt from a pose to a view, in degrees: see ``turned_pose``."""
    return (view.yaw - pose.yaw + 180.0) % 360.0 - 180.0, view.pitch - pose.pitch


def camera_axes(pose: Pose) -> np.ndarray:
    """Return the unit vectors right, up and forward of a camera as rows, [3, 3]."""
    yaw, pitch = math.radians(pose.yaw), math.radians(pose.pitch)
    east, height, south = math.cos(pitch) * math.cos(yaw), math.sin(pitch), -math.cos(pitch) * math.sin(yaw)
    x, z = math.sin(yaw), math.cos(yaw)  # of right, which is horizontal
    up = (-z * height, z * east - x * south, x * height)  # right x forward; numpy's own takes 20 us
    return np.array([(x, 0.0, z), up, (east, height, south)])


def to_camera(pose: Pose, points: np.ndarray) -> np.ndarray:
    """Return points in camera coordinates.

    Args:
        pose: The camera.
        points: [..., 3], meters in the room.

    Returns:
        [..., 3], meters to the right of the camera, above it, and in front of it.
    """
    return (points - np.array([pose.x, pose.y, pose.z])) @ camera_axes(pose).T


def in_view(pose: Pose, points: np.ndarray) -> np.ndarray:
    """Return which points, [..., 3], project into a square picture, [...] bool."""
    right, up, depth = np.moveaxis(to_camera(pose, points), -1, 0)
    edge = depth * math.tan(math.radians(pose.fov / 2))
    return (depth > 0) & (np.abs(right) < edge) & (np.abs(up) < edge)


def _van_der_corput(index: int) -> float:
    """Return the bits of an index mirrored at the binary point: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    value, step = 0.0, 0.5
    while index:
        value += step * (index & 1)
        index, step = index >> 1, step / 2
    return value

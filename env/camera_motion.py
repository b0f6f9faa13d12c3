"""Cameras that move: each pans, tilts and walks around its pose by smooth private processes.

A camera's motion follows from the scene's seed, the camera's name and the tick alone. Its body moves with it,
so that peers see where it stands.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from env.camera import Pose, turned_pose
from env.checks import check_number
from env.drift import check_autocorrelation, drift_at
from env.dynamics.ornstein_uhlenbeck import decorrelation_ticks

TANH_GAIN = 0.45  # of a process of unit variance; offsets then reach 0.42 in one standard deviation


@dataclass(frozen=True)
class CameraMotionConfig:
    """How far cameras move around their poses; they stand still by default."""

    pan: float = 0.0  # degrees, the largest turn to the left and to the right
    tilt: float = 0.0  # degrees, the largest turn up and down
    walk: float = 0.0  # meters, the largest step forward and back, and the largest to the left and right
    autocorrelation: float = 0.95  # of each of these Ornstein-Uhlenbeck processes, from tick to tick

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid setting."""
        check_number("pan", self.pan, 0, 180)
        check_number("tilt", self.tilt, 0, 89)
        check_number("walk", self.walk, 0)
        hint = "; for cameras that stand still, set pan, tilt and walk to 0"
        check_autocorrelation("autocorrelation", self.autocorrelation, hint)

    @property
    def amplitudes(self) -> tuple[float, float, float, float]:
        """Largest pan and tilt in degrees, largest steps forward and to the left in meters."""
        return (self.pan, self.tilt, self.walk, self.walk)

    @property
    def moves(self) -> bool:
        """Whether cameras move at all."""
        return any(self.amplitudes)

    @property
    def reach(self) -> float:
        """Meters from its pose that a camera can get, horizontally."""
        return math.sqrt(2) * self.walk

    @property
    def decorrelation_ticks(self) -> int:
        """Ticks after which cameras have forgotten where they were."""
        return decorrelation_ticks(self.autocorrelation) if self.moves else 0


def camera_offsets(config: CameraMotionConfig, seed: int, camera: str, ticks: np.ndarray) -> np.ndarray:
    """Return the offset of a camera from its pose, as shares of the amplitudes, [T] -> [T, 4] in [-1, 1].

    The columns are pan (positive is left), tilt (up), and steps forward and to the left as the pose faces;
    those of an amplitude of 0 are 0.

    Args:
        config: Amplitudes and rate.
        seed: Of the scene.
        camera: Name of the camera.
        ticks: Integer times.
    """
    moving = np.array(config.amplitudes) > 0
    if not moving.any():
        return np.zeros((len(ticks), 4))
    drift = drift_at(f"camera motion:{seed}:{camera}", (config.autocorrelation,) * 4, ticks)
    return moving * np.tanh(TANH_GAIN * drift)


def moved_poses(
    config: CameraMotionConfig, seed: int, camera: str, pose: Pose, ticks: np.ndarray
) -> list[Pose]:
    """Return the pose of a camera at each of T ticks: this pose, moved by its `camera_offsets`."""
    offsets = camera_offsets(config, seed, camera, ticks) * config.amplitudes
    cos, sin = math.cos(math.radians(pose.yaw)), math.sin(math.radians(pose.yaw))
    poses = []
    for pan, tilt, ahead, left in offsets.tolist():
        stands = replace(pose, x=pose.x + ahead * cos - left * sin, z=pose.z - ahead * sin - left * cos)
        poses.append(turned_pose(stands, pan, tilt))
    return poses

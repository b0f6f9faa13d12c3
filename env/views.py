"""Short sequences of views: one camera looks in random directions while the scene is frozen at a tick."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from env.camera import MAX_PITCH, Pose, turned_pose
from env.checks import check_integer, check_number
from env.recording import Recorder


@dataclass(frozen=True)
class ViewConfig:
    """Range of the view directions."""

    max_view_angle: float = 15.0  # degrees of pan and of tilt away from the camera's pose, up to 90

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid angle."""
        check_number("max_view_angle", self.max_view_angle, 0, 90)


@dataclass(frozen=True)
class Views:
    """M views of one camera at each of T ticks.

    Offsets and actions are (pan, tilt) as shares of ``max_view_angle``, in the units of ``SharedScene``'s
    actions; positive is left and up. Times ``max_view_angle`` they are degrees.

    Attributes:
        frames: uint8 [T, M, H, W, 3].
        actions: float32 [T, M - 1, 2], from one view to the next, in [-2, 2]:
            ``offsets[:, m + 1] - offsets[:, m]``.
        offsets: float32 [T, M, 2], from the camera's pose, in [-1, 1].
        ticks: int64 [T].
    """

    frames: np.ndarray
    actions: np.ndarray
    offsets: np.ndarray
    ticks: np.ndarray


def record_views(
    recorder: Recorder,
    ticks: Iterable[int],
    rng: np.random.Generator,
    count: int,
    config: ViewConfig | None = None,
) -> Views:
    """Return ``count`` views at each of the ticks, in uniform and independent directions.

    Equal generators give equal views, and those of a tick do not depend on the ticks after it.

    Args:
        recorder: The camera; views turn it without moving it.
        ticks: Integer times, in any order; a tick may be repeated.
        rng: Draws the directions.
        count: M, views at each tick.
        config: Range of the directions; ViewConfig() by default.
    """
    max_angle = (config or ViewConfig()).max_view_angle
    check_integer("count", count, 1)
    check_view_angle(recorder.pose, max_angle + recorder.scene.config.camera_motion.tilt)
    ticks = np.array(list(ticks), dtype=np.int64)
    offsets = rng.uniform(-1, 1, size=(len(ticks), count, 2)).astype(np.float32)
    angles = (offsets.astype(np.float64) * max_angle).tolist()
    frames = np.empty((len(ticks), count, *recorder.frame_shape), dtype=np.uint8)
    chunk = max(1, recorder.chunk // count)
    for first in range(0, len(ticks), chunk):
        rows = slice(first, first + chunk)
        poses = [
            turned_pose(camera, pan, tilt)
            for camera, row in zip(recorder.poses_at(ticks[rows]), angles[rows], strict=True)
            for pan, tilt in row
        ]
        states = recorder.scene.states(ticks[rows]).repeat(count)
        frames[rows] = recorder.frames(states, poses, count).reshape(-1, count, *recorder.frame_shape)
    return Views(frames, np.diff(offsets, axis=1), offsets, ticks)


def check_view_angle(pose: Pose, max_view_angle: float) -> None:
    """Raise ValueError if views, in degrees, would turn a camera past straight up or down."""
    if abs(pose.pitch) + max_view_angle > MAX_PITCH:
        raise ValueError(
            f"a view angle of {max_view_angle:g} degrees turns a camera of pitch {pose.pitch:g} past "
            f"straight up or down: lower max_view_angle to {MAX_PITCH - abs(pose.pitch):g} or less, "
            "or level the camera"
        )

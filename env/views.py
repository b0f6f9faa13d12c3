"""Short sequences of glances: one camera looks here and there while the scene stands still."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from env.camera import STEEPEST_PITCH, Pose, turned_pose
from env.checks import check_number, check_whole
from env.recording import Recorder


@dataclass(frozen=True)
class ViewConfig:
    """How far a camera looks about."""

    max_view_angle: float = 15.0  # degrees of pan and of tilt away from the camera's pose, up to 90

    def __post_init__(self) -> None:
        """Raise ValueError for a glance that no camera makes."""
        check_number("max_view_angle", self.max_view_angle, 0, 90)


@dataclass(frozen=True)
class Views:
    """What one camera saw at each of T ticks, looking M times.

    Offsets and actions are (pan, tilt) as shares of the largest glance, in the units of ``SharedScene``'s
    actions; positive is left and up. Times ``max_view_angle`` they are degrees.

    Attributes:
        frames: uint8 [T, M, H, W, 3].
        actions: float32 [T, M - 1, 2], from one glance to the next, in [-2, 2]:
            ``offsets[:, m + 1] - offsets[:, m]``.
        offsets: float32 [T, M, 2], away from the camera's pose, in [-1, 1].
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
    """Look ``count`` times at each of the ticks, every time in a direction of its own.

    Directions are uniform and independent. Equal generators give equal glances, and those of a tick do not
    depend on which ticks come after it.

    Args:
        recorder: The camera; glances turn it about where it stands.
        ticks: Integer times, in any order; a tick may come twice.
        rng: Where the directions come from.
        count: M, glances at each tick.
        config: How far to look; GlanceConfig() if not given.
    """
    reach = (config or ViewConfig()).max_view_angle
    check_whole("count", count, 1)
    pose = recorder.pose
    check_view_angle(pose, reach)
    wanted = np.array(list(ticks), dtype=np.int64)
    offsets = rng.uniform(-1, 1, size=(len(wanted), count, 2)).astype(np.float32)
    frames = np.empty((len(wanted), count, *recorder.frame_shape), dtype=np.uint8)
    for row, tick in enumerate(wanted.tolist()):
        state = recorder.scene.state(tick)
        for column, (pan, tilt) in enumerate((offsets[row].astype(np.float64) * reach).tolist()):
            looks_at = turned_pose(pose, pan, tilt)
            frames[row, column] = recorder.renderer.render(state, looks_at, recorder.viewer)
    return Views(frames, np.diff(offsets, axis=1), offsets, wanted)


def check_view_angle(pose: Pose, reach: float) -> None:
    """Raise ValueError for glances, in degrees, that take a camera past straight up or down."""
    if abs(pose.pitch) + reach > STEEPEST_PITCH:
        raise ValueError(
            f"glances of {reach:g} degrees take a camera of pitch {pose.pitch:g} past straight up or down: "
            f"lower max_view_angle to {STEEPEST_PITCH - abs(pose.pitch):g} or less, or level the camera"
        )

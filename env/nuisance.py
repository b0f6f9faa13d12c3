"""Private nuisance of a camera: drifts of brightness and hue, and sensor noise.

A camera's drifts and noise follow from the scene's seed, the camera's name and the tick alone, so that two
recordings of one tick by one camera are equal, and two cameras drift independently. They are applied to the
rendered frame, by whatever records it: renderers know nothing of them.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from env.checks import check_number
from env.drift import check_autocorrelation, drift_at
from env.dynamics.ornstein_uhlenbeck import decorrelation_ticks
from env.dynamics.random_numbers import normals

BRIGHTNESS, HUE = range(2)  # columns of `drifts`
GRAY_AXIS = np.full(3, 1 / math.sqrt(3))  # of the RGB cube; hue is the angle about it


@dataclass(frozen=True)
class NuisanceConfig:
    """What differs between a camera's frame and the rendered one; the drifts are private to each camera."""

    brightness: float = 0.0  # frames are multiplied by exp(brightness * b), b of unit variance
    brightness_autocorrelation: float = 0.95  # of b, an Ornstein-Uhlenbeck process, from tick to tick
    hue: float = 0.0  # degrees; colors are turned about the gray axis by hue * h, h of unit variance
    hue_autocorrelation: float = 0.95  # of h, an Ornstein-Uhlenbeck process, from tick to tick
    noise: float = 0.0  # standard deviation of each pixel's noise, in gray levels from 0 to 255

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid setting."""
        check_number("brightness", self.brightness, 0, 2)
        check_number("hue", self.hue, 0, 180)
        check_number("noise", self.noise, 0, 128)
        for entry in fields(self):
            if entry.name.endswith("autocorrelation"):
                hint = "; for a camera without this drift, set its strength to 0"
                check_autocorrelation(entry.name, getattr(self, entry.name), hint)

    @property
    def changes_frames(self) -> bool:
        """Whether a camera's frame differs from the rendered one."""
        return bool(self.brightness or self.hue or self.noise)

    @property
    def decorrelation_ticks(self) -> int:
        """Ticks after which the drifts have forgotten the past."""
        brightness = decorrelation_ticks(self.brightness_autocorrelation) if self.brightness else 0
        hue = decorrelation_ticks(self.hue_autocorrelation) if self.hue else 0
        return max(brightness, hue)


def drifts(config: NuisanceConfig, seed: int, camera: str, ticks: np.ndarray) -> np.ndarray:
    """Return the drifts of a camera's brightness and hue, of unit variance, [T] -> [T, 2].

    Args:
        config: Their rates.
        seed: Of the scene.
        camera: Name of the camera.
        ticks: Integer times.
    """
    rates = (config.brightness_autocorrelation, config.hue_autocorrelation)
    return drift_at(f"nuisance:{seed}:{camera}", rates, ticks)


def add_nuisance(
    frame: np.ndarray, config: NuisanceConfig, seed: int, camera: str, tick: int, view: int = 0
) -> np.ndarray:
    """Return a rendered frame as the camera records it, uint8 [H, W, 3]; the frame itself if nothing differs.

    Args:
        frame: uint8 [H, W, 3].
        config: Strengths and rates.
        seed: Of the scene.
        camera: Name of the camera.
        tick: Integer time.
        view: Number of this view among those of the tick; each has other noise.
    """
    if not config.changes_frames:
        return frame
    values = frame.reshape(-1, 3).astype(np.float32)
    if config.brightness or config.hue:
        brightness, hue = drifts(config, seed, camera, np.array([tick]))[0]
        values = values @ _color_matrix(config.brightness * brightness, config.hue * hue).T
    if config.noise:
        name = f"sensor noise:{seed}:{tick}:{view}:{camera}"
        values += config.noise * normals(name, 0, len(values), 3).astype(np.float32)
    return np.clip(values + 0.5, 0, 255).astype(np.uint8).reshape(frame.shape)


def _color_matrix(log_brightness: float, hue_degrees: float) -> np.ndarray:
    """Return the matrix that turns colors about the gray axis and scales them, float32 [3, 3] (Rodrigues)."""
    angle = math.radians(hue_degrees)
    x, y, z = GRAY_AXIS
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    return (math.exp(log_brightness) * turn).astype(np.float32)

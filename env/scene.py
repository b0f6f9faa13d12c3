"""The shared scene: what stands where at a tick, as a pure function of settings, seed and events."""

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from env.camera import Pose, in_view
from env.checks import check_whole
from env.dynamics import BLOCK, KINDS, Motion, factor_block, factors_at, unit_positions

RENDERERS = ("miniworld", "toy")
MAX_OBJECTS = 6
HIGHEST_RATE = 0.9999  # beyond it one block of ticks needs the noise of millions
RECIPE = 1  # goes up when equal settings no longer give equal states


@dataclass(frozen=True)
class SceneConfig:
    """What the scene is made of; the room is centred on (0, 0)."""

    renderer: str = "miniworld"  # miniworld (OpenGL) or toy (numpy alone)
    dynamics: str = "ornstein_uhlenbeck"  # or bounce, still
    objects: int = 3  # coloured boxes, 1 to 6; they may pass through each other
    autocorrelation: tuple[float, ...] = (
        0.7,
    )  # correlation from tick to tick: one for all, or one per coordinate x0 z0 x1 z1 ...
    room_size: float = 8.0  # metres from wall to wall
    wall_height: float = 0.6  # metres; low enough to look over
    object_size: float = 0.9  # metres, the edge of a box
    object_range: float = 3.4  # metres from the centre that an object gets to
    tanh_gain: float = 0.45  # Ornstein-Uhlenbeck position = object_range * tanh(tanh_gain * factor)
    frame_size: int = 64  # pixels, square
    bodies: bool = True  # each peer's body stands at its camera pose

    def __post_init__(self) -> None:
        """Raise ValueError for the first setting that makes no scene."""
        rate = (
            self.autocorrelation
            if isinstance(self.autocorrelation, list | tuple)
            else (self.autocorrelation,)
        )  # TOML has lists and numbers
        object.__setattr__(self, "autocorrelation", tuple(rate))
        _check_choice("renderer", self.renderer, RENDERERS)
        _check_choice("dynamics", self.dynamics, tuple(KINDS))
        check_whole("objects", self.objects, 1, MAX_OBJECTS)
        check_whole("frame_size", self.frame_size, 16, 1024)
        if not isinstance(self.bodies, bool):
            raise ValueError(f"bodies must be true or false, got {self.bodies!r}")
        for name in ("room_size", "wall_height", "object_size", "object_range", "tanh_gain"):
            value = getattr(self, name)
            if not _is_number(value) or not value > 0:
                raise ValueError(f"{name} must be a positive number, got {value!r}")
        if self.object_range + self.object_size / 2 > self.room_size / 2:
            raise ValueError(
                "object_range takes the objects through the wall: object_range + object_size / 2 "
                f"must be at most room_size / 2, got {self.object_range:g}, {self.object_size:g} "
                f"and {self.room_size:g}"
            )
        if len(self.autocorrelation) not in (1, 2 * self.objects):
            raise ValueError(
                f"autocorrelation must hold one number, or one for each of the "
                f"{2 * self.objects} coordinates of {self.objects} objects, got {len(self.autocorrelation)}"
            )
        if not all(_is_number(rate) and 0 <= rate <= HIGHEST_RATE for rate in self.autocorrelation):
            raise ValueError(
                f"each autocorrelation must lie between 0 and {HIGHEST_RATE}, got {self.autocorrelation}; "
                "for 1 use static"
            )

    @property
    def decorrelation_ticks(self) -> int:
        """Ticks after which nothing is left of the past: a correlation below 0.001.

        Only Ornstein-Uhlenbeck processes forget; bouncing objects come round again and still ones never move.
        """
        rate = max(self.coordinate_autocorrelations)
        forgets = self.dynamics == "ornstein_uhlenbeck" and rate > 0
        return math.ceil(math.log(1e-3) / math.log(rate)) if forgets else 0

    @property
    def coordinate_autocorrelations(self) -> tuple[float, ...]:
        """The rate of each coordinate, 2 * objects of them."""
        rates = (
            self.autocorrelation * (2 * self.objects)
            if len(self.autocorrelation) == 1
            else self.autocorrelation
        )
        return tuple(float(rate) for rate in rates)


@dataclass(frozen=True)
class BodyEvent:
    """A peer's body arrives or moves at a tick; pose None says that it leaves."""

    tick: int
    name: str
    pose: Pose | None


@dataclass(frozen=True)
class SceneState:
    """Everything that a renderer needs to know of one tick.

    Attributes:
        tick: Integer time.
        factors: [F], the true state, two coordinates per object; the arrays are read-only.
        positions: [objects, 2], x and z in metres.
        yaws: [objects], degrees.
        bodies: Name and camera pose of each peer's body, sorted by name.
    """

    tick: int
    factors: np.ndarray
    positions: np.ndarray
    yaws: np.ndarray
    bodies: tuple[tuple[str, Pose], ...]


class Scene:
    """One shared scene: equal arguments give equal states in every process."""

    def __init__(self, config: SceneConfig, seed: int, events: Sequence[BodyEvent] = ()) -> None:
        """Describe a scene; nothing is computed before a state is asked for."""
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise ValueError(f"seed must be a whole number, got {seed!r}")
        self.config = config
        self.seed = int(seed)
        self._motion = Motion(config.dynamics, self.seed, config.coordinate_autocorrelations)
        self._yaws = np.zeros(config.objects)
        self._yaws.flags.writeable = False
        self._bodies_from, self._bodies = _replay(events if config.bodies else ())

    @property
    def fingerprint(self) -> str:
        """16 hex digits that two peers compare: equal when both replay the same objects."""
        looks = ("renderer", "frame_size", "bodies")
        facts = {name: value for name, value in asdict(self.config).items() if name not in looks}
        facts |= {
            "autocorrelation": self.config.coordinate_autocorrelations,
            "seed": self.seed,
            "recipe": RECIPE,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def state(self, tick: int) -> SceneState:
        """Return what stands where at a tick, 0 or later, in any order of asking."""
        if tick < 0:
            raise ValueError(f"tick must be 0 or more, got {tick}")
        block, row = divmod(int(tick), BLOCK)
        return self.state_from_factors(tick, factor_block(self._motion, block)[row])

    def state_from_factors(self, tick: int, factors: np.ndarray) -> SceneState:
        """Return the state at a tick if the factors were these, [F]: for who steers an object himself."""
        positions = self._positions(factors).reshape(-1, 2)
        positions.flags.writeable = False
        bodies = self._bodies[bisect_right(self._bodies_from, tick)]
        return SceneState(int(tick), factors, positions, self._yaws, bodies)

    def factors(self, ticks: np.ndarray) -> np.ndarray:
        """Return the true state at many ticks, [T] -> [T, F]; for evaluation only."""
        ticks = np.asarray(ticks, dtype=np.int64)
        if ticks.size and ticks.min() < 0:
            raise ValueError(f"tick must be 0 or more, got {ticks.min()}")
        return factors_at(self._motion, ticks)

    def actions(self, ticks: np.ndarray) -> np.ndarray:
        """Return what moves each coordinate from a tick to the next, [T] -> [T, F].

        Where factors follow Ornstein-Uhlenbeck processes, ``x' = rho x + sqrt(1 - rho^2) a``, it is a: the
        actions of somebody who steers at random. Elsewhere it is the difference ``x' - x``.
        """
        now, later = self.factors(ticks), self.factors(np.asarray(ticks, dtype=np.int64) + 1)
        if self.config.dynamics != "ornstein_uhlenbeck":
            return later - now
        rates = np.array(self.config.coordinate_autocorrelations)
        return (later - rates * now) / np.sqrt(1 - rates**2)

    def check_pose(self, pose: Pose) -> None:
        """Raise ValueError for a camera that stands where objects go, or that sees none of where they go."""
        if pose.y <= 0:
            raise ValueError(f"the camera is at or below the floor (y = {pose.y:g}): raise y above 0")
        half, height = self.config.object_range + self.config.object_size / 2, self.config.object_size
        if max(abs(pose.x), abs(pose.z)) <= half and pose.y <= height:
            raise ValueError(
                f"objects can reach the camera at x = {pose.x:g}, z = {pose.z:g}: raise y above {height:g}, "
                f"or move more than {half:g} metres from the centre along x or z"
            )
        across = np.linspace(-half, half, 17)
        places = np.stack(np.meshgrid(across, np.linspace(0, height, 3), across), axis=-1)
        if not in_view(pose, places).any():
            raise ValueError(
                "the camera sees nothing of the places where objects move: turn yaw and pitch towards the "
                f"centre (0, {height / 2:g}, 0), or widen fov, got {pose}"
            )

    def _positions(self, factors: np.ndarray) -> np.ndarray:
        return self.config.object_range * unit_positions(self.config.dynamics, factors, self.config.tanh_gain)


def _replay(events: Sequence[BodyEvent]) -> tuple[list[int], list[tuple[tuple[str, Pose], ...]]]:
    """Return the ticks at which the bodies change, and the bodies before, between and after them."""
    ticks: list[int] = []
    present: dict[str, Pose] = {}
    bodies: list[tuple[tuple[str, Pose], ...]] = [()]
    for event in sorted(events, key=lambda event: event.tick):  # stable: events of one tick keep their order
        if event.tick < 0:
            raise ValueError(f"tick of a body event must be 0 or more, got {event.tick}")
        if event.pose is None:
            present.pop(event.name, None)
        else:
            present[event.name] = event.pose
        ticks.append(event.tick)
        bodies.append(tuple(sorted(present.items(), key=lambda item: item[0])))
    return ticks, bodies


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")

"""A world whose whole state is how many shapes there are (arXiv:2509.12249).

One action adds a shape, another removes one, and where they lie says nothing: what an agent should learn of a
64 by 64 picture is one number. The state space is so small that ``transition_table`` holds all of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from env.checks import check_whole

FRAME_SIZE = 64  # pixels, square
RADIUS = 3  # pixels; each shape fills most of a square of 7 by 7
APART = 2 * RADIUS + 2  # pixels along x or along y between two centres: the shapes never touch
MOST = 16  # shapes; with many more, places that are free of the others get hard to find
INK, PAPER = (235, 235, 235), (20, 20, 20)
THRESHOLD = 1 / 3  # an action beyond it adds or removes
REMOVE, KEEP, ADD = range(3)  # the columns of the transition table


def _stamps() -> dict[str, np.ndarray]:
    """Return which pixels around its centre each shape covers, bool [7, 7]."""
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    return {
        "circle": x * x + y * y <= RADIUS * RADIUS + 1,
        "square": np.ones_like(x, dtype=bool),
        "triangle": 2 * np.abs(x) <= y + RADIUS,
        "line": x == 0,
    }


STAMPS = _stamps()
SHAPES = tuple(STAMPS)


@dataclass(frozen=True)
class CountingConfig:
    """What is counted."""

    shape: str = "any"  # circle, square, triangle or line; any draws one of them for each episode
    most: int = 8  # shapes at which adding does nothing more, 1 to 16
    target: int = 4  # shapes at which the reward is 1
    steps: int = 4  # actions in an episode

    def __post_init__(self) -> None:
        """Raise ValueError for the first setting that makes no world."""
        if self.shape not in ("any", *SHAPES):
            raise ValueError(f"shape must be one of any, {', '.join(SHAPES)}, got {self.shape!r}")
        check_whole("most", self.most, 1, MOST)
        check_whole("target", self.target, 0, self.most)
        check_whole("steps", self.steps, 1)


@dataclass(frozen=True)
class Transitions:
    """Steps of the world, each from a state of its own.

    Attributes:
        frames: uint8 [N, H, W, 3], before the action.
        actions: float32 [N, 1], in [-1, 1].
        next_frames: uint8 [N, H, W, 3], after it.
        counts: int64 [N], shapes before the action.
        next_counts: int64 [N], shapes after it.
        rewards: float64 [N], the reward of the state that the action leads to, as ``Counting.step`` gives it.
    """

    frames: np.ndarray
    actions: np.ndarray
    next_frames: np.ndarray
    counts: np.ndarray
    next_counts: np.ndarray
    rewards: np.ndarray


def transition_table(config: CountingConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the world as tables: the next count, int64 [S, 3], and the reward of a count, float64 [S].

    Row s is the state with s shapes, S = most + 1; the columns are REMOVE, KEEP and ADD.
    """
    counts = np.arange(config.most + 1)
    moved = counts[:, None] + np.array([-1, 0, 1])
    return np.clip(moved, 0, config.most), (counts == config.target).astype(np.float64)


def columns(actions: np.ndarray) -> np.ndarray:
    """Return which column of the table each action stands for, [...] -> int64 [...]."""
    return np.where(actions < -THRESHOLD, REMOVE, np.where(actions > THRESHOLD, ADD, KEEP))


def draw(count: int, shape: str, rng: np.random.Generator) -> np.ndarray:
    """Return a picture of ``count`` shapes at places of their own, uint8 [H, W, 3]."""
    return draw_many([count], [shape], rng)[0]


def draw_many(
    counts: Sequence[int] | np.ndarray, shapes: Sequence[str], rng: np.random.Generator
) -> np.ndarray:
    """Return a picture for each count and shape, uint8 [N, H, W, 3].

    Each shape lies anywhere in the picture where it touches no other.
    """
    wanted = np.asarray(counts)
    if wanted.ndim != 1 or len(wanted) != len(shapes):
        raise ValueError(f"give one shape for each count, got {len(shapes)} for counts of {wanted.shape}")
    if wanted.size and not (
        np.issubdtype(wanted.dtype, np.integer) and 0 <= wanted.min() <= wanted.max() <= MOST
    ):
        raise ValueError(f"a count must be a whole number from 0 to {MOST}, got {counts!r}")
    if unknown := set(shapes) - set(SHAPES):
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {min(unknown)!r}")
    frames = np.empty((len(wanted), FRAME_SIZE, FRAME_SIZE, 3), dtype=np.uint8)
    frames[:] = PAPER
    stamps = np.stack([STAMPS[shape] for shape in SHAPES])[[SHAPES.index(shape) for shape in shapes]]
    for number, centres in enumerate(_places(wanted, rng)):
        rows, y, x = np.nonzero(stamps & (wanted > number)[:, None, None])
        frames[rows, centres[rows, 0] + y - RADIUS, centres[rows, 1] + x - RADIUS] = INK
    return frames


def transitions(rng: np.random.Generator, n: int, config: CountingConfig | None = None) -> Transitions:
    """Draw n steps: each count equally likely, actions uniform in [-1, 1].

    A picture changes only with its count, as in an episode: what was not counted up or down stays in place.
    """
    config = config or CountingConfig()
    check_whole("n", n, 1)
    following, reward = transition_table(config)
    counts = rng.integers(config.most + 1, size=n)
    actions = rng.uniform(-1, 1, size=(n, 1)).astype(np.float32)
    next_counts = following[counts, columns(actions[:, 0])]
    shapes = (
        [SHAPES[k] for k in rng.integers(len(SHAPES), size=n)]
        if config.shape == "any"
        else [config.shape] * n
    )
    frames = draw_many(counts, shapes, rng)
    moved = np.flatnonzero(counts != next_counts)
    next_frames = frames.copy()
    next_frames[moved] = draw_many(next_counts[moved], [shapes[k] for k in moved], rng)
    return Transitions(frames, actions, next_frames, counts, next_counts, reward[next_counts])


class Counting(gymnasium.Env[np.ndarray, np.ndarray]):
    """Shapes that are added and removed.

    An action in [-1, 1] below -1/3 removes a shape and above 1/3 adds one; with none left, or as many as
    there may be, nothing happens. The shapes find new places whenever their number changes, and only then.
    The reward is 1 when a step ends with the target number, otherwise 0. Episodes are truncated after a fixed
    number of steps. Each info is ``{"count": k}``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 2}  # noqa: RUF012 - Gymnasium types it

    def __init__(self, config: CountingConfig | None = None, render_mode: str | None = None) -> None:
        """Describe the environment.

        Args:
            config: What is counted; CountingConfig() if not given.
            render_mode: rgb_array, or None.
        """
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be rgb_array or None, got {render_mode!r}")
        self.config = config or CountingConfig()
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._next_count, self._reward = transition_table(self.config)
        self._shape = ""
        self._count = self._step = 0
        self._frame: np.ndarray | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode with any number of shapes, or with ``options={"count": k}``."""
        super().reset(seed=seed, options=options)
        given = dict(options or {})
        count = given.pop("count", None)
        if given:
            raise ValueError(f"the only option of reset is count, got {', '.join(map(str, given))}")
        if count is None:
            count = int(self.np_random.integers(self.config.most + 1))
        check_whole("count", count, 0, self.config.most)
        any_shape = SHAPES[self.np_random.integers(len(SHAPES))]
        self._shape = any_shape if self.config.shape == "any" else self.config.shape
        self._count, self._step = count, 0
        self._frame = draw(count, self._shape, self.np_random)
        return self._frame.copy(), {"count": count}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Add, remove or keep; returns frame, reward, False, truncated, ``{"count": k}``."""
        if self._frame is None:
            raise RuntimeError("no episode is running: call reset first")
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (1,) or not abs(values[0]) <= 1:
            raise ValueError(f"an action is one number between -1 and 1, of shape (1,), got {action!r}")
        count = int(self._next_count[self._count, columns(values[0])])
        if count != self._count:
            self._frame = draw(count, self._shape, self.np_random)
        self._count, self._step = count, self._step + 1
        truncated = self._step >= self.config.steps
        return self._frame.copy(), float(self._reward[count]), False, truncated, {"count": count}

    def render(self) -> np.ndarray | None:
        """Return the current frame, uint8 [H, W, 3], if the render mode is rgb_array."""
        if self.render_mode != "rgb_array":
            return None
        if self._frame is None:
            raise RuntimeError("no episode is running: call reset first")
        return self._frame.copy()


def _places(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return centres that keep their distance, int64 [most, N, 2]; row k is for counts above k."""
    most = int(counts.max(initial=0))
    centres = np.full((most, len(counts), 2), -math.inf)  # infinitely far from every other
    for number in range(most):
        missing = np.flatnonzero(counts > number)
        while len(missing):
            tried = rng.integers(RADIUS, FRAME_SIZE - RADIUS, size=(len(missing), 2))
            gaps = np.abs(tried - centres[:number, missing]).max(-1)
            free = (gaps >= APART).all(0)
            centres[number, missing[free]] = tried[free]
            missing = missing[~free]
    return np.where(np.isfinite(centres), centres, RADIUS).astype(np.int64)

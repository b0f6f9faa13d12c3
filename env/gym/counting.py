"""A world whose state is the number of shapes in a picture (arXiv:2509.12249).

One action adds a shape, another removes one, and their positions carry no information: the latent state of a
64 by 64 picture is one number. The state space is so small that ``transition_table`` holds all of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from env.checks import check_choice, check_integer
from env.gym.scene_env import check_render_mode

FRAME_SIZE = 64  # pixels, square
RADIUS = 3  # pixels; each shape fills most of a square of 7 by 7
MIN_DISTANCE = 2 * RADIUS + 2  # pixels along x or along y between two centers: the shapes never touch
MAX_SHAPES = 16  # with many more, rejection sampling of positions becomes slow
FOREGROUND, BACKGROUND = (235, 235, 235), (20, 20, 20)
PALETTE = np.array([BACKGROUND, FOREGROUND], dtype=np.uint8)
ACTION_THRESHOLD = 1 / 3  # absolute value above which an action adds or removes a shape
REMOVE, KEEP, ADD = range(3)  # the columns of the transition table


def _stamps() -> dict[str, np.ndarray]:
    """Return the pixels that each shape covers around its center, bool [7, 7]."""
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
    """Shapes, reward and length of an episode."""

    shape: str = "any"  # circle, square, triangle or line; any draws one per episode
    max_count: int = 8  # shapes at which adding has no effect, 1 to 16
    target: int = 4  # shapes at which the reward is 1
    steps: int = 4  # actions in an episode

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid setting."""
        check_choice("shape", self.shape, ("any", *SHAPES))
        check_integer("max_count", self.max_count, 1, MAX_SHAPES)
        check_integer("target", self.target, 0, self.max_count)
        check_integer("steps", self.steps, 1)


@dataclass(frozen=True)
class Transitions:
    """Independent steps of the world.

    Attributes:
        frames: uint8 [N, H, W, 3], before the action.
        actions: float32 [N, 1], in [-1, 1].
        next_frames: uint8 [N, H, W, 3], after the action.
        counts: int64 [N], shapes before the action.
        next_counts: int64 [N], shapes after the action.
        rewards: float64 [N], the reward that ``Counting.step`` returns.
    """

    frames: np.ndarray
    actions: np.ndarray
    next_frames: np.ndarray
    counts: np.ndarray
    next_counts: np.ndarray
    rewards: np.ndarray


def transition_table(config: CountingConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the next count, int64 [S, 3], and the reward of a count, float64 [S].

    Row s is the state with s shapes, S = max_count + 1; the columns are REMOVE, KEEP and ADD.
    """
    counts = np.arange(config.max_count + 1)
    moved = counts[:, None] + np.array([-1, 0, 1])
    return np.clip(moved, 0, config.max_count), (counts == config.target).astype(np.float64)


def action_columns(actions: np.ndarray) -> np.ndarray:
    """Return the column of the transition table of each action, [...] -> int64 [...]."""
    return np.where(actions < -ACTION_THRESHOLD, REMOVE, np.where(actions > ACTION_THRESHOLD, ADD, KEEP))


def draw(count: int, shape: str, rng: np.random.Generator) -> np.ndarray:
    """Return a picture of ``count`` shapes at random positions, uint8 [H, W, 3]."""
    return draw_many([count], [shape], rng)[0]


def draw_many(
    counts: Sequence[int] | np.ndarray, shapes: Sequence[str], rng: np.random.Generator
) -> np.ndarray:
    """Return a picture for each count and shape, uint8 [N, H, W, 3].

    Positions are random; shapes never touch.
    """
    counts = np.asarray(counts)
    if counts.ndim != 1 or len(counts) != len(shapes):
        raise ValueError(f"give one shape for each count, got {len(shapes)} for counts of {counts.shape}")
    if counts.size and not (
        np.issubdtype(counts.dtype, np.integer) and 0 <= counts.min() <= counts.max() <= MAX_SHAPES
    ):
        raise ValueError(f"a count must be an integer from 0 to {MAX_SHAPES}, got {counts!r}")
    for shape in sorted(set(shapes)):
        check_choice("shape", shape, SHAPES)
    kinds = np.array([SHAPES.index(shape) for shape in shapes], dtype=np.int64)
    centers = _centers(counts, rng)
    visible = np.arange(len(centers))[:, None] < counts
    drawn = np.zeros((len(counts), FRAME_SIZE, FRAME_SIZE), dtype=np.uint8)
    for kind, stamp in enumerate(STAMPS.values()):
        y, x = np.nonzero(stamp)
        index, row = np.nonzero(visible & (kinds == kind))
        corner = centers[index, row] - RADIUS
        drawn[row[:, None], corner[:, :1] + y, corner[:, 1:] + x] = 1
    return np.take(PALETTE, drawn, axis=0)  # twice as fast as PALETTE[drawn]


def transitions(rng: np.random.Generator, n: int, config: CountingConfig | None = None) -> Transitions:
    """Return n random transitions: each count equally likely, actions uniform in [-1, 1].

    As in an episode, the shapes are placed anew whenever the count changes, and only then.
    """
    config = config or CountingConfig()
    check_integer("n", n, 1)
    next_count, reward = transition_table(config)
    counts = rng.integers(config.max_count + 1, size=n)
    actions = rng.uniform(-1, 1, size=(n, 1)).astype(np.float32)
    next_counts = next_count[counts, action_columns(actions[:, 0])]
    shapes = (
        [SHAPES[k] for k in rng.integers(len(SHAPES), size=n)]
        if config.shape == "any"
        else [config.shape] * n
    )
    frames = draw_many(counts, shapes, rng)
    changed = np.flatnonzero(counts != next_counts)
    next_frames = frames.copy()
    next_frames[changed] = draw_many(next_counts[changed], [shapes[k] for k in changed], rng)
    return Transitions(frames, actions, next_frames, counts, next_counts, reward[next_counts])


class Counting(gymnasium.Env[np.ndarray, np.ndarray]):
    """Actions add and remove shapes.

    An action in [-1, 1] below -1/3 removes a shape and above 1/3 adds one; it has no effect beyond 0 or
    ``max_count`` shapes. The shapes are placed anew whenever their number changes, and only then. The reward
    is 1 when a step ends with ``target`` shapes, otherwise 0. Episodes are truncated after a fixed number of
    steps. Each info is ``{"count": k}``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 2}  # noqa: RUF012 - Gymnasium types it

    def __init__(self, config: CountingConfig | None = None, render_mode: str | None = None) -> None:
        """Describe the environment.

        Args:
            config: Shapes, reward and length; CountingConfig() by default.
            render_mode: rgb_array, or None.
        """
        check_render_mode(render_mode)
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
        """Start an episode with a random number of shapes, or with ``options={"count": k}``."""
        super().reset(seed=seed, options=options)
        unknown = dict(options or {})
        count = unknown.pop("count", None)
        if unknown:
            raise ValueError(f"the only option of reset is count, got {', '.join(map(str, unknown))}")
        if count is None:
            count = int(self.np_random.integers(self.config.max_count + 1))
        check_integer("count", count, 0, self.config.max_count)
        random_shape = SHAPES[self.np_random.integers(len(SHAPES))]
        self._shape = random_shape if self.config.shape == "any" else self.config.shape
        self._count, self._step = count, 0
        self._frame = draw(count, self._shape, self.np_random)
        return self._frame.copy(), {"count": count}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Add, remove or keep a shape; returns frame, reward, False, truncated, ``{"count": k}``."""
        if self._frame is None:
            raise RuntimeError("no episode is running: call reset first")
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (1,) or not abs(values[0]) <= 1:
            raise ValueError(f"an action is one number between -1 and 1, of shape (1,), got {action!r}")
        count = int(self._next_count[self._count, action_columns(values[0])])
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


def _centers(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the centers of shapes, int64 [max(counts), N, 2]; only counts above k use row k.

    Centers of one picture are at least MIN_DISTANCE apart.
    """
    most = int(counts.max(initial=0))
    centers = np.full((most, len(counts), 2), -math.inf)  # infinitely far from every other
    for index in range(most):
        missing = np.flatnonzero(counts > index)
        while len(missing):
            candidates = rng.integers(RADIUS, FRAME_SIZE - RADIUS, size=(len(missing), 2))
            distances = np.abs(candidates - centers[:index, missing]).max(-1)
            free = (distances >= MIN_DISTANCE).all(0)
            centers[index, missing[free]] = candidates[free]
            missing = missing[~free]
    return np.where(np.isfinite(centers), centers, RADIUS).astype(np.int64)

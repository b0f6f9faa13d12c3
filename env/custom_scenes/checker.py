"""Check custom dynamics and renderers against their contracts, before agents spend minutes on them."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_type_hints

import numpy as np

from env.camera import Pose, RingConfig, ring_pose
from env.common.another_process import call_elsewhere
from env.common.custom_class import reported_as
from env.dynamics.contract import BLOCK, Dynamics
from env.dynamics.registry import load_dynamics
from env.renderer import Renderer
from env.renderers.build import build_renderer, load_renderer
from env.scene import BodyEvent, Scene, SceneConfig

SEEDS = 8  # scenes whose factors are averaged, at least
SLOW_TICKS, SLOW_SAMPLES = 256, 128  # memory above which so many independent factors are averaged
TRIED_TICKS = np.array([5 * BLOCK + 7, 3, BLOCK, BLOCK - 1, 3, 0])
MEAN_SQUARE = (0.6, 1.6)  # of all factors; those of slow motion average over few independent ticks


class SceneError(ValueError):
    """A custom part of a scene breaks its contract; the message says where and how to fix it."""


def check_scene(config: SceneConfig, seed: int = 0, poses: Sequence[Pose] = ()) -> None:
    """Check the dynamics and the renderer that the settings of a scene name, built-in ones too.

    Args:
        config: The scene.
        seed: Of the scene.
        poses: Cameras that frames are rendered from, two or more; the first two of the ring by default.

    Raises:
        SceneError: The first breach found; the message says how to fix it.
        ValueError: A class cannot be loaded.
        RuntimeError: MiniWorld cannot open OpenGL, or this process renders with it already.
    """
    check_dynamics(config, seed)
    check_renderer(config, seed, poses)


def check_dynamics(config: SceneConfig, seed: int = 0) -> None:
    """Check dynamics against the contract of env.dynamics.contract.Dynamics; arguments as in `check_scene`.

    Scenes rely on more than signatures: factors are a pure function of settings, seed and tick, in every
    process, of zero mean and unit variance.
    """
    dynamics = _build(config, seed)
    name = type(dynamics).__name__
    with reported_as(SceneError, name, type(dynamics), SceneError):
        _check_memory(dynamics, _build(config, seed + 1), name)
        _check_factors(dynamics, name)
        _check_random_access(config, seed, name)
        _check_moments(config, seed, name)
        _check_positions(dynamics, name)
        _check_actions(dynamics, name)
    _check_another_process(config, seed, None, name)


def check_renderer(config: SceneConfig, seed: int = 0, poses: Sequence[Pose] = ()) -> None:
    """Check a renderer against the contract of env.renderer.Renderer; arguments as in `check_scene`.

    Agents rely on more than signatures: a frame is a pure function of state, pose and viewer, in every
    process of one machine, and shows where objects are.
    """
    poses = tuple(poses)[:2] if len(poses) > 1 else tuple(ring_pose(k, RingConfig()) for k in range(2))
    renderer = _build_renderer(config)
    name = type(renderer).__name__
    with reported_as(SceneError, name, type(renderer), SceneError):
        try:
            _check_frames(renderer, Scene(config, seed), poses, name)
            _check_bodies(renderer, config, seed, poses, name)
            _check_many(renderer, Scene(config, seed), poses, name)
        finally:
            renderer.close()
        renderer.close()  # a second call does nothing
    _check_another_process(config, seed, poses[0], name)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise SceneError(message)


def _build(config: SceneConfig, seed: int) -> Dynamics:
    """Return new dynamics, which have computed nothing yet."""
    kind = load_dynamics(config.dynamics)
    with reported_as(SceneError, f"building {kind.__name__}", kind, SceneError):
        return kind(config.motion(seed))


def _build_renderer(config: SceneConfig) -> Renderer:
    if ":" not in config.renderer:
        return build_renderer(config)
    kind = load_renderer(config.renderer)
    with reported_as(SceneError, f"building {kind.__name__}", kind, SceneError):
        return kind(config)


def _check_factors(dynamics: Dynamics, name: str) -> None:
    hashable = type(dynamics).__hash__ is not None
    _require(hashable, f"{name} cannot be hashed; define it without __eq__, or as @dataclass(eq=False)")
    given, dim = TRIED_TICKS.copy(), dynamics.motion.dim
    found = dynamics.factors(given)
    _require((given == TRIED_TICKS).all(), f"{name}.factors overwrites its ticks; work on a copy")
    shape = np.shape(found)
    expected = (len(given), dim)
    _require(
        isinstance(found, np.ndarray) and shape == expected,
        f"{name}.factors returned {shape} for {len(given)} ticks; return an array [T, F] = {expected}",
    )
    float64 = found.dtype == np.float64
    _require(float64, f"{name}.factors returned {found.dtype}; return float64: end it with .astype(float)")
    finite = np.isfinite(found).all()
    _require(finite, f"{name}.factors returned a value that is not finite; look for a division by 0")


def _check_random_access(config: SceneConfig, seed: int, name: str) -> None:
    first = _build(config, seed).factors(TRIED_TICKS)
    remedy = "compute them from the seed and the tick alone, with env.dynamics.random_numbers for noise"
    other = _build(config, seed)
    block = other.factors(np.arange(BLOCK))
    again = other.factors(TRIED_TICKS[::-1])[::-1]
    alone = np.concatenate([other.factors(TRIED_TICKS[k : k + 1]) for k in range(len(TRIED_TICKS))])
    same = np.array_equal(block[[3, 0]], first[[1, 5]])
    same = same and np.array_equal(first, again) and np.array_equal(first, alone)
    _require(same, f"{name}.factors of a tick depend on earlier calls or on the other ticks; {remedy}")
    other = _build(config, seed + 1)
    _require(
        not np.array_equal(other.factors(TRIED_TICKS), first),
        f"{name}.factors are the same for two seeds; let them depend on motion.seed",
    )


def _check_moments(config: SceneConfig, seed: int, name: str) -> None:
    ticks = np.concatenate([np.arange(BLOCK), np.arange(5 * BLOCK, 6 * BLOCK)])
    dynamics = _build(config, seed)
    slow = dynamics.decorrelation_ticks > SLOW_TICKS
    seeds = max(SEEDS, SLOW_SAMPLES // dynamics.motion.dim) if slow else SEEDS
    factors = np.stack([_build(config, seed + k).factors(ticks) for k in range(seeds)])
    mean, square = float(np.abs(factors.mean((0, 1))).mean()), float(np.square(factors).mean())
    _require(mean < 0.5, f"{name}.factors have a mean of {mean:.2g}; subtract it, so that it is 0")
    low, high = MEAN_SQUARE
    remedy = f"divide them by {square**0.5:.3g}, so that it is 1"
    _require(low < square < high, f"{name}.factors have a variance of {square:.3g}; {remedy}")


def _check_positions(dynamics: Dynamics, name: str) -> None:
    factors = dynamics.factors(np.arange(BLOCK))
    given = factors.copy()
    found = dynamics.positions(given)
    _require((given == factors).all(), f"{name}.positions overwrites its factors; work on a copy")
    _require(
        np.shape(found) == factors.shape,
        f"{name}.positions returned {np.shape(found)} for factors {factors.shape}; return the same shape",
    )
    largest = np.abs(found).max()
    _require(largest <= 1 + 1e-9, f"{name}.positions reach {largest:.3g}; keep them in [-1, 1]")
    alone = np.array_equal(dynamics.positions(factors[:, 1:2]), found[:, 1:2])
    _require(alone, f"a position of {name} depends on other factors; let it depend on its own alone")


def _check_actions(dynamics: Dynamics, name: str) -> None:
    factors = dynamics.factors(np.arange(9))
    found = np.asarray(dynamics.actions(factors[:-1], factors[1:]))
    good = found.shape == (8, dynamics.motion.dim) and np.isfinite(found).all()
    _require(good, f"{name}.actions returned {found.shape}, or no finite numbers; return finite [T, F]")


def _check_memory(dynamics: Dynamics, other: Dynamics, name: str) -> None:
    ticks = dynamics.decorrelation_ticks
    valid = isinstance(ticks, int) and not isinstance(ticks, bool) and ticks >= 0
    _require(valid, f"{name}.decorrelation_ticks is {ticks!r}; return ticks as an int of 0 or more")
    same = other.decorrelation_ticks == ticks
    _require(same, f"{name}.decorrelation_ticks differs by seed; return the largest of all seeds")


def _check_frames(renderer: Renderer, scene: Scene, poses: Sequence[Pose], name: str) -> None:
    size, states = scene.config.frame_size, [scene.state(tick) for tick in (0, 1, 500, 1500)]
    first = renderer.render(states[0], poses[0])
    expected = (size, size, 3)
    good = isinstance(first, np.ndarray) and first.dtype == np.uint8 and first.shape == expected
    kind = f"{getattr(first, 'dtype', type(first).__name__)} {np.shape(first)}"
    _require(good, f"{name}.render returned {kind}; return uint8 [H, W, 3] = {expected}")
    kept = first.copy()
    others = [renderer.render(state, pose) for state in states for pose in poses]
    _require(
        (first == kept).all(), f"{name}.render returns an array that it writes to again; return a new one"
    )
    again = renderer.render(states[0], poses[0])
    remedy = "keep nothing from one frame to the next"
    _require((again == kept).all(), f"{name}.render gave equal arguments other pixels; {remedy}")
    turned = not np.array_equal(others[0], others[1])
    _require(turned, f"{name}.render gives two poses the same frame; draw the scene from the pose")
    places = states[0].positions.copy()
    places[0] = places[0] / 2 + scene.config.object_range / 2  # towards a corner
    moved = [renderer.render(replace(states[0], positions=places), pose) for pose in poses]
    shown = any(not np.array_equal(a, b) for a, b in zip(moved, others[: len(poses)], strict=True))
    _require(shown, f"{name}.render does not show that an object has moved; draw state.positions")


def _check_bodies(
    renderer: Renderer, config: SceneConfig, seed: int, poses: Sequence[Pose], name: str
) -> None:
    """Check that a camera does not see the body of its own agent, here put into the middle of the room."""
    me = BodyEvent(0, "me", Pose(0.0, 1.5, 0.0, 0.0, 0.0))
    with_body, without = (Scene(replace(config, bodies=True), seed, events).state(0) for events in ([me], []))
    hidden = np.array_equal(
        renderer.render(with_body, poses[0], "me"), renderer.render(without, poses[0], "me")
    )
    _require(hidden, f"{name}.render draws the viewer's own body; leave out state.bodies of that name")


def _check_many(renderer: Renderer, scene: Scene, poses: Sequence[Pose], name: str) -> None:
    """Check that frames which are drawn together are those that are drawn one by one."""
    states = scene.states(np.array([0, 1, 500]))
    views = [poses[0], poses[-1], poses[0]]
    alone = np.stack([renderer.render(*each) for each in zip(states, views, strict=True)])
    together = renderer.render_many(states, views, [None] * 3)
    _require(
        np.array_equal(together, alone),
        f"{name}.render_many gives other frames than render; return those of render, [N, H, W, 3]",
    )


def _check_another_process(config: SceneConfig, seed: int, pose: Pose | None, name: str) -> None:
    """Check that another process computes the same states, and the same frame where a pose is given."""
    request = json.dumps([dataclasses.asdict(config), seed, pose and dataclasses.asdict(pose)])
    found = call_elsewhere(__name__, digest.__name__, request, SceneError, name, "a few states")
    what = "states" if pose is None else "pixels"
    _require(
        found == digest(request),
        f"{name} gives other {what} in another process; use no hash(), global state or time",
    )


def digest(request: str) -> str:
    """Return a hash of states, and of a frame where a pose is given.

    Args:
        request: JSON of [settings of the scene, seed, pose or null].
    """
    settings, seed, place = json.loads(request)
    config: SceneConfig = _from_plain(SceneConfig, settings)
    dynamics = _build(config, seed)
    factors = dynamics.factors(TRIED_TICKS)
    data = factors.tobytes() + dynamics.positions(factors).tobytes()
    if place is not None:
        renderer = build_renderer(config)
        data = renderer.render(Scene(config, seed).state(77), Pose(**place)).tobytes()
        renderer.close()
    return hashlib.sha256(data).hexdigest()


def _from_plain(kind: type, values: dict[str, Any]) -> Any:
    """Return a dataclass of settings from nested plain values."""
    types = get_type_hints(kind)
    return kind(**{
        name: _from_plain(types[name], value) if dataclasses.is_dataclass(types[name]) else value
        for name, value in values.items()
    })  # fmt: skip

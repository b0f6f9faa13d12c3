"""Check a source of frames against its contract, before agents spend minutes on it."""

import json
from dataclasses import asdict

import numpy as np

from env.common.another_process import call_elsewhere
from env.common.custom_class import reported_as
from env.sources.contract import FrameSource, digest
from env.sources.registry import load_source
from env.sources.settings import FramesConfig


class SourceContractError(ValueError):
    """A source breaks its contract; the message says where and how to fix it."""


def check_source(name: str, config: FramesConfig | None = None, frame_size: int = 64) -> None:
    """Check a source against the contract of env.sources.contract.FrameSource, built-in ones too.

    Agents rely on more than signatures: a frame is a pure function of settings, tick and view, in every
    process, and ticks outside the source are refused.

    Args:
        name: What ``scene.source`` names.
        config: Its settings, ``scene.frames``.
        frame_size: Side of its frames.

    Raises:
        SourceContractError: The first breach found; the message says how to fix it.
        SourceError: What it should read is missing.
        ValueError: The class cannot be loaded.
    """
    config = config or FramesConfig()
    kind = load_source(name)
    with reported_as(SourceContractError, f"building {kind.__name__}", kind):
        source = kind(config, frame_size)
    with reported_as(SourceContractError, kind.__name__, kind):
        _check_numbers(source)
        for view in range(source.views):
            _check_frames(source, view)
        _check_outside(source)
        _check_state(source)
        _check_second(source, kind(config, frame_size))
    _check_another_process(name, config, frame_size, source)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise SourceContractError(message)


def _check_numbers(source: FrameSource) -> None:
    name = type(source).__name__
    for what, least in (("ticks", 2), ("views", 1), ("decorrelation_ticks", 0)):
        value = getattr(source, what)
        valid = isinstance(value, int) and not isinstance(value, bool) and value >= least
        _require(valid, f"{name}.{what} is {value!r}; return an int of {least} or more")
    _require(
        isinstance(source.identity, str) and source.identity,
        f"{name}.identity is {source.identity!r}; return a text that is equal for equal data",
    )


def _tried(source: FrameSource) -> np.ndarray:
    """Return ticks in no order, one of them twice."""
    last = source.ticks - 1
    return np.array([last // 2, 0, last, last // 2, min(3, last)], dtype=np.int64)


def _check_frames(source: FrameSource, view: int) -> None:
    name, ticks, side = type(source).__name__, _tried(source), source.frame_size
    given = ticks.copy()
    frames = source.read(given, view)
    _require((given == ticks).all(), f"{name}.read overwrites its ticks; work on a copy")
    _require(isinstance(frames, np.ndarray), f"{name}.read returned {type(frames).__name__}; return an array")
    expected = (len(ticks), side, side, 3)
    _require(
        frames.shape == expected,
        f"{name}.read returned {frames.shape} for {len(ticks)} ticks; return [N, S, S, 3] = {expected}",
    )
    _require(frames.dtype == np.uint8, f"{name}.read returned {frames.dtype}; return uint8 from 0 to 255")
    _require(
        (frames[0] == frames[3]).all(),
        f"{name}.read returned two frames for one tick; make it a function of it",
    )
    kept = frames.copy()
    source.read(np.arange(min(8, source.ticks)), view)
    _require((frames == kept).all(), f"{name}.read changes frames that it returned before; return new arrays")
    again = np.concatenate([source.read(ticks[row : row + 1], view) for row in range(len(ticks))])
    _require(
        (again == kept).all(),
        f"frames of {name} depend on earlier calls or on the other ticks; let each follow from its tick and "
        "view alone",
    )


def _check_outside(source: FrameSource) -> None:
    name = type(source).__name__
    for tick in (-1, source.ticks):
        try:
            source.read(np.array([tick]), 0)
        except (ValueError, IndexError):
            continue
        raise SourceContractError(
            f"{name}.read returned a frame for tick {tick} of {source.ticks}; refuse ticks outside, as "
            "env.sources.contract.check_ticks does"
        )


def _check_state(source: FrameSource) -> None:
    name, ticks = type(source).__name__, _tried(source)
    state = source.state(ticks)
    if state is None:
        return
    good = isinstance(state, np.ndarray) and state.ndim == 2 and len(state) == len(ticks)
    _require(
        good and np.isfinite(state).all(),
        f"{name}.state returned {np.shape(state)} for {len(ticks)} ticks; return finite [N, F], or None",
    )


def _check_second(source: FrameSource, other: FrameSource) -> None:
    name, ticks = type(source).__name__, _tried(source)
    same = other.ticks == source.ticks and other.views == source.views and other.identity == source.identity
    _require(
        same and (other.read(ticks, 0) == source.read(ticks, 0)).all(),
        f"two objects of {name} with equal settings differ; let all follow from the settings",
    )


def _check_another_process(name: str, config: FramesConfig, frame_size: int, source: FrameSource) -> None:
    request = json.dumps([name, asdict(config), frame_size])
    kind = type(source).__name__
    found = call_elsewhere(
        __name__, frames_digest.__name__, request, SourceContractError, kind, "a few frames"
    )
    _require(
        found == _digest(source),
        f"{kind} gives other frames in another process; use no hash(), global state or time",
    )


def frames_digest(request: str) -> str:
    """Return a hash of some frames of a source.

    Args:
        request: JSON of [name, settings, side of a frame].
    """
    name, settings, frame_size = json.loads(request)
    return _digest(load_source(name)(FramesConfig(**settings), frame_size))


def _digest(source: FrameSource) -> str:
    return digest(source.identity, *(source.read(_tried(source), view) for view in range(source.views)))

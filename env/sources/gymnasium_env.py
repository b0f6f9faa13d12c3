"""A Gymnasium environment under random actions, recorded once."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from env.sources.contract import SourceError, digest
from env.sources.recorded import Played, RecordedSource
from env.sources.settings import FramesConfig


class GymnasiumEnv(RecordedSource):
    """One tick per step of ``scene.frames.environment``; random actions, all from ``scene.frames.seed``.

    The picture is the observation where that is an image, else what the environment renders as rgb_array. An
    observation that is a vector is the true state. A new episode follows the end of one. A camera or another
    wrapper belongs to the environment's id: register one whose entry point wraps it.
    """

    def __init__(self, config: FramesConfig, frame_size: int) -> None:
        """Record ``scene.frames.ticks`` steps, unless there is a recording.

        Raises:
            SourceError: The environment cannot be made, or draws nothing.
        """
        if not (config.environment and config.ticks):
            raise SourceError(
                "gymnasium",
                "set scene.frames.environment to the id of an environment, and scene.frames.ticks to the "
                "number of steps to record",
            )
        environment = _make(config.environment)
        code = Path(inspect.getfile(type(environment.unwrapped))).read_bytes()
        spec = str(environment.spec)
        environment.close()
        facts = (spec, code, config.seed, config.ticks, config.views, frame_size)
        key = digest("gymnasium", gymnasium.__version__, *facts)
        super().__init__("gymnasium", config, frame_size, key)

    def play(self) -> Iterator[Played]:
        """Return picture and state of each step."""
        environment = _make(self.config.environment)
        try:
            observation, _ = environment.reset(seed=self.config.seed)
            environment.action_space.seed(self.config.seed)
            for _ in range(self.config.ticks):
                yield _picture(environment, observation), _state(observation)
                observation, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
                if terminated or truncated:
                    observation, _ = environment.reset()
        finally:
            environment.close()


def _make(name: str) -> "gymnasium.Env[Any, Any]":
    try:
        return gymnasium.make(name, render_mode="rgb_array")
    except Exception as error:  # an environment may need packages, files or displays
        raise SourceError(
            "gymnasium",
            f"environment {name} cannot be made with render_mode rgb_array ({type(error).__name__}: {error})",
        ) from error


def _picture(environment: "gymnasium.Env[Any, Any]", observation: Any) -> np.ndarray:
    picture = observation if _is_picture(observation) else environment.render()
    if not _is_picture(picture):
        raise SourceError("gymnasium", "the environment renders no uint8 picture [H, W, 3] as rgb_array")
    return np.asarray(picture)


def _is_picture(value: Any) -> bool:
    return (
        isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3
    )


def _state(observation: Any) -> np.ndarray | None:
    vector = isinstance(observation, np.ndarray) and observation.ndim == 1
    return observation.astype(np.float64) if vector else None

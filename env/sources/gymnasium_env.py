"""A Gymnasium environment under random actions, recorded once."""

import inspect
from collections.abc import Iterator, Mapping
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
        definition = _definition(environment)
        environment.close()
        facts = (*definition, config.seed, config.ticks, config.views, frame_size)
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


def _definition(environment: "gymnasium.Env[Any, Any]") -> Iterator[object]:
    """Yield what an environment is made of, equal in every process: its registration, and all source code.

    The code is that of the entry point, of each wrapper and of what they wrap.
    """
    layers, spec = [environment], environment.spec
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    files = {inspect.getfile(type(layer)) for layer in layers}
    if spec is not None:
        entry = spec.entry_point
        found: Any = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
        creator = getattr(found, "func", found)  # of a partial, whose arguments count as well
        yield [_name(value) for value in getattr(found, "args", ())], _named(getattr(found, "keywords", {}))
        if _is_code(creator):
            files.add(inspect.getfile(creator))
        yield spec.id, _name(creator), spec.max_episode_steps, _named(spec.kwargs)
        for wrapper in spec.additional_wrappers:
            yield wrapper.name, _named(wrapper.kwargs or {})
    for file in sorted(files):
        yield Path(file).read_bytes()


def _is_code(value: object) -> bool:
    return inspect.isroutine(value) or inspect.isclass(value)


def _named(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, _name(value)) for key, value in sorted(options.items())]


def _name(value: Any) -> str:
    """Return the text of a value; that of a function would have its address, another one in each process."""
    return f"{value.__module__}:{value.__qualname__}" if _is_code(value) else repr(value)


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

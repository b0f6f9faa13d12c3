"""The settings of a whole run: one root, read from a TOML file and dotted overrides."""

import dataclasses
import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from agents.settings import ModelConfig, NegotiationConfig, TeachingConfig, TrainingConfig, check_kind
from agents.wire import MAX_FRAME
from env.camera import Pose, RingConfig, ring_pose
from env.scene import Scene, SceneConfig

MAX_AGENTS = 64


class ConfigError(ValueError):
    """A setting that cannot work; the text names it and the remedy."""


@dataclass(frozen=True)
class AgentsConfig:
    """Who takes part."""

    count: int = 4  # how many agents, named agent-0, agent-1, ...
    kind: str = "jepa"  # kind of world model
    poses: tuple[str, ...] = ()  # "x,y,z,yaw,pitch[,fov]" for each agent; empty: places on the ring
    ring: RingConfig = field(default_factory=RingConfig)
    device: str = "auto"  # auto: the GPU that Ray grants, else the CPU
    threads: int = 0  # CPU threads of each agent; 0: its share of the machine's cores
    gpus: float = 0.0  # GPUs that each agent reserves; 0: its share of those there are

    def __post_init__(self) -> None:
        """Refuse a society that cannot be, by name."""
        check_kind(self.kind)
        if not 2 <= self.count <= MAX_AGENTS:
            raise ValueError(
                f"agents.count={self.count}: a translation needs at least 2 agents, at most {MAX_AGENTS}"
            )
        if self.poses and len(self.poses) != self.count:
            raise ValueError(
                f"agents.poses names {len(self.poses)} poses for agents.count={self.count} agents"
            )
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise ValueError(f"agents.device={self.device!r}: choose auto, cpu, cuda, cuda:<number> or mps")
        for name in ("threads", "gpus"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"agents.{name}={getattr(self, name)}: 0 for a fair share, or how many")


@dataclass(frozen=True)
class RunConfig:
    """A whole run."""

    seed: int = 0
    agents: AgentsConfig = field(default_factory=AgentsConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    negotiation: NegotiationConfig = field(default_factory=NegotiationConfig)
    teaching: TeachingConfig = field(default_factory=TeachingConfig)

    def __post_init__(self) -> None:
        """Refuse what only shows when the parts meet."""
        if not 0 <= self.seed < 2**62:
            raise ValueError(f"seed={self.seed}: a whole number from 0 to 2**62 - 1")
        if self.scene.frame_size % 16:
            raise ValueError(f"scene.frame_size={self.scene.frame_size}: the encoder needs a multiple of 16")
        pairs = self.training.segments * (self.training.length - 1)
        if pairs <= self.model.dim:
            raise ValueError(
                f"model.dim={self.model.dim}: a batch of {pairs} pairs cannot fill so many dimensions; "
                "raise training.segments or lower model.dim"
            )
        frame = 4 * (self.negotiation.anchors + self.negotiation.heldout) * self.model.dim
        if frame > MAX_FRAME // 2:
            raise ValueError(
                f"negotiation.anchors + negotiation.heldout, times model.dim, make {frame:,} bytes: "
                f"at most {MAX_FRAME // 2:,} travel in one message"
            )
        scene = Scene(self.scene, self.seed)
        for index in range(self.agents.count):
            try:
                scene.check_pose(self.pose(index))
            except ValueError as error:
                raise ValueError(f"the pose of agent-{index}: {error}") from error

    def poses(self) -> list[Pose]:
        """Return every agent's camera pose."""
        return [self.pose(index) for index in range(self.agents.count)]

    def pose(self, index: int) -> Pose:
        """Return one agent's camera pose."""
        if self.agents.poses:
            return Pose.parse(self.agents.poses[index])
        return ring_pose(index, self.agents.ring)

    def names(self) -> list[str]:
        """Return every agent's name."""
        return [f"agent-{index}" for index in range(self.agents.count)]

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as nested plain values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def hash(self) -> str:
        """Return 16 hexadecimal digits that equal settings share."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


QUICK: Mapping[str, Any] = {
    "training": {"steps": 225, "window": 12288},
    "negotiation": {"pool": 768},
}  # a smaller run that still shows an isometry


def load_config(
    file: Path | None = None, overrides: Sequence[str] = (), base: Mapping[str, Any] | None = None
) -> RunConfig:
    """Return the settings of a file with overrides laid over them.

    Args:
        file: TOML with the same tables as RunConfig.
        overrides: "key.sub=value"; the value is read as TOML, or as text where it is none.
        base: Settings that the file and the overrides go over, for presets.

    Raises:
        ConfigError: An unknown key (the nearest one is named), a wrong type, or a value that cannot work.
    """
    settings: dict[str, Any] = {}
    _lay_over(settings, base or {})
    if file is not None:
        _lay_over(settings, _read(file))
    for text in overrides:
        key, equals, value = text.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise ConfigError(f"{text!r}: settings are written key.sub=value, for example training.steps=200")
        nested: Any = _value(value)
        for part in reversed(parts):
            nested = {part: nested}
        _lay_over(settings, nested)
    try:
        return _build(RunConfig, settings, "")
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"there is no settings file {file}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, Mapping):
            if not isinstance(below.get(key), dict):
                below[key] = {}
            _lay_over(below[key], value)
        else:
            below[key] = value


def _build(kind: type, settings: Any, prefix: str) -> Any:
    if not isinstance(settings, Mapping):
        raise ValueError(f"{prefix.rstrip('.')} is a group of settings: set {prefix}<name>=…")
    types = get_type_hints(kind)
    known = [entry.name for entry in fields(kind)]
    values = {}
    for key, value in settings.items():
        if key not in known:
            raise ValueError(_unknown(prefix + ".".join(_first_leaf(key, value))))
        wanted = types[key]
        if dataclasses.is_dataclass(wanted):
            values[key] = _build(wanted, value, f"{prefix}{key}.")  # type: ignore[arg-type]
        else:
            values[key] = _convert(value, wanted, prefix + key)
    try:
        return kind(**values)
    except ValueError as error:
        text = str(error)
        group = prefix.rstrip(".")
        raise ValueError(
            text if not group or text.startswith(group) or text.startswith("the pose") else f"{group}: {text}"
        ) from error


def _convert(value: Any, wanted: Any, key: str) -> Any:
    if str(wanted).startswith("tuple") and not isinstance(value, list | tuple):
        value = [value]
    if wanted is str and isinstance(value, int | float | bool):
        value = str(value)
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        raise ValueError(f"{key}={value!r}: {str(error).lower()}") from error


def keys(kind: type = RunConfig, prefix: str = "") -> list[str]:
    """Return every setting there is, as dotted keys."""
    found = []
    for name, wanted in get_type_hints(kind).items():
        nested = dataclasses.is_dataclass(wanted)
        found += keys(wanted, f"{prefix}{name}.") if nested else [prefix + name]
    return found


def _first_leaf(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [key, *_first_leaf(*next(iter(value.items())))]
    return [key]


def _unknown(key: str) -> str:
    every = keys()
    group, _, leaf = key.rpartition(".")
    beside = [name for name in every if name.rpartition(".")[0] == group]
    for names in (beside, every):  # a slip in the name, or in the group, or the group was forgotten
        leaves = [name.rpartition(".")[2] for name in names]
        near = difflib.get_close_matches(leaf, leaves, n=1)
        if near:
            found = [name for name in names if name.rpartition(".")[2] == near[0]]
            return f"there is no setting {key}: did you mean {' or '.join(found)}?"
    groups = dict.fromkeys(f"{name.partition('.')[0]}.…" for name in every if "." in name)
    there = beside if group and beside else ["seed", *groups]
    return f"there is no setting {key}: there are {', '.join(there)}"

"""The settings of a whole run: one root, read from a TOML file and dotted overrides."""

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.protocol.settings import NegotiationConfig
from agents.protocol.wire import MAX_FRAME
from agents.settings import DistillationConfig, ModelConfig, TrainingConfig
from env.camera import Pose, ring_pose
from env.scene import Scene, SceneConfig
from social_jepa.config.agents_config import AgentsConfig
from social_jepa.config.overrides import ConfigError, build_config, merge_into


@dataclass(frozen=True)
class RunConfig:
    """A whole run."""

    seed: int = 0
    agents: AgentsConfig = field(default_factory=AgentsConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    negotiation: NegotiationConfig = field(default_factory=NegotiationConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)

    def __post_init__(self) -> None:
        """Refuse what only shows when the parts meet."""
        if not 0 <= self.seed < 2**62:
            raise ValueError(f"seed={self.seed}: a whole number from 0 to 2**62 - 1")
        if self.scene.frame_size % 16:
            raise ValueError(f"scene.frame_size={self.scene.frame_size}: the encoder needs a multiple of 16")

    def check_agents(self) -> None:
        """Raise ValueError unless those who begin can live in this scene; see `check_agent`."""
        for index, name in enumerate(self.names()):
            self.check_agent(name, self.kind(index), lambda index=index: self.pose(index))  # type: ignore[misc]

    def check_agent(self, name: str, kind: str, find_pose: Callable[[], Pose]) -> None:
        """Raise ValueError unless such an agent can live in this scene and show what it makes of it."""
        scene, dim, needs = (
            Scene(self.scene, self.seed),
            self.model.dim_of(kind),
            self.model.sensor_spec_of(kind),
        )
        key, pairs = self.model.dim_key(kind), self.training.segments * (self.training.segment_ticks - 1)
        if pairs <= dim:
            raise ValueError(
                f"{key} makes codes of {dim}: a batch of {pairs} pairs cannot fill so many dimensions; "
                f"raise training.segments or lower {key}"
            )
        frame = 4 * (self.negotiation.anchors + self.negotiation.heldout) * dim
        if frame > MAX_FRAME // 2:
            raise ValueError(
                f"negotiation.anchors + negotiation.heldout, times the {dim} dimensions of {key}, "
                f"make {frame:,} bytes: at most {MAX_FRAME // 2:,} travel in one message"
            )
        if self.training.replay_ticks // needs.views < 2 * self.training.segment_ticks:
            raise ValueError(
                f"training.replay_ticks={self.training.replay_ticks}: {name} records {needs.views} views of "
                "a tick, and its replay buffer must hold two segments; "
                f"choose {2 * self.training.segment_ticks * needs.views} or more"
            )
        try:
            pose = find_pose()
            scene.check_pose(pose)
        except ValueError as error:
            raise ValueError(f"the pose of {name}: {error}") from error
        try:
            needs.check(self.scene, pose)
        except ValueError as error:
            raise ValueError(f"model.{kind}: {name}: {error}") from error

    def poses(self) -> list[Pose]:
        """Return every agent's camera pose."""
        return [self.pose(index) for index in range(self.agents.count)]

    def pose(self, index: int) -> Pose:
        """Return one agent's camera pose."""
        if self.agents.poses:
            return Pose.parse(self.agents.poses[index])
        return ring_pose(index, self.agents.ring)

    def kind(self, index: int) -> str:
        """Return one agent's kind of world model."""
        return self.agents.kinds[index] if self.agents.kinds else self.agents.kind

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
    "training": {"steps": 225, "replay_ticks": 12288},
    "negotiation": {"pool_ticks": 768},
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
    for above in (base or {}, {} if file is None else _read(file)):
        merge_into(settings, above)
    config: RunConfig = build_config(RunConfig, settings, overrides)
    try:
        config.check_agents()
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"there is no settings file {file}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error

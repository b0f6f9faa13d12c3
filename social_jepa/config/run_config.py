"""Settings of a whole run, read from a TOML file and dotted overrides."""

import dataclasses
import hashlib
import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.common.config_error import ConfigError
from agents.common.niceness import MAX_NICENESS
from agents.models.settings import ModelConfig, check_kind
from agents.protocol.settings import MAX_PEERS, NegotiationConfig, embedding_bytes, tick_ranges
from agents.protocol.topology import Topology
from agents.protocol.wire import MAX_ENVELOPE_BYTES
from agents.training.settings import DistillationConfig, TrainingConfig
from agents.training.ticks import range_gap, recorded_ticks, stretch_ticks, train_offset, unseen_ticks
from env.camera import Pose, RingConfig, ring_pose
from env.common.settings_repr import settings_repr
from env.renderers.build import load_renderer
from env.scene import Scene, SceneConfig
from social_jepa.config.overrides import build_config, merge_into

LEAST_REPLAY_TICKS = 512  # of a source that ends; fewer teach a model little


@dataclass(frozen=True)
class AgentsConfig:
    """The agents that a run starts with, and what each of them may use."""

    count: int = 4  # number of agents, named agent-0, agent-1, ...
    per_actor: int = 1  # agents that live in one process, with its CPUs or GPU, and take turns to compute
    workers: int = 0  # processes on which the agents of a batch run train one after the other; 0: none
    # kind of world model: jepa, seq_jepa, p_jepa, package.module:Class, or frozen:package.module:Class
    kind: str = "jepa"
    kinds: tuple[str, ...] = ()  # kind of each agent, for a mixed run; empty: all are of agents.kind
    # "x,y,z,yaw,pitch[,fov]" of each agent, "view=K" with scene.source; empty: the ring, or all views
    poses: tuple[str, ...] = ()
    ring: RingConfig = field(default_factory=RingConfig)
    device: str = "auto"  # auto: the GPU that Ray assigns, else the CPU
    threads: int = 0  # CPU threads of each agent; 0: an equal share of the CPUs
    gpus: float = 0.0  # GPUs that each agent reserves; 0: an equal share of the GPUs
    nice: int = 0  # least niceness of the run's processes, 0 to 19: how much they give way to other programs

    __repr__ = settings_repr

    @property
    def processes(self) -> int:
        """Number of processes that agents run in."""
        return min(self.workers, self.count) if self.workers else math.ceil(self.count / self.per_actor)

    @property
    def in_memory(self) -> int:
        """Number of agents that are in memory at the same time."""
        return min(self.workers, self.count) if self.workers else self.count

    @property
    def common_kind(self) -> str:
        """Default kind of a joiner: that of all other agents if they share one, else agents.kind."""
        return self.kinds[0] if len(set(self.kinds)) == 1 else self.kind

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range."""
        for kind in (self.kind, *self.kinds):
            check_kind(kind)
        if self.count < 2:
            raise ConfigError("a translation needs at least 2 agents", "count", self.count)
        if self.workers < 0:
            raise ConfigError("0 for a process of each agent, or a number", "workers", self.workers)
        if self.per_actor < 1:
            raise ConfigError("a process holds at least one agent", "per_actor", self.per_actor)
        if self.workers and self.per_actor > 1:
            raise ConfigError(
                "agents that take turns on workers live in no process", "per_actor", self.per_actor,
                "set agents.workers or agents.per_actor, not both",
            )  # fmt: skip
        for name in ("poses", "kinds"):
            given = len(getattr(self, name))
            if given and given != self.count:
                raise ConfigError(
                    f"{given} {name} for agents.count={self.count} agents: name one for each", name
                )
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise ConfigError("choose auto, cpu, cuda, cuda:<number> or mps", "device", self.device)
        for name in ("threads", "gpus"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError("0 for an equal share, or a number", name, getattr(self, name))
        if not 0 <= self.nice <= MAX_NICENESS:
            raise ConfigError(f"a niceness from 0 to {MAX_NICENESS}", "nice", self.nice)
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ConfigError("a share below 1 of one GPU, or a whole number of GPUs", "gpus", self.gpus)


@dataclass(frozen=True)
class RunConfig:
    """A whole run."""

    seed: int = 0  # of the scene; the randomness of agent k follows from (seed, k)
    agents: AgentsConfig = field(default_factory=AgentsConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    negotiation: NegotiationConfig = field(default_factory=NegotiationConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)

    __repr__ = settings_repr

    def __post_init__(self) -> None:
        """Raise ConfigError for a combination of groups that cannot work."""
        if not 0 <= self.seed < 2**62:
            raise ConfigError("a whole number from 0 to 2**62 - 1", "seed", self.seed)
        if self.scene.frame_size % 16:
            raise ConfigError("the encoder needs a multiple of 16", "scene.frame_size", self.scene.frame_size)
        self._check_public_scene()
        if Topology.parse(self.negotiation.topology).has_hub and self.agents.count - 1 > MAX_PEERS:
            raise ConfigError(
                f"one of {self.agents.count} agents would have more than {MAX_PEERS} peers",
                "negotiation.topology", self.negotiation.topology, "choose k_regular(6), ring or tree",
            )  # fmt: skip

    def _check_public_scene(self) -> None:
        """Raise ConfigError for anchors of a public scene that is none, or is the run's own."""
        seed, setting = self.negotiation.public_seed, "negotiation.anchor_seed"
        if seed is None:
            return
        if self.scene.source:
            raise ConfigError(
                "a source has the same frames whatever the seed", setting, seed, "leave it at -1"
            )
        if seed == self.seed:
            raise ConfigError(
                "the public scene would be that of the run, whose seed it is", setting, seed, "choose another"
            )

    def check_agents(self) -> None:
        """Raise ConfigError unless every initial agent can work in this scene; see `check_agent`.

        Custom classes of the scene are loaded, and a source of frames is opened.
        """
        self._check_custom_scene()
        try:
            self.negotiation.memory_rows(self.scene.decorrelation_ticks)
        except ConfigError as error:
            raise error.within("negotiation") from None
        for index, name in enumerate(self.names()):
            find_pose = lambda index=index: self.pose(index)  # noqa: E731
            self.check_agent(name, self.kind(index), find_pose, self.train_offset(index))

    def _check_custom_scene(self) -> None:
        """Raise ConfigError if a custom class of the scene cannot be loaded."""
        try:
            Scene(self.scene, self.seed)
            if ":" in self.scene.renderer:
                load_renderer(self.scene.renderer)
        except ValueError as error:  # it names the setting
            raise ConfigError(str(error)) from error

    @property
    def stretch_ticks(self) -> int:
        """Ticks from the start of one agent's training to that of the next where agents have own ticks."""
        return stretch_ticks(self.training, *self._gap_and_stride)

    def train_offset(self, index: int, teacher: str = "") -> int:
        """Return the ticks by which an agent trains later than one of no offset; see `AgentSpec`.

        A student trains on the ticks that its teacher sends embeddings of, which are those of no offset.

        Args:
            index: Number of the agent.
            teacher: Peer that it distills from first; "" for none.
        """
        return 0 if teacher else train_offset(self.training, index, *self._gap_and_stride)

    @property
    def _gap_and_stride(self) -> tuple[int, int]:
        memory = self.scene.decorrelation_ticks
        return range_gap(memory), self.negotiation.stride(memory)

    def check_agent(self, name: str, kind: str, find_pose: Callable[[], Pose], train_offset: int = 0) -> None:
        """Raise ConfigError unless such an agent can learn in this scene and exchange its anchors.

        Args:
            name: Name of the agent, for the message.
            kind: Kind of its world model.
            find_pose: Returns its camera pose, or raises ValueError.
            train_offset: Ticks by which it trains later than one of no offset.
        """
        self._check_sizes(name, kind)
        self._check_ticks(name, train_offset)
        try:
            pose = find_pose()
            Scene(self.scene, self.seed).check_pose(pose)
        except ValueError as error:
            raise ConfigError(str(error), f"the pose of {name}") from error
        try:
            self.model.sensor_spec_of(kind).check(self.scene, pose)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}", f"model.{kind}") from error

    def _check_ticks(self, name: str, train_offset: int) -> None:
        """Raise ConfigError unless a source of frames has all ticks that an agent reads."""
        if (ticks := Scene(self.scene, self.seed).ticks) is None:
            return
        memory, training = self.scene.decorrelation_ticks, self.training
        gap, stride = self._gap_and_stride
        pools = tick_ranges(self.negotiation, gap, memory)[2]
        recorded, unseen = recorded_ticks(training), unseen_ticks(training, gap, stride)
        needed = pools + train_offset + recorded + unseen
        if (missing := needed - ticks) > 0:
            room = training.replay_ticks - missing
            if train_offset:
                fits = "set training.own_ticks=false, lower training.replay_ticks, or take a longer source"
            elif room >= LEAST_REPLAY_TICKS:
                fits = f"lower training.replay_ticks to {room} or less"
            else:
                fits = (
                    "lower negotiation.pool_ticks, training.core_eval_ticks and training.replay_ticks, or "
                    "take a longer source"
                )
            earlier = f"{train_offset:,} for the agents before it (training.own_ticks), " * (train_offset > 0)
            raise ConfigError(
                f"{name} needs {needed:,} ticks, and the source of frames has {ticks:,}: "
                f"{pools:,} to score and fit maps on (negotiation.pool_ticks={self.negotiation.pool_ticks}, "
                f"{stride} ticks apart), {earlier}{recorded:,} to train on (training.replay_ticks), "
                f"{unseen:,} to choose its core and find drift on "
                f"(training.core_eval_ticks={training.core_eval_ticks}); "
                f"the frames remember {memory} ticks",
                "scene.source", self.scene.source, fits,
            )  # fmt: skip

    def with_memory(self) -> "RunConfig":
        """Return settings that hold the memory of the source of frames, so that it is measured only once."""
        if not self.scene.source or self.scene.frames.memory:
            return self
        source = self.scene.build_source()
        assert source is not None
        frames = dataclasses.replace(self.scene.frames, memory=max(1, source.decorrelation_ticks))
        return dataclasses.replace(self, scene=dataclasses.replace(self.scene, frames=frames))

    def _check_sizes(self, name: str, kind: str) -> None:
        dim, dim_setting = self.model.dim_of(kind), self.model.dim_key(kind)
        pairs = self.training.segments * (self.training.segment_ticks - 1)
        if pairs <= dim:
            raise ConfigError(
                f"a batch of {pairs} pairs cannot fill so many dimensions",
                dim_setting,
                dim,
                f"raise training.segments or lower {dim_setting}",
            )
        rows, sent = self.negotiation.anchors + self.negotiation.heldout, self.negotiation.sent_dims(dim)
        size = embedding_bytes(rows, sent, self.negotiation.precision)
        if size > MAX_ENVELOPE_BYTES // 2:
            raise ConfigError(
                f"negotiation.anchors + negotiation.heldout, times the {dim} dimensions of {dim_setting}, "
                f"make {size:,} bytes: at most {MAX_ENVELOPE_BYTES // 2:,} fit into one message"
            )
        views, segment_ticks = self.model.sensor_spec_of(kind).views, self.training.segment_ticks
        if self.training.replay_ticks // views < 2 * segment_ticks:
            raise ConfigError(
                f"{name} records {views} views of a tick, and its replay buffer must hold two segments",
                "training.replay_ticks",
                self.training.replay_ticks,
                f"choose {2 * segment_ticks * views} or more",
            )

    def collapse_risks(self) -> list[str]:
        """Return sentences on the settings that leave an initial agent nothing to prevent collapse."""
        risks = (self.model.collapse_risk(self.kind(index)) for index in range(self.agents.count))
        return sorted({risk for risk in risks if risk})

    def poses(self) -> list[Pose]:
        """Return the camera poses of all agents."""
        return [self.pose(index) for index in range(self.agents.count)]

    def pose(self, index: int) -> Pose:
        """Return the camera pose of an agent."""
        if self.agents.poses:
            return Pose.parse(self.agents.poses[index])
        return self.default_pose(index)

    def default_pose(self, index: int) -> Pose:
        """Return the place of an agent on the ring, or its view of a source of frames."""
        source = self.scene.build_source()
        return ring_pose(index, self.agents.ring) if source is None else Pose.of_view(index % source.views)

    def kind(self, index: int) -> str:
        """Return the kind of world model of an agent."""
        return self.agents.kinds[index] if self.agents.kinds else self.agents.kind

    def names(self) -> list[str]:
        """Return the names of all agents."""
        return [f"agent-{index}" for index in range(self.agents.count)]

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as nested plain values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def hash(self) -> str:
        """Return 16 hexadecimal digits that are equal for equal settings."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


QUICK: Mapping[str, Any] = {
    "training": {"steps": 225, "replay_ticks": 24576},
    "negotiation": {"pool_ticks": 768},
}  # a smaller run that still shows an isometry


def load_config(
    file: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Return the settings of a file with overrides applied to them.

    Args:
        file: TOML with the same tables as RunConfig.
        overrides: "key.sub=value"; the value is parsed as TOML, or taken as text where it is not TOML.
        base: Settings that the file and the overrides are applied to, for presets such as QUICK.

    Raises:
        ConfigError: An unknown key (the nearest one is suggested), a wrong type, or a value out of range.
    """
    settings: dict[str, Any] = {}
    for update in (base or {}, {} if file is None else _read(Path(file))):
        merge_into(settings, update)
    config: RunConfig = build_config(RunConfig, settings, overrides)
    config = _with_memory(config)
    config.check_agents()
    return config


def _with_memory(config: RunConfig) -> RunConfig:
    try:
        return config.with_memory()
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(str(error)) from error


def read_config(file: Path) -> RunConfig:
    """Return the settings of a file as they are: that every agent can work with them is not checked.

    No code of a custom model or scene is imported.

    Raises:
        ConfigError: The file cannot be read, or a setting is unknown, ill-typed or out of range.
    """
    config: RunConfig = build_config(RunConfig, _read(file))
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error


def _read_text(file: Path) -> str:
    """Return a text file that a person wrote: UTF-8, whatever the locale, with or without a byte-order mark.

    Raises:
        ConfigError: It is missing, a folder, cannot be read, or has another encoding.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"there is no settings file {file}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{file} is a folder", suggestion="name a TOML file with settings") from error
    except OSError as error:
        raise ConfigError(f"the settings file {file} cannot be read: {error.strerror or error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"the settings file {file} is not UTF-8: byte 0x{data[error.start]:02x} in line {line}",
            suggestion="save it with the encoding UTF-8",
        ) from error

"""Specification and progress of an agent: records that cross between processes."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from agents.training.settings import DistillationConfig, TrainingConfig
from env.camera import Pose
from env.scene import BodyEvent, SceneConfig


@dataclass(frozen=True)
class AgentSpec:
    """Everything that an agent is built from; equal specs give equal agents in every process.

    Attributes:
        name: Name of the agent.
        index: Number of the agent; its random streams follow from (seed, index) alone.
        seed: Seed of the run.
        kind: Kind of world model, see `agents.models.settings.check_kind`.
        pose: Pose of its camera.
        scene: Settings of the scene.
        events: When which bodies stand in the scene: those of its peers.
        model: Settings of its world model.
        training: Settings of its training.
        negotiation: Settings of its negotiations.
        folder: Folder of its checkpoints, on the machine where the agent runs.
        device: torch device.
        threads: CPU threads that torch may use.
        distillation: Settings of distillation from its teacher.
        pose_version: How many times its camera has moved; each time training restarts from its weights.
        teacher: Peer whose embeddings it distills from first; "" for none.
        online: Whether it keeps training after its schedule.
        paused: Whether its training waits until it is resumed.
        train_offset: Ticks between the end of the anchor pools, with the gap after it, and the first tick
            of its training: agents with different offsets train at other times.
    """

    name: str
    index: int
    seed: int
    kind: str
    pose: Pose
    scene: SceneConfig
    events: tuple[BodyEvent, ...]
    model: ModelConfig
    training: TrainingConfig
    negotiation: NegotiationConfig
    folder: str
    device: str = "cpu"
    threads: int = 1
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    pose_version: int = 0
    teacher: str = ""
    online: bool = False
    paused: bool = False
    train_offset: int = 0


@dataclass(frozen=True)
class Progress:
    """Progress of an agent, for observers."""

    name: str
    phase: str  # waiting, recording, distilling, training, embedding, ready, resting, paused, and others
    step: int
    steps: int
    recorded: int  # ticks in its replay buffer
    next_tick: int  # first tick that its replay buffer has not reached
    frames: int  # read by training
    loss: float
    frames_per_s: float  # frames read a second of training time
    seconds_left: float
    record_seconds: float
    train_seconds: float
    device: str
    drift: float = 0.0  # share of variance by which it has left its published model
    saved_at: float = 0.0  # seconds since the epoch; 0: not yet
    distill_frames: int = 0  # read during distillation
    loss_curve: tuple[tuple[int, float], ...] = ()  # (step, mean loss since the previous point)
    distill_curve: tuple[tuple[int, float], ...] = ()  # the same of distillation

    def as_plain(self) -> dict[str, Any]:
        """Return it as a dict for JSON, with None in place of NaN."""
        return {name: None if value != value else value for name, value in asdict(self).items()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Progress":
        """Return the progress that `as_plain` was called on."""
        values: dict[str, Any] = {name: math.nan if value is None else value for name, value in plain.items()}
        curves = {
            name: tuple((step, loss) for step, loss in values.get(name, ()))
            for name in ("loss_curve", "distill_curve")
        }
        return cls(**{**values, **curves})

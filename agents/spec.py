"""What makes an agent, and how it says that it is doing: the words that cross between processes."""

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
    """Everything that makes an agent; equal specs give equal agents in every process.

    Attributes:
        index: Number of the agent; its randomness comes from (seed, index) alone.
        pose: Where its camera stands.
        events: Bodies in the scene: those of its peers.
        folder: Where its checkpoint lives, on the machine where the agent runs.
        device: torch device.
        threads: CPU threads that torch may use.
        era: How many times its camera has moved; each time it learns anew, from the weights that it had.
        teacher: Peer whose embeddings it learns from first, if any.
        living: Whether it goes on learning after its course.
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


@dataclass(frozen=True)
class Progress:
    """How an agent is doing, for people to watch."""

    name: str
    phase: str  # waiting, recording, distilling, training, embedding, ready, stopped
    step: int
    steps: int
    recorded: int  # ticks in its window
    next_tick: int  # first tick that its window has not come to
    frames: int  # read by training
    loss: float
    frames_per_s: float  # frames that training reads in a second of training time
    seconds_left: float
    record_seconds: float
    train_seconds: float
    device: str
    drift: float = 0.0  # share of variance by which it has left what its peers know of it
    saved_at: float = 0.0  # seconds since the epoch; 0: not yet
    distill_frames: int = 0  # read while it was taught

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON takes it: what is no number is None."""
        return {name: None if value != value else value for name, value in asdict(self).items()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Progress":
        """Return what `as_plain` was made of."""
        told: dict[str, Any] = {name: math.nan if value is None else value for name, value in plain.items()}
        return cls(**told)

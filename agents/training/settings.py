"""Settings of training and of distillation; reading them loads no torch."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from agents.common.config_error import ConfigError
from agents.common.fields import (
    Count,
    CountOrZero,
    Positive,
    Share,
    Weight,
    check_fields,
    one_of,
    settings_repr,
)

GAP = 256  # least ticks between two ranges of ticks; more where the scene stays correlated for longer
DRIFT_TICKS = 256  # unseen ticks that drift is measured on


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast an agent trains."""

    steps: Count = 450  # optimizer steps of the schedule
    stage_steps: CountOrZero = 0  # of each further encoder, see model.stages; 0: two thirds of steps
    segments: Count = 64  # segments a step
    segment_ticks: Annotated[int, Meta(ge=2)] = 4  # consecutive ticks a segment; a prediction needs two
    learning_rate: Positive = 5e-3  # peak; decays to zero by a cosine after the warm-up
    warmup: Annotated[float, Meta(ge=0, lt=1)] = 0.15  # share of the steps over which the rate rises
    weight_decay: Weight = 1e-4  # of AdamW
    grad_clip_norm: Positive = 5.0  # largest norm of the gradient
    replay_ticks: Count = 49152  # ticks in the replay buffer: each frame is read about twice
    replay_storage: Annotated[str, one_of("file", "memory")] = (
        "file"  # where its frames are kept: an unnamed file in TMPDIR, else /var/tmp, or memory
    )
    own_ticks: bool = False  # each agent on a separate stretch of ticks; otherwise all on the same
    new_ticks_per_step: CountOrZero = 0  # ticks that replace the oldest before every step of the schedule
    checkpoint_every: Count = 100  # steps
    core_eval_ticks: Annotated[int, Meta(ge=16)] = (
        2048  # ticks that the predictability of axes is measured on
    )
    online_new_ticks: CountOrZero = 32  # ticks that replace the oldest before every online step
    online_lr_factor: Share = 0.05  # learning rate of online steps as a share of the peak
    online_duty: Annotated[float, Meta(gt=0, le=1)] = (
        0.1  # share of the time for which an agent trains online while its drift is within the bound
    )
    drift_check_every: Count = 100  # online steps between two measurements of drift

    __repr__ = settings_repr

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that cannot train; the message names one."""
        check_fields(self)
        if self.replay_ticks < 2 * self.segment_ticks:
            raise ConfigError(
                f"must hold at least two segments of training.segment_ticks={self.segment_ticks}",
                "replay_ticks",
                self.replay_ticks,
            )
        if self.segments * (self.segment_ticks - 1) < 8:
            raise ConfigError(
                "training.segments * (training.segment_ticks - 1) must be at least 8 pairs",
                "segments",
                self.segments,
            )

    @property
    def steps_of_stage(self) -> int:
        """Optimizer steps of each further encoder."""
        return self.stage_steps or max(1, 2 * self.steps // 3)


@dataclass(frozen=True)
class DistillationConfig:
    """How a student learns from one peer's embeddings.

    The optimizer follows `TrainingConfig`: learning_rate, warmup (a share of these steps), weight_decay and
    grad_clip_norm.
    """

    ticks: Annotated[int, Meta(ge=64, le=65536)] = 6144  # consecutive ticks requested from the teacher
    steps: Count = 150  # optimizer steps on them
    batch: Annotated[int, Meta(ge=16)] = 256  # ticks a step

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that cannot distill; the message names one."""
        check_fields(self)
        if self.batch > self.ticks:
            raise ConfigError(f"choose from 16 to distillation.ticks={self.ticks}", "batch", self.batch)

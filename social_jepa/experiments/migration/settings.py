"""Settings and random streams of the migration experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.models.settings import ModelConfig
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

Schedule = tuple[int, int, int]  # steps, frames per step, distinct frames
Schedules = tuple[Schedule, ...]


class MigrationStream(Stream):
    """Random streams of the experiment."""

    SHUFFLE = 43


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run.

    A schedule is (steps, frames per step, distinct frames); the full schedule is that of setup.training.
    """

    setup: AgentSetup = field(default_factory=lambda: AgentSetup(model=ModelConfig(dim=24, stages=1)))
    object_counts: tuple[int, ...] = (5,)  # scenes, for instance (3, 5); the thresholds refer to the last
    eval_steps: tuple[int, ...] = (
        10, 20, 30, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275, 300, 350,
    )  # fmt: skip  # steps of the full schedule at which the model is scored
    default_warmup_schedules: Schedules = (
        (450, 256, 1024), (450, 256, 2048), (450, 256, 6144), (450, 256, 12288), (450, 256, 24576),
        (800, 64, 49152),
    )  # fmt: skip  # further schedules alone, with the warm-up of setup.training
    long_warmup_schedules: Schedules = (
        (200, 256, 49152), (300, 256, 49152), (100, 256, 6144), (400, 128, 49152),
    )  # fmt: skip  # further schedules alone, with long_warmup
    eval_shares: tuple[float, ...] = (
        0.33,
        0.45,
        0.55,
        0.67,
        0.8,
    )  # shares of their steps at which both are scored
    long_warmup: float = 0.4  # share of the steps over which the learning rate rises
    distillation_schedules: Schedules = (
        (25, 256, 1024), (50, 256, 1024), (100, 64, 1024), (200, 64, 1024),
        (25, 256, 2048), (50, 256, 2048), (100, 256, 2048), (50, 64, 2048), (100, 64, 2048), (200, 64, 2048),
        (50, 256, 6144), (100, 256, 6144),
    )  # fmt: skip
    control_schedule: Schedule = (100, 256, 6144)  # distillation schedule of the controls
    early_teacher_steps: int = 30  # training steps of the early teacher
    continuation_schedules: Schedules = ((50, 256, 49152), (100, 256, 49152))  # alone, after distillation
    initial_distillation: Schedule = (50, 256, 2048)  # the distillation before those
    mutual_start_steps: int = 100  # steps alone of two students before they distill from each other
    mutual_rounds: int = 2  # distillations of each student from the other
    mutual_schedule: Schedule = (50, 256, 6144)  # schedule of each of these

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for schedules that cannot be run."""
        replay_ticks = self.setup.training.replay_ticks
        if not self.object_counts:
            raise ValueError("object_counts must contain at least one number of objects")
        for name, schedules in self.schedules.items():
            if not all(
                steps >= 1 and 0 < batch <= ticks <= replay_ticks for steps, batch, ticks in schedules
            ):
                raise ValueError(
                    f"{name}={schedules}: every (steps, batch, ticks) needs steps >= 1 and "
                    f"1 <= batch <= ticks <= setup.training.replay_ticks={replay_ticks}"
                )
        if not all(0 < share < 1 for share in self.eval_shares):
            raise ValueError(f"eval_shares={self.eval_shares} must lie between 0 and 1")
        if min(self.mutual_rounds, self.mutual_start_steps) < 1:
            raise ValueError(
                f"mutual_rounds={self.mutual_rounds} and mutual_start_steps={self.mutual_start_steps} must "
                "be at least 1"
            )

    @property
    def schedules(self) -> dict[str, Schedules]:
        """All schedules, by the setting that they come from."""
        return {
            "default_warmup_schedules": self.default_warmup_schedules,
            "long_warmup_schedules": self.long_warmup_schedules,
            "distillation_schedules": self.distillation_schedules,
            "continuation_schedules": self.continuation_schedules,
            "control_schedule": (self.control_schedule,),
            "initial_distillation": (self.initial_distillation,),
            "mutual_schedule": (self.mutual_schedule,),
        }


QUICK: Mapping[str, Any] = {
    "setup": {
        **QUICK_SETUP,
        "training": {"steps": 120, "segments": 32, "replay_ticks": 2048, "core_eval_ticks": 256},
    },
    "object_counts": (1,),
    "eval_steps": (10, 20, 40, 80),
    "default_warmup_schedules": ((120, 128, 512), (120, 128, 1024), (120, 64, 2048)),
    "long_warmup_schedules": ((20, 128, 2048), (40, 128, 2048), (80, 128, 2048), (40, 128, 1024)),
    "distillation_schedules": (
        (10, 128, 512), (40, 128, 512), (10, 128, 1024), (20, 128, 1024), (40, 128, 1024),
    ),
    "control_schedule": (40, 128, 1024),
    "early_teacher_steps": 5,
    "continuation_schedules": ((20, 128, 2048),),
    "initial_distillation": (20, 128, 512),
    "mutual_start_steps": 40,
    "mutual_rounds": 2,
    "mutual_schedule": (20, 128, 1024),
}  # fmt: skip

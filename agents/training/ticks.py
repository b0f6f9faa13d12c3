"""Ticks that an agent reads: for a source of frames, which ends, they must be known beforehand."""

from agents.training.settings import DRIFT_TICKS, TrainingConfig


def unseen_ticks(config: TrainingConfig, gap: int, stride: int) -> int:
    """Return the ticks after the replay buffer that its core is chosen on and drift is measured on.

    Args:
        config: How the agent trains.
        gap: Ticks between two ranges.
        stride: Ticks between two anchors of a pool.
    """
    core = max(2, stride) * (config.core_eval_ticks // 2 - 1) + 2
    return gap + max(core, stride * (DRIFT_TICKS - 1) + 1)


def recorded_ticks(config: TrainingConfig) -> int:
    """Return the ticks that the schedule records."""
    return config.replay_ticks + config.steps * config.new_ticks_per_step

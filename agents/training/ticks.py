"""Ticks that an agent reads: where agents train at other times, and where a source of frames ends."""

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


def stretch_ticks(config: TrainingConfig, gap: int, stride: int) -> int:
    """Return the ticks from the start of one agent's stretch to that of the next, with `own_ticks`.

    What the schedule records and the ticks that its core is chosen on are then read by no other agent's
    schedule. Online training goes on into later stretches.

    Args:
        config: How the agents train.
        gap: Ticks between two ranges.
        stride: Ticks between two anchors of a pool.
    """
    return recorded_ticks(config) + unseen_ticks(config, gap, stride) + gap


def train_offset(config: TrainingConfig, index: int, gap: int, stride: int) -> int:
    """Return the ticks by which an agent trains later than the first one: 0 unless each has `own_ticks`.

    Args:
        config: How the agents train.
        index: Number of the agent.
        gap: Ticks between two ranges.
        stride: Ticks between two anchors of a pool.
    """
    return index * stretch_ticks(config, gap, stride) if config.own_ticks else 0

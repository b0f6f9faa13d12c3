"""Ticks that an agent reads: for its axes, where agents train at other times, and where a source ends."""

from typing import Final

import numpy as np

from agents.training.settings import DRIFT_TICKS, GAP, TrainingConfig

AXIS_TICKS: Final = 16384  # trained ticks that axes are found on; with 2048 they cost 3 % of the core's R2
BLOCK_TICKS: Final = 64  # consecutive ones of these; at least a segment of training


def range_gap(memory: int) -> int:
    """Return the least ticks between two ranges, so that they are uncorrelated.

    Args:
        memory: Ticks after which the scene no longer resembles itself.
    """
    return max(GAP, memory)


def axis_ticks(ticks: range, segment_ticks: int) -> np.ndarray:
    """Return the ticks of a range that axes are found on, int64 [B, L]: blocks of consecutive ticks.

    All ticks are one block where they are few. Of more, blocks are spread evenly: neighboring ticks of a slow
    scene tell nearly the same, and how much of its variety axes see depends on the time that they span.

    Args:
        ticks: Consecutive ticks.
        segment_ticks: Ticks that a further encoder is trained on together: a block holds as many at least.
    """
    if len(ticks) <= AXIS_TICKS:
        return np.arange(ticks.start, ticks.stop)[None]
    length = max(BLOCK_TICKS, segment_ticks)
    starts = np.linspace(ticks.start, ticks.stop - length, max(1, AXIS_TICKS // length)).round()
    return starts.astype(np.int64)[:, None] + np.arange(length)


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

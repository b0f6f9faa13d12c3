"""The ranges of one agent's ticks lie apart, whatever the memory of its scene."""

import numpy as np
import pytest

from agents.protocol.settings import NegotiationConfig
from agents.tick_plan import TickPlan
from agents.training.settings import GAP, TrainingConfig

TRAINING = TrainingConfig(core_eval_ticks=64, replay_ticks=512)
POOLS = NegotiationConfig(pool_ticks=256, anchors=64, heldout=128)
MEMORIES = (0, 20, GAP + 100)


@pytest.fixture(params=MEMORIES, ids=lambda memory: f"memory {memory}")
def plan(request):
    return TickPlan.of(POOLS, TRAINING, request.param)


def test_ticks_to_score_to_fit_and_to_train_on_are_a_gap_apart(plan):
    assert plan.gap >= GAP
    assert len(plan.heldout) == len(plan.fit) == POOLS.pool_ticks
    assert plan.fit.start - plan.heldout[-1] > plan.gap
    assert plan.distill_start - plan.fit[-1] > plan.gap
    assert plan.heldout.step == plan.fit.step == plan.stride


@pytest.mark.parametrize("memory", MEMORIES)
def test_gap_and_rows_outlast_the_memory_of_the_scene(memory):
    plan = TickPlan.of(POOLS, TRAINING, memory)

    assert plan.gap >= memory
    assert plan.memory_rows * plan.stride >= memory


def test_an_offset_moves_training_and_nothing_else():
    first, later = (TickPlan.of(POOLS, TRAINING, 20, offset) for offset in (0, 1000))

    assert first.train_start == first.distill_start == later.distill_start
    assert later.train_start - first.train_start == 1000
    assert (first.fit, first.heldout) == (later.fit, later.heldout)


def test_a_core_and_drift_are_measured_a_gap_after_training(plan):
    pairs, drift = plan.core_eval(5000), plan.drift(5000)

    assert pairs.shape == (32, 2)
    assert (np.diff(pairs, axis=1) == 1).all()
    assert (np.diff(pairs.ravel()) > 0).all()
    assert pairs.min() == drift.start == 5000 + plan.gap


@pytest.mark.parametrize("count", [20_000, 20_001])
def test_a_source_ends_right_after_the_last_tick_that_a_core_or_drift_needs(plan, count):
    stop = plan.record_stop(count)

    assert max(plan.core_eval(stop).max(), plan.drift(stop)[-1]) == count - 1


def test_axes_are_found_on_recorded_ticks_alone(plan):
    recorded = range(plan.train_start, plan.train_start + 50_000)
    blocks = plan.axes(recorded)

    assert (np.diff(blocks, axis=1) == 1).all()
    assert recorded.start <= blocks.min() <= blocks.max() < recorded.stop


def test_a_pool_that_is_too_short_for_the_memory_of_the_scene_is_refused():
    short = NegotiationConfig(pool_ticks=64, anchors=16, heldout=16, pool_stride=1)

    with pytest.raises(ValueError, match=r"larger negotiation\.pool_stride"):
        TickPlan.of(short, TRAINING, 100)

"""Training until the loss is flat ends where it is flat, and learns as the trainer does."""

import pytest
import torch

from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.flat_training import FlatSchedule, is_flat, train_until_flat
from social_jepa.experiments.common.methods import BASELINES, Method, method_agent
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup, ring_poses

SCHEDULE = FlatSchedule(block=10, tolerance=0.01, max_steps=40, decay=5)
TINY = build_config(AgentSetup, {
    **QUICK_SETUP, "scene": {"renderer": "toy", "frame_size": 16, "objects": 1},
    "training": {"steps": 20, "segments": 8, "replay_ticks": 256, "core_eval_ticks": 64},
}, [])  # fmt: skip
AUTOENCODER = Method("autoencoder", BASELINES + "Autoencoder")


def train(schedule, seed=0):
    """Return the steps, whether the loss was flat, the weights, and the steps that were reported."""
    reported = []
    with method_agent(AUTOENCODER, TINY, seed, 0, ring_poses(TINY, 1)) as agent:
        steps, flat = train_until_flat(agent, schedule, reported.append)
        weights = torch.cat([value.flatten() for value in agent.model.parameters()]).detach().clone()
    return steps, flat, weights, reported


def test_a_loss_is_flat_where_a_block_hardly_falls_compared_with_the_whole_fall():
    falling = [100.0 - step for step in range(60)]
    settled = [100.0] * 10 + [1.0] * 10

    assert not is_flat(falling[:30], SCHEDULE)
    assert is_flat([*settled, *[0.5] * 10], SCHEDULE)
    assert not is_flat([*settled, *[0.5] * 9], SCHEDULE)  # no whole block
    assert not is_flat(settled, SCHEDULE)  # too early to say
    assert not is_flat([*settled, *[-1.0] * 10], SCHEDULE)


def test_a_constant_of_the_loss_does_not_make_it_flat():
    falling = [50.0 + 2.0**-step for step in range(0, 30)]
    slow = [50.0 + 1 - step / 30 for step in range(30)]

    assert is_flat(falling, SCHEDULE)
    assert not is_flat(slow, SCHEDULE)


def test_a_loss_that_does_not_fall_is_flat():
    assert is_flat([1.0] * 30, SCHEDULE)
    assert is_flat([1.0] * 10 + [2.0] * 20, SCHEDULE)


def test_training_ends_after_the_largest_number_of_steps_and_the_decay():
    steps, flat, _, reported = train(FlatSchedule(block=10, tolerance=1e-9, max_steps=40, decay=5))

    assert (steps, flat) == (45, False)
    assert reported == list(range(1, 46))


def test_training_ends_early_where_the_loss_is_flat_and_equal_arguments_give_equal_weights():
    schedule = FlatSchedule(block=10, tolerance=0.9, max_steps=1000, decay=5)
    steps, flat, weights, _ = train(schedule)
    again = train(schedule)

    assert flat
    assert steps < 100
    assert steps % 10 == 5
    assert torch.equal(weights, again[2])
    assert not torch.equal(weights, train(schedule, seed=1)[2])


@pytest.mark.parametrize(
    "change", [{"block": 0}, {"decay": 0}, {"max_steps": 449}, {"tolerance": 0.0}, {"tolerance": 1.0}]
)
def test_schedules_that_cannot_end_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        FlatSchedule(**change)

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.restoring import restore_agent
from agents.training.checkpoint import CheckpointError
from agents.training.settings import TrainingConfig
from agents.training.trainer import Trainer, lr_factor
from env.camera import RingConfig, ring_pose
from env.scene import BodyEvent
from tests.support.swarm import tiny_spec

SHORT = {"steps": 6, "segments": 8, "replay_ticks": 64, "core_eval_ticks": 64, "drift_check_every": 2}
MOVED = ring_pose(2, RingConfig())


@pytest.fixture
def agent(tmp_path):
    made = Agent(tiny_spec(0, tmp_path, **SHORT, new_ticks_per_step=3, online_new_ticks=16))
    yield made
    made.close()


def test_the_lr_factor_warms_up_decays_and_then_stays_at_its_online_value():
    after = [lr_factor(step, 6, 0.5, 0.05) for step in (6, 7, 1000)]

    assert after == [0.05] * 3
    assert lr_factor(6, 6, 0.5) == 0.0
    assert lr_factor(5, 6, 0.5, 0.05) == lr_factor(5, 6, 0.5)


def test_the_scheduled_steps_do_not_depend_on_the_online_settings(tmp_path):
    losses = []
    for new_ticks, factor in ((16, 0.05), (64, 1.0)):
        options = SHORT | {"online_new_ticks": new_ticks, "online_lr_factor": factor}
        agent = Agent(tiny_spec(0, tmp_path / str(new_ticks), **options))
        agent.train()
        losses.append(agent.trainer.losses)

    assert losses[0] == losses[1]


@pytest.mark.parametrize(("scheduled", "online"), [(3, 16), (3, 0), (0, 5), (7, 2)])
def test_the_replay_buffer_advances_by_the_new_ticks_of_its_settings(agent, scheduled, online):
    config = TrainingConfig(**SHORT, new_ticks_per_step=scheduled, online_new_ticks=online)
    trainer = Trainer(agent.model, agent.recorder, 100, config, (0,))
    agent.model.calibrate(torch.from_numpy(agent.recorder.record(range(64)).frames))
    stops = []
    trainer.run(lambda: stops.append(trainer.replay_buffer.ticks.stop), lambda: False, until=12)

    by_hand = [164 + scheduled * step for step in range(7)]
    by_hand += [by_hand[6] + max(scheduled, online) * step for step in range(1, 6)]
    assert stops == by_hand
    assert len(trainer.replay_buffer.ticks) == 64


def test_online_training_uses_the_online_lr_factor(agent):
    agent.train()
    agent.train(until=8)

    config = agent.spec.training
    assert [group["lr"] for group in agent.trainer.optimizer.param_groups] == [
        config.learning_rate * config.online_lr_factor
    ]
    assert len(agent.trainer.losses) == agent.trainer.step == 8


@pytest.mark.parametrize("cut", [5, 6, 7])
def test_online_training_resumed_from_a_checkpoint_equals_an_uninterrupted_one(tmp_path, cut):
    whole, split = (
        tiny_spec(0, tmp_path / name, **SHORT, new_ticks_per_step=3, online_new_ticks=16)
        for name in ("whole", "split")
    )
    uninterrupted = Agent(whole)
    uninterrupted.train()
    uninterrupted.train(until=12)
    first = Agent(split)
    first.train(until=cut)
    second = Agent(split)
    restore_agent(second)
    second.train(until=12)

    assert second.trainer.losses == uninterrupted.trainer.losses
    assert second.files.checkpoint == uninterrupted.files.checkpoint


def test_moving_the_camera_restarts_the_schedule_from_the_current_weights(agent, tmp_path):
    agent.train()
    agent.publish()
    weights = {name: tensor.clone() for name, tensor in agent.model.state_dict().items()}
    agent.move(MOVED, 1)

    assert (agent.trainer.step, agent.trainer.losses, agent.published, agent.basis) == (0, [], None, None)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in agent.model.state_dict().items())
    assert agent.recorder.pose == MOVED
    assert agent.train()
    assert agent.publish().pose_version == 1


def test_pose_versions_draw_their_segments_in_different_orders(agent):
    first = agent.trainer.seed
    agent.move(MOVED, 1)
    second = agent.trainer.seed
    agent.move(MOVED, 2)

    assert len({first, second, agent.trainer.seed}) == 3


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_move_needs_no_room_beside_the_replay_buffer_that_there_is(agent, monkeypatch):
    agent.train()
    before = agent.trainer
    monkeypatch.setattr(os, "posix_fallocate", full_disk, raising=False)
    with pytest.raises(OSError, match="cannot be kept in a file"):
        Trainer(agent.model, agent.recorder, 0, agent.spec.training, (0,))
    agent.move(MOVED, 1)

    assert agent.trainer is not before
    assert len(agent.trainer.replay_buffer) == 0
    agent.train()
    assert np.array_equal(
        agent.trainer.replay_buffer.read(agent.trainer.replay_buffer.ticks[-3:]),
        agent.recorder.record(np.array(agent.trainer.replay_buffer.ticks[-3:])).frames,
    )


def test_a_move_to_a_pose_that_sees_nothing_changes_nothing(agent):
    agent.train()
    before = (agent.spec, agent.trainer.step)
    with pytest.raises(ValueError, match="sees nothing"):
        agent.move(replace(MOVED, yaw=MOVED.yaw + 180), 1)

    assert (agent.spec, agent.trainer.step) == before


def test_only_the_weights_are_restored_from_a_checkpoint_of_another_pose_version(agent, tmp_path):
    agent.train()
    agent.publish()
    resumed = Agent(replace(agent.spec, pose=MOVED, pose_version=1))
    restore_agent(resumed)

    assert (resumed.trainer.step, resumed.trainer.losses, resumed.basis, resumed.files.checkpoint) == (
        0,
        [],
        None,
        "",
    )
    assert resumed.trainer.optimizer.state_dict()["state"] == {}
    model = agent.model.state_dict()
    assert all(torch.equal(tensor, model[name]) for name, tensor in resumed.model.state_dict().items())


def test_a_checkpoint_of_another_agent_is_refused(agent):
    agent.train()
    other = Agent(replace(agent.spec, name="agent-9"))

    with pytest.raises(CheckpointError, match="of another name"):
        restore_agent(other)


def test_a_body_is_visible_from_the_tick_of_its_event_on(tmp_path):
    spec = tiny_spec(0, tmp_path, agents=1, **SHORT)
    agent = Agent(spec)
    before = agent.recorder.record(range(90, 110)).frames
    agent.set_body_events([*spec.events, BodyEvent(100, "agent-2", replace(MOVED, x=0.0, y=1.5, z=0.0))])
    after = agent.recorder.record(range(90, 110)).frames

    assert (before[:10] == after[:10]).all()
    assert (before[10:] != after[10:]).any()
    assert agent.scene.fingerprint == Agent(spec).scene.fingerprint

from dataclasses import replace

import pytest
import torch

from agents.agent import Agent
from agents.settings import TrainingConfig
from agents.training.checkpoint import CheckpointError
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


def test_the_rate_rises_falls_and_then_stays_where_the_settings_say():
    after = [lr_factor(step, 6, 0.5, 0.05) for step in (6, 7, 1000)]

    assert after == [0.05] * 3
    assert lr_factor(6, 6, 0.5) == 0.0
    assert lr_factor(5, 6, 0.5, 0.05) == lr_factor(5, 6, 0.5)


def test_the_course_itself_does_not_depend_on_what_comes_after(tmp_path):
    losses = []
    for onward, afterwards in ((16, 0.05), (64, 1.0)):
        own = Agent(
            tiny_spec(
                0, tmp_path / str(onward), **SHORT, online_new_ticks=onward, online_lr_factor=afterwards
            )
        )
        own.train()
        losses.append(own.trainer.losses)

    assert losses[0] == losses[1]


@pytest.mark.parametrize(("fresh", "onward"), [(3, 16), (3, 0), (0, 5), (7, 2)])
def test_the_window_moves_on_by_what_the_settings_say_before_and_after_the_course(agent, fresh, onward):
    config = TrainingConfig(**SHORT, new_ticks_per_step=fresh, online_new_ticks=onward)
    trainer = Trainer(agent.model, agent.recorder, 100, config, (0,))
    agent.model.calibrate(torch.from_numpy(agent.recorder.record(range(64)).frames))
    stops = []
    trainer.run(lambda: stops.append(trainer.replay_buffer.ticks.stop), lambda: False, until=12)

    by_hand = [164 + fresh * step for step in range(7)]
    by_hand += [by_hand[6] + max(fresh, onward) * step for step in range(1, 6)]
    assert stops == by_hand
    assert len(trainer.replay_buffer.ticks) == 64


def test_learning_on_uses_the_rate_of_afterwards(agent):
    agent.train()
    agent.train(until=8)

    config = agent.spec.training
    assert [group["lr"] for group in agent.trainer.optimizer.param_groups] == [
        config.learning_rate * config.online_lr_factor
    ]
    assert len(agent.trainer.losses) == agent.trainer.step == 8


@pytest.mark.parametrize("cut", [5, 6, 7])
def test_learning_on_after_a_stop_equals_learning_on_without_one(tmp_path, cut):
    whole, parted = (
        tiny_spec(0, tmp_path / name, **SHORT, new_ticks_per_step=3, online_new_ticks=16)
        for name in ("whole", "parted")
    )
    uncut = Agent(whole)
    uncut.train()
    uncut.train(until=12)
    first = Agent(parted)
    first.train(until=cut)
    second = Agent(parted)
    second.load()
    second.train(until=12)

    assert second.trainer.losses == uncut.trainer.losses
    assert second.checkpoint == uncut.checkpoint


def test_a_camera_that_moves_begins_another_course_from_the_weights_it_had(agent, tmp_path):
    agent.train()
    agent.publish()
    weights = {name: tensor.clone() for name, tensor in agent.model.state_dict().items()}
    agent.move(MOVED, 1)

    assert (agent.trainer.step, agent.trainer.losses, agent.published, agent.basis) == (0, [], None, None)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in agent.model.state_dict().items())
    assert agent.recorder.pose == MOVED
    assert agent.train()
    assert agent.publish().pose_version == 1


def test_eras_take_their_segments_in_other_orders(agent):
    first = agent.trainer.seed
    agent.move(MOVED, 1)
    second = agent.trainer.seed
    agent.move(MOVED, 2)

    assert len({first, second, agent.trainer.seed}) == 3


def test_a_camera_that_cannot_stand_there_stays_where_it_is(agent):
    agent.train()
    before = (agent.spec, agent.trainer.step)
    with pytest.raises(ValueError, match="sees nothing"):
        agent.move(replace(MOVED, yaw=MOVED.yaw + 180), 1)

    assert (agent.spec, agent.trainer.step) == before


def test_of_a_checkpoint_of_another_era_only_the_weights_hold(agent, tmp_path):
    agent.train()
    agent.publish()
    late = Agent(replace(agent.spec, pose=MOVED, pose_version=1))
    late.load()

    assert (late.trainer.step, late.trainer.losses, late.basis, late.checkpoint) == (0, [], None, "")
    assert late.trainer.optimizer.state_dict()["state"] == {}
    model = agent.model.state_dict()
    assert all(torch.equal(tensor, model[name]) for name, tensor in late.model.state_dict().items())


def test_a_checkpoint_of_another_agent_is_no_start(agent):
    agent.train()
    other = Agent(replace(agent.spec, name="agent-9"))

    with pytest.raises(CheckpointError, match="of another name"):
        other.load()


def test_a_body_that_comes_is_seen_from_its_tick_on_and_not_before(tmp_path):
    spec = tiny_spec(0, tmp_path, agents=1, **SHORT)
    agent = Agent(spec)
    before = agent.recorder.record(range(90, 110)).frames
    agent.set_body_events([*spec.events, BodyEvent(100, "agent-2", replace(MOVED, x=0.0, y=1.5, z=0.0))])
    after = agent.recorder.record(range(90, 110)).frames

    assert (before[:10] == after[:10]).all()
    assert (before[10:] != after[10:]).any()
    assert agent.scene.fingerprint == Agent(spec).scene.fingerprint

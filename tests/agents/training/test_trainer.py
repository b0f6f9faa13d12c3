import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.models.settings import OBJECTIVES
from agents.models.world_model import WorldModel
from agents.restoring import restore_agent
from agents.training.checkpoint import read_checkpoint
from agents.training.settings import TrainingConfig
from agents.training.trainer import CHUNK, Trainer, TrainingError, lr_factor
from tests.support.swarm import tiny_spec

SHORT = {"steps": 6, "segments": 8, "replay_ticks": 64, "core_eval_ticks": 64}


def test_a_trainer_that_is_far_ahead_renders_the_ticks_of_its_buffer_alone_and_asks_often(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, steps=4, replay_ticks=1024, online_new_ticks=16))
    trainer, rendered, asked = agent.trainer, [], []
    trainer.step = 4 + 200  # 3,200 ticks beyond the first buffer
    render = agent.recorder.render_ticks
    agent.recorder.render_ticks = lambda ticks: rendered.extend(ticks.tolist()) or render(ticks)

    assert trainer.record(lambda: asked.append(len(rendered)))
    agent.close()

    assert rendered == list(trainer.replay_buffer.ticks)
    assert len(rendered) == trainer.buffer_ticks
    assert max(np.diff([*asked, len(rendered)])) <= CHUNK


class RecordingModel(WorldModel):
    """A custom world model with one weight that stores every frame and random number that it gets."""

    dim = 1

    def __init__(self, slope=1.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.slope = slope
        self.frames, self.drawn = [], []

    def calibrate(self, frames):
        """Do nothing."""

    def loss(self, frames, generator):
        self.frames.append(frames)
        self.drawn.append(torch.rand(1, generator=generator).item())
        return (self.slope * self.weight).sum(), {}

    def encode(self, frames):
        return frames.float().mean((1, 2, 3))[:, None]

    def predict(self, latent):
        return latent


@pytest.fixture
def recorder(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, **SHORT))
    yield agent.recorder
    agent.close()


def train_recording_model(recorder, seed=(0, 0, 1), **changes):
    trainer = Trainer(RecordingModel(), recorder, 100, TrainingConfig(**{**SHORT, **changes}), seed)
    assert trainer.run(lambda: None, lambda: False)
    return trainer


def short_spec(folder, index=0, objective="whitened", **training):
    spec = tiny_spec(index, folder, **{**SHORT, **training})
    return replace(spec, model=replace(spec.model, objective=objective))


def stop_after(agent, steps):
    return lambda: agent.trainer.step >= steps


@pytest.mark.parametrize(
    ("objective", "new_ticks", "cut"),
    [
        ("whitened", 0, 3),
        ("whitened", 16, 1),
        ("vicreg", 0, 5),
        ("sigreg", 3, 3),
        ("log_det", 100, 2),
        ("ema", 0, 3),
    ],
)
def test_a_resumed_training_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path, objective, new_ticks, cut):
    whole = Agent(short_spec(tmp_path / "whole", objective=objective, new_ticks_per_step=new_ticks))
    assert whole.train()
    split = short_spec(tmp_path / "split", objective=objective, new_ticks_per_step=new_ticks)
    first = Agent(split)
    assert not first.train(stop_after(first, cut))
    second = Agent(split)
    restore_agent(second)
    assert second.trainer.step == cut
    assert second.train()

    assert second.trainer.losses == whole.trainer.losses
    (tensors, facts, hashed), (expected_tensors, expected, _) = (
        read_checkpoint(second.files.checkpoint_path),
        read_checkpoint(whole.files.checkpoint_path),
    )
    assert set(tensors) == set(expected_tensors)
    for name, tensor in expected_tensors.items():
        assert tensors[name].numpy().tobytes() == tensor.numpy().tobytes()
    assert facts == expected
    assert hashed == second.files.checkpoint == whole.files.checkpoint


def test_an_agent_stopped_before_its_first_step_resumes_like_a_new_one(tmp_path):
    whole, split = short_spec(tmp_path / "whole"), short_spec(tmp_path / "split")
    first = Agent(split)
    assert not first.train(lambda: True)
    assert first.files.checkpoint_path.exists()
    agents = Agent(whole), Agent(split)
    restore_agent(agents[1])
    for agent in agents:
        agent.train()

    assert agents[0].files.checkpoint == agents[1].files.checkpoint


def test_stopping_takes_no_further_step_and_saves_a_checkpoint(tmp_path):
    agent = Agent(short_spec(tmp_path, steps=1000))
    assert not agent.train(stop_after(agent, 2))

    assert agent.trainer.step == len(agent.trainer.losses) == 2
    assert agent.phase == "stopped"
    assert read_checkpoint(agent.files.checkpoint_path)[1]["step"] == 2


def test_a_checkpoint_is_written_every_checkpoint_every_steps(tmp_path):
    agent = Agent(short_spec(tmp_path, checkpoint_every=2))
    written = []

    def record_step():
        path = agent.files.checkpoint_path
        written.append(read_checkpoint(path)[1]["step"] if path.exists() else None)
        return False

    agent.train(record_step)
    assert {step for step in written if step is not None} == {2, 4}
    assert read_checkpoint(agent.files.checkpoint_path)[1]["step"] == 6
    assert read_checkpoint(agent.files.checkpoint_path)[1]["losses"] == agent.trainer.losses


def test_agents_of_one_seed_have_different_weights_segments_and_draws(tmp_path, recorder):
    first, second = (Agent(short_spec(tmp_path, index)) for index in (0, 1))
    weights = [agent.model.encoder[0].weight for agent in (first, second)]
    assert (weights[0] != weights[1]).all()

    trainers = [train_recording_model(recorder, (0, index, 1)) for index in (0, 1)]
    assert not torch.equal(trainers[0].model.frames[0], trainers[1].model.frames[0])
    assert not set(trainers[0].model.drawn) & set(trainers[1].model.drawn)


def test_training_does_not_depend_on_the_number_of_agents(tmp_path):
    """Without bodies in the scene, which change the frames."""
    losses = []
    for count in (2, 5):
        spec = tiny_spec(1, tmp_path / str(count), agents=count, **SHORT)
        agent = Agent(replace(spec, scene=replace(spec.scene, bodies=False)))
        agent.train()
        losses.append(agent.trainer.losses)

    assert losses[0] == losses[1]


@pytest.mark.parametrize("new_ticks", [0, 5, 64, 200])
def test_segments_are_consecutive_ticks_of_the_replay_buffer_at_their_step(recorder, new_ticks):
    trainer = train_recording_model(recorder, new_ticks_per_step=new_ticks)
    assert trainer.frames == 6 * 8 * 4
    for step, segments in enumerate(trainer.model.frames):
        buffer = range(100 + step * new_ticks, 164 + step * new_ticks)
        tick = {recorder.render_views(at).tobytes(): at for at in buffer}
        ticks = np.array([[tick[frame.numpy().tobytes()] for frame in segment] for segment in segments])
        assert ticks.shape == (8, 4)
        assert (np.diff(ticks) == 1).all()
        assert len(set(ticks[:, 0])) > 1


def test_the_draws_of_a_step_do_not_depend_on_earlier_steps(recorder):
    whole, resumed = (
        train_recording_model(recorder),
        Trainer(RecordingModel(), recorder, 100, TrainingConfig(**SHORT), (0, 0, 1)),
    )
    resumed.step = 4
    resumed.run(lambda: None, lambda: False)

    assert resumed.model.drawn == whole.model.drawn[4:]
    assert torch.equal(resumed.model.frames[0], whole.model.frames[4])
    assert len(set(whole.model.drawn)) == 6


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training_with_a_remedy_and_saves_nothing(tmp_path, objective, value):
    agent = Agent(short_spec(tmp_path, objective=objective))
    with torch.no_grad():
        agent.model.encoder[0].weight.fill_(value)
    with pytest.raises(TrainingError, match=r"at step 0; try a lower training.learning_rate \(now 0.005\)"):
        agent.train()

    assert agent.trainer.losses == []
    assert not agent.files.checkpoint_path.exists()


def test_a_loss_that_is_not_finite_does_not_change_the_last_checkpoint(tmp_path):
    agent = Agent(short_spec(tmp_path))
    agent.train(stop_after(agent, 2))
    before = agent.files.checkpoint_path.read_bytes()
    with torch.no_grad():
        agent.model.encoder[-1].weight[0] = math.nan
    with pytest.raises(TrainingError, match="at step 2"):
        agent.train()

    assert agent.files.checkpoint_path.read_bytes() == before


@pytest.mark.parametrize("steps", [1, 2, 10, 300])
@pytest.mark.parametrize("warmup", [0.0, 0.15, 0.99])
def test_the_lr_factor_rises_to_its_peak_once_and_then_falls(steps, warmup):
    factors = [lr_factor(step, steps, warmup) for step in range(steps)]
    peak = int(np.argmax(factors))

    assert max(factors) == 1
    assert all(0 < value <= 1 for value in factors)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert peak <= max(1, round(warmup * steps))


def test_the_lr_factor_follows_its_formula():
    assert [lr_factor(step, 8, 0.5) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert [lr_factor(step, 8, 0.5) for step in (4, 6)] == pytest.approx([1.0, 0.5])


def test_a_step_uses_the_learning_rate_and_gradient_clipping_of_the_settings(recorder):
    trainer = Trainer(
        RecordingModel(1e6),
        recorder,
        100,
        TrainingConfig(**SHORT, grad_clip_norm=2.0, weight_decay=0.0),
        (0,),
    )
    steps = []

    def record_step():
        steps.append((trainer.optimizer.param_groups[0]["lr"], float(trainer.model.weight.grad.norm())))

    trainer.run(record_step, lambda: False)
    assert [lr for lr, _ in steps] == [5e-3 * lr_factor(step, 6, 0.15) for step in range(6)]
    assert [norm for _, norm in steps] == pytest.approx([2.0] * 6)
    assert float(trainer.model.weight.detach()) == pytest.approx(
        -sum(lr for lr, _ in steps), rel=1e-3
    )  # Adam's first steps


def test_training_is_the_same_with_frames_in_a_file_and_in_memory(tmp_path):
    weights = []
    for storage in ("file", "memory"):
        spec = tiny_spec(0, tmp_path / storage, **SHORT, new_ticks_per_step=5, replay_storage=storage)
        agent = Agent(spec)
        assert agent.trainer.run(lambda: None, lambda: False)
        weights.append(torch.cat([parameter.detach().reshape(-1) for parameter in agent.model.parameters()]))
        agent.close()
    assert torch.equal(*weights)

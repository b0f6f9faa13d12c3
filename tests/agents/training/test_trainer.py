import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.models.settings import OBJECTIVES
from agents.models.world_model import WorldModel
from agents.training.checkpoint import read_checkpoint
from agents.training.settings import TrainingConfig
from agents.training.trainer import Trainer, TrainingError, lr_factor
from tests.support.swarm import tiny_spec

SHORT = {"steps": 6, "segments": 8, "replay_ticks": 64, "core_eval_ticks": 64}


class Witness(WorldModel):
    """A user's own world model, which learns one number and remembers all that it was shown."""

    dim = 1

    def __init__(self, slope=1.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.slope = slope
        self.seen, self.drawn = [], []

    def calibrate(self, frames):
        """Need nothing."""

    def loss(self, frames, generator):
        self.seen.append(frames)
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


def train_witness(recorder, seed=(0, 0, 1), **changes):
    trainer = Trainer(Witness(), recorder, 100, TrainingConfig(**{**SHORT, **changes}), seed)
    assert trainer.run(lambda: None, lambda: False)
    return trainer


def short_spec(folder, index=0, objective="whitened", **training):
    spec = tiny_spec(index, folder, **{**SHORT, **training})
    return replace(spec, model=replace(spec.model, objective=objective))


def stop_after(agent, steps):
    return lambda: agent.trainer.step >= steps


@pytest.mark.parametrize(
    ("objective", "fresh", "cut"),
    [("whitened", 0, 3), ("whitened", 16, 1), ("vicreg", 0, 5), ("sigreg", 3, 3), ("log_det", 100, 2)],
)
def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not_bit_for_bit(
    tmp_path, objective, fresh, cut
):
    whole = Agent(short_spec(tmp_path / "whole", objective=objective, new_ticks_per_step=fresh))
    assert whole.train()
    parted = short_spec(tmp_path / "parted", objective=objective, new_ticks_per_step=fresh)
    first = Agent(parted)
    assert not first.train(stop_after(first, cut))
    second = Agent(parted)
    second.load()
    assert second.trainer.step == cut
    assert second.train()

    assert second.trainer.losses == whole.trainer.losses
    (theirs, facts, hashed), (ours, expected, _) = (
        read_checkpoint(second.checkpoint_path),
        read_checkpoint(whole.checkpoint_path),
    )
    assert set(theirs) == set(ours)
    assert all(theirs[name].numpy().tobytes() == ours[name].numpy().tobytes() for name in ours)
    assert facts == expected
    assert hashed == second.checkpoint == whole.checkpoint


def test_an_agent_stopped_before_its_first_step_goes_on_as_if_it_had_not_been(tmp_path):
    whole, parted = short_spec(tmp_path / "whole"), short_spec(tmp_path / "parted")
    first = Agent(parted)
    assert not first.train(lambda: True)
    assert first.checkpoint_path.exists()
    agents = Agent(whole), Agent(parted)
    agents[1].load()
    for agent in agents:
        agent.train()

    assert agents[0].checkpoint == agents[1].checkpoint


def test_asked_to_stop_it_takes_no_further_step_and_saves(tmp_path):
    agent = Agent(short_spec(tmp_path, steps=1000))
    assert not agent.train(stop_after(agent, 2))

    assert agent.trainer.step == len(agent.trainer.losses) == 2
    assert agent.phase == "stopped"
    assert read_checkpoint(agent.checkpoint_path)[1]["step"] == 2


def test_checkpoints_are_written_every_so_many_steps(tmp_path):
    agent = Agent(short_spec(tmp_path, checkpoint_every=2))
    written = []

    def look():
        written.append(
            read_checkpoint(agent.checkpoint_path)[1]["step"] if agent.checkpoint_path.exists() else None
        )
        return False

    agent.train(look)
    assert {step for step in written if step is not None} == {2, 4}
    assert read_checkpoint(agent.checkpoint_path)[1]["step"] == 6
    assert read_checkpoint(agent.checkpoint_path)[1]["losses"] == agent.trainer.losses


def test_agents_of_one_seed_start_elsewhere_and_see_other_segments(tmp_path, recorder):
    first, second = (Agent(short_spec(tmp_path, index)) for index in (0, 1))
    weights = [agent.model.encoder[0].weight for agent in (first, second)]
    assert (weights[0] != weights[1]).all()

    shown = [train_witness(recorder, (0, index, 1)) for index in (0, 1)]
    assert not torch.equal(shown[0].model.seen[0], shown[1].model.seen[0])
    assert not set(shown[0].model.drawn) & set(shown[1].model.drawn)


def test_what_an_agent_learns_does_not_depend_on_how_many_there_are(tmp_path):
    """Bodies aside: with them, more peers are more to see."""
    losses = []
    for count in (2, 5):
        spec = tiny_spec(1, tmp_path / str(count), agents=count, **SHORT)
        agent = Agent(replace(spec, scene=replace(spec.scene, bodies=False)))
        agent.train()
        losses.append(agent.trainer.losses)

    assert losses[0] == losses[1]


@pytest.mark.parametrize("fresh", [0, 5, 64, 200])
def test_segments_are_consecutive_ticks_of_the_window_that_the_step_should_have(recorder, fresh):
    trainer = train_witness(recorder, new_ticks_per_step=fresh)
    assert trainer.frames == 6 * 8 * 4
    for step, segments in enumerate(trainer.model.seen):
        held = range(100 + step * fresh, 164 + step * fresh)
        tick = {recorder.render_views(at).tobytes(): at for at in held}
        ticks = np.array([[tick[frame.numpy().tobytes()] for frame in segment] for segment in segments])
        assert ticks.shape == (8, 4)
        assert (np.diff(ticks) == 1).all()
        assert len(set(ticks[:, 0])) > 1


def test_the_same_step_draws_the_same_whatever_came_before(recorder):
    whole, late = (
        train_witness(recorder),
        Trainer(Witness(), recorder, 100, TrainingConfig(**SHORT), (0, 0, 1)),
    )
    late.step = 4
    late.run(lambda: None, lambda: False)

    assert late.model.drawn == whole.model.drawn[4:]
    assert torch.equal(late.model.seen[0], whole.model.seen[4])
    assert len(set(whole.model.drawn)) == 6


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("spoilt", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_training_with_a_remedy_and_saves_nothing(tmp_path, objective, spoilt):
    agent = Agent(short_spec(tmp_path, objective=objective))
    with torch.no_grad():
        agent.model.encoder[0].weight.fill_(spoilt)
    with pytest.raises(TrainingError, match=r"at step 0; try a lower training.learning_rate \(now 0.005\)"):
        agent.train()

    assert agent.trainer.losses == []
    assert not agent.checkpoint_path.exists()


def test_a_step_that_blew_up_leaves_the_last_checkpoint_as_it_was(tmp_path):
    agent = Agent(short_spec(tmp_path))
    agent.train(stop_after(agent, 2))
    before = agent.checkpoint_path.read_bytes()
    with torch.no_grad():
        agent.model.encoder[-1].weight[0] = math.nan
    with pytest.raises(TrainingError, match="at step 2"):
        agent.train()

    assert agent.checkpoint_path.read_bytes() == before


@pytest.mark.parametrize("steps", [1, 2, 10, 300])
@pytest.mark.parametrize("warmup", [0.0, 0.15, 0.99])
def test_the_rate_rises_to_its_peak_once_and_then_only_falls(steps, warmup):
    rates = [lr_factor(step, steps, warmup) for step in range(steps)]
    peak = int(np.argmax(rates))

    assert max(rates) == 1
    assert all(0 < value <= 1 for value in rates)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert peak <= max(1, round(warmup * steps))


def test_the_rate_follows_its_formula_by_hand():
    assert [lr_factor(step, 8, 0.5) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert [lr_factor(step, 8, 0.5) for step in (4, 6)] == pytest.approx([1.0, 0.5])


def test_a_step_uses_the_rate_and_the_clip_that_the_settings_name(recorder):
    trainer = Trainer(
        Witness(1e6), recorder, 100, TrainingConfig(**SHORT, grad_clip_norm=2.0, weight_decay=0.0), (0,)
    )
    steps = []

    def look():
        steps.append((trainer.optimizer.param_groups[0]["lr"], float(trainer.model.weight.grad.norm())))

    trainer.run(look, lambda: False)
    assert [lr for lr, _ in steps] == [5e-3 * lr_factor(step, 6, 0.15) for step in range(6)]
    assert [norm for _, norm in steps] == pytest.approx([2.0] * 6)
    assert float(trainer.model.weight.detach()) == pytest.approx(
        -sum(lr for lr, _ in steps), rel=1e-3
    )  # Adam's first steps

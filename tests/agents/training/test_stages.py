"""Further encoders: what they must find, must not find, and what of a run they must not change."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from agents.agent import Agent
from agents.models.jepa import Jepa
from agents.models.settings import ModelConfig
from agents.restoring import restore_agent
from agents.training.stage_data import Latents, StageData
from agents.training.staged_core import StagedCore
from agents.training.stages import compose_again, remove_functions
from agents.training.trainer import TrainingError
from alignment.fit import fit_ridge
from alignment.score import r2
from env.scene import SceneConfig
from tests.support.swarm import tiny_spec

TICKS, PAIRS = 6000, 1024


def process(rate, generator, ticks=TICKS + 8 * PAIRS):
    """A process of unit variance and uniform values, bounded as a room bounds its objects, [T]."""
    noise = torch.randn(ticks, generator=generator, dtype=torch.float64)
    values = noise.clone()
    for tick in range(1, ticks):
        values[tick] = rate * values[tick - 1] + (1 - rate**2) ** 0.5 * noise[tick]
    return 3**0.5 * torch.erf(values / 2**0.5)


def latents_of(columns, generator, noise=0.01):
    """Latents that mix columns [T, D] with some noise: trained ticks, and pairs far apart."""
    mixing = torch.randn(columns.shape[1], columns.shape[1], generator=generator, dtype=torch.float64)
    noisy = noise * torch.randn(columns.shape, generator=generator, dtype=torch.float64)
    rows = (columns + noisy) @ mixing
    return Latents(rows[None, :TICKS], rows[TICKS:].unflatten(0, (PAIRS, 8))[:, :2])


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


@pytest.fixture
def slow(generator):
    return torch.stack([process(0.95, generator), process(0.9, generator)], 1)


def powers(factors):
    a, b = factors.T
    return torch.stack([a, b, a**2, a * b, b**2, a**3], 1)


@pytest.mark.parametrize("rate", [0.4, 0.7])
def test_a_factor_that_slow_ones_had_displaced_is_found_among_their_functions(rate, slow, generator):
    hidden = process(rate, generator)
    core = StagedCore(latents_of(powers(slow), generator))
    a, b = slow.T
    second = latents_of(torch.stack([hidden, a, a**2 * b, b**3], 1), generator, noise=0.15)

    new = core.find_axes(second, core.features(30))

    assert len(core.rates) == 2
    assert len(new.rates) == 1
    assert float(new.rates) == pytest.approx(rate, abs=0.1)
    core.add(nn.Linear(4, 4), second, new)
    assert torch.corrcoef(torch.stack([core.core.trained[0, :, 2], hidden[:TICKS]]))[0, 1].abs() > 0.98


def test_functions_of_the_core_and_noise_are_no_new_axes(slow, generator):
    core = StagedCore(latents_of(powers(slow), generator))
    a, b = slow.T
    noise = torch.randn(len(a), generator=generator, dtype=torch.float64)
    second = latents_of(torch.stack([a**2 * b**2, torch.tanh(a * b), noise, a + 2 * noise], 1), generator)

    assert len(core.find_axes(second, core.features(20)).rates) == 0


def bumps(factors, generator):
    """Brightness of 40 places that objects at these coordinates pass, [T, 40]: no polynomials of them."""
    places = 4 * torch.rand(40, generator=generator, dtype=torch.float64) - 2
    columns = torch.arange(40) % factors.shape[1]
    return torch.exp(-2 * (factors[:, columns] - places).square())


@pytest.mark.parametrize("contrast", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("rate", [0.5, 0.7])
def test_pixels_tell_whether_a_core_has_left_a_factor_whatever_its_contrast(rate, contrast, generator):
    seen = torch.stack([process(0.7, generator), process(0.6, generator)], 1)
    core = StagedCore(latents_of(powers(seen), generator))
    hidden = bumps(process(rate, generator)[:, None], generator)
    pixels = bumps(seen, generator) + contrast * hidden
    pixels = latents_of(torch.cat([pixels, torch.zeros_like(pixels)], 1), generator, noise=0.005)

    assert core.exhausts(pixels) == (contrast == 0)


def test_a_full_core_has_no_room(generator):
    factors = torch.stack([process(0.9, generator), process(0.5, generator)], 1)
    assert StagedCore(latents_of(factors, generator)).full


def test_removing_functions_leaves_no_correlation_with_them_and_keeps_what_is_independent(generator):
    functions = torch.randn(256, 20, generator=generator)
    free = torch.randn(256, 1, generator=generator)

    rest = remove_functions(
        torch.cat([functions @ torch.randn(20, 3, generator=generator), free], 1), functions
    )

    assert rest[:, :3].abs().max() < 0.05
    assert torch.corrcoef(torch.stack([rest[:, 3], free[:, 0]]))[0, 1] > 0.9


MIXED = SceneConfig(
    renderer="toy", frame_size=32, objects=2, bodies=False, autocorrelation=(0.95, 0.95, 0.6, 0.6)
)


def mixed_spec(folder, **model):
    spec = tiny_spec(0, folder, steps=240, segments=32, replay_ticks=3072, core_eval_ticks=2048)
    config = ModelConfig(dim=6, width=8, hidden=64, **model)
    return replace(spec, scene=MIXED, model=config)


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """An agent of a world of two rates, trained with stages."""
    agent = Agent(mixed_spec(tmp_path_factory.mktemp("staged")))
    assert agent.train()
    agent.publish()
    return agent


def probe(agent):
    """R2 of each true coordinate of the objects from the agent's core, on held-out ticks, [4]."""
    fit, held = (agent.encode_core(ticks) for ticks in (agent.ticks.fit, agent.ticks.heldout))
    states = [
        torch.from_numpy(agent.scene.factors(np.array(t))) for t in (agent.ticks.fit, agent.ticks.heldout)
    ]
    predicted = fit_ridge(fit, states[0])(held)
    return [r2(predicted[:, i : i + 1], states[1][:, i : i + 1]) for i in range(states[0].shape[1])]


def test_an_agent_finds_the_fast_object_that_the_slow_one_displaced(staged, tmp_path):
    single = Agent(mixed_spec(tmp_path, stages=1))
    assert single.train()
    single.publish()

    assert single.model.staged is None
    assert isinstance(staged.model, Jepa)
    assert staged.model.staged is not None
    assert min(probe(staged)[2:]) > 0.35 > 0.2 > max(probe(single)[2:])
    assert min(probe(staged)[:2]) > min(probe(single)[:2]) - 0.05


def test_an_agent_that_has_found_all_there_is_trains_no_further_encoder(tmp_path, caplog):
    spec = mixed_spec(tmp_path)
    agent = Agent(replace(spec, scene=replace(MIXED, objects=1, autocorrelation=(0.7,))))

    with caplog.at_level("INFO", logger="agents.training.stages"):
        assert agent.train()

    assert (agent.stage_steps, agent.model.staged, caplog.text) == (0, None, "")
    basis, _ = agent.find_axes()
    agent.publish()
    assert agent.basis.core_dim == 2
    torch.testing.assert_close(agent.basis.transform, basis.transform, rtol=0, atol=0)
    assert agent.further_encoders.take_axes() is None  # nothing of them is kept


def test_a_staged_model_survives_a_round_trip_through_its_checkpoint(staged, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    copy = Agent(replace(staged.spec, folder=str(folder)))
    copy.files.checkpoint_path.write_bytes(staged.files.checkpoint_path.read_bytes())
    copy.files.published_path.write_bytes(staged.files.published_path.read_bytes())

    restore_agent(copy)

    ticks = list(staged.ticks.heldout)[:64]
    assert torch.equal(copy.encode_core(ticks), staged.encode_core(ticks))
    assert torch.equal(copy.encode_ticks(ticks), staged.encode_ticks(ticks))
    assert copy.train()  # nothing is left to train
    assert torch.equal(copy.encode_ticks(ticks), staged.encode_ticks(ticks))


def test_further_encoders_keep_no_gradient_that_clipping_would_count(staged):
    of_stages = [each for stage in staged.model.staged.stages for each in stage.parameters()]

    assert of_stages
    assert all(parameter.grad is None for parameter in of_stages)


def test_an_agent_stopped_between_steps_of_a_stage_finds_the_same_axes_later(staged, tmp_path):
    calls = iter(range(10**6))
    agent = Agent(mixed_spec(tmp_path))
    assert agent.train(until=240 - 1)
    assert not agent.train(stop=lambda: next(calls) > 40)
    assert agent.model.staged is None

    resumed = Agent(agent.spec)
    restore_agent(resumed)
    assert resumed.train()

    ticks = list(staged.ticks.heldout)[:64]
    torch.testing.assert_close(resumed.encode_ticks(ticks), staged.encode_ticks(ticks))


def test_the_latent_keeps_its_size_and_the_first_encoder_its_leading_axes(staged):
    model, ticks = staged.model, list(staged.ticks.heldout)[:64]
    frames = torch.from_numpy(staged.recorder.record(np.array(ticks)).frames)
    with torch.no_grad():
        first = model.encode_by([model.encoder], frames)[0]
        composed = model.encode(frames)
    added = sum(stage.axes.shape[1] for stage in model.staged.stages)
    coordinates = (first - model.staged.origin) @ model.staged.transform

    assert composed.shape == (64, 6)
    assert added >= 1
    torch.testing.assert_close(composed[:, : 6 - added], coordinates[:, : 6 - added])


def test_predictions_of_a_composed_latent_beat_no_change(staged):
    start = staged.ticks.heldout.start
    now, later = (staged.encode_ticks(range(start + shift, start + shift + 200)) for shift in (0, 1))
    assert (staged.model.predict(now) - later).square().mean() < (now - later).square().mean()


def test_solving_the_axes_again_changes_nothing_when_no_encoder_has_changed(staged):
    ticks = list(staged.ticks.heldout)[:64]
    before = staged.encode_ticks(ticks)
    compose_again(staged.model, staged.further_encoders.data())
    torch.testing.assert_close(staged.encode_ticks(ticks), before, atol=1e-3, rtol=1e-3)


def test_an_encoder_that_has_lost_its_core_loses_the_further_encoders_with_it(staged):
    model = copy.deepcopy(staged.model)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()
    compose_again(model, staged.further_encoders.data())

    assert model.staged is None


def test_a_moved_agent_starts_again_with_one_encoder(staged, tmp_path):
    agent = Agent(replace(staged.spec, folder=str(tmp_path)))
    agent.files.checkpoint_path.write_bytes(staged.files.checkpoint_path.read_bytes())
    restore_agent(agent)
    agent.move(replace(agent.spec.pose, yaw=agent.spec.pose.yaw), 1)
    assert agent.model.staged is None
    assert agent.stage_steps is None


def test_a_loss_that_is_not_finite_ends_a_stage(staged):
    from agents.training.stages import find_stages

    model = Jepa(staged.spec.model, 32)
    data = staged.further_encoders.data()
    broken = StageData(data.trained, data.pairs, data.read)
    model.load_state_dict(staged.model.state_dict())
    model.compose(None)
    build = model.build_encoder

    def build_broken():
        encoder = build()
        nn.init.constant_(next(encoder.parameters()), torch.inf)
        return encoder

    model.build_encoder = build_broken
    core = StagedCore(broken.latents(model, model.encoder))
    with pytest.raises(TrainingError, match=r"training\.learning_rate"):
        find_stages(model, broken, core, staged.spec.training, (1,), lambda: False)


def test_agents_of_one_process_can_wait_for_one_another_while_they_read():
    together = threading.Barrier(2, timeout=60)

    def read(ticks):
        together.wait()
        return torch.zeros(len(ticks), 32, 32, 3, dtype=torch.uint8)

    def latents(number):
        model = Jepa(ModelConfig(dim=4, width=8, hidden=32), 32)
        return StageData(np.arange(8)[None], np.arange(16).reshape(8, 2), read).latents(model, model.encoder)

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(latents, range(2)):
            assert found.pairs.shape == (8, 2, 4)

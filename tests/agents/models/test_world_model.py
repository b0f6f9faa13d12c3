from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.precision import mixed_precision, uses_bf16
from agents.models.registry import build_world_model
from agents.models.settings import OBJECTIVES, ModelConfig
from agents.models.world_model import Jepa, LinearPredictor, ResidualPredictor, WorldModel
from env.recording import Recorder
from env.renderers.base import build_renderer
from env.scene import Scene
from tests.support.swarm import tiny_spec

CONFIG = ModelConfig(dim=4, width=4, hidden=16, precision="fp32")
CPU = torch.device("cpu")
every_objective = pytest.mark.parametrize("objective", OBJECTIVES)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """One object in the toy scene, 768 consecutive ticks, uint8 [T, 32, 32, 3]."""
    spec = tiny_spec(0, tmp_path_factory.mktemp("frames"))
    recorder = Recorder(Scene(spec.scene, 0), build_renderer(spec.scene), spec.pose)
    return torch.from_numpy(recorder.record(range(768)).frames)


def model(frames, objective="whitened", seed=(0, 0), **changes):
    built = build_world_model("jepa", replace(CONFIG, objective=objective, **changes), 32, seed)
    built.calibrate(frames[:256])
    return built


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def segments(frames, count=16, length=4):
    return frames[: count * length].unflatten(0, (count, length))


def trained(frames, objective, steps=60):
    torch.manual_seed(0)
    found, rng = model(frames, objective), np.random.default_rng(0)
    optimiser = torch.optim.Adam(found.parameters(), lr=5e-3)
    for step in range(steps):
        rows = torch.from_numpy(rng.integers(0, 508, 32))[:, None] + torch.arange(4)
        loss, _ = found.loss(frames[rows], generator(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return found.eval()


@every_objective
def test_a_loss_is_a_finite_number_with_named_parts(frames, objective):
    loss, parts = model(frames, objective).loss(segments(frames), generator())

    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert "prediction" in parts
    assert all(isinstance(part, float) and np.isfinite(part) for part in parts.values())


@every_objective
def test_the_gradient_reaches_every_parameter(frames, objective):
    found = model(frames, objective)
    found.loss(segments(frames), generator())[0].backward()
    still = [
        name for name, weight in found.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    # no objective but SIGReg knows where the origin is
    blind = {"encoder.10.bias"} if objective == "whitened" else set()

    assert set(still) <= blind
    assert all(torch.isfinite(weight.grad).all() for weight in found.parameters() if weight.grad is not None)


@every_objective
def test_equal_generators_give_equal_losses(frames, objective):
    first, second = (model(frames, objective).loss(segments(frames), generator(3))[0] for _ in range(2))
    assert first == second


@every_objective
def test_a_code_is_float32_and_does_not_depend_on_who_else_is_looked_at(frames, objective):
    found = model(frames, objective).eval()
    with torch.no_grad():
        together = found.encode(frames[:32])
        alone = torch.cat([found.encode(frames[row : row + 1]) for row in range(32)])
        again = found.encode(frames[:32].flip(0)).flip(0)

    assert together.shape == (32, found.dim) == (32, 4)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together, again, atol=1e-5, rtol=1e-5)


@every_objective
def test_after_training_a_prediction_beats_copying_on_ticks_never_trained_on(frames, objective):
    found = trained(frames, objective)
    with torch.no_grad():
        latent = found.encode(frames[520:])
        now, then = latent[:-1], latent[1:]
        missed = (found.predict(now) - then).square().mean()
        copied = (now - then).square().mean()

    assert found.predict(now).shape == now.shape
    assert missed < 0.95 * copied


def test_first_weights_follow_from_the_seed_alone_and_the_global_stream_is_left_as_it_was(frames):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build_world_model("jepa", CONFIG, 32, (3, 1, 0))
    assert (torch.random.get_rng_state() == before).all()
    torch.manual_seed(2)
    same, other = (build_world_model("jepa", CONFIG, 32, seed) for seed in ((3, 1, 0), (3, 2, 0)))

    weights = [[part for part in found.parameters() if part.ndim > 1] for found in (first, same, other)]
    assert all((a == b).all() for a, b in zip(weights[0], weights[1], strict=True))
    assert all((a != b).any() for a, b in zip(weights[0], weights[2], strict=True))


def test_an_unknown_kind_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match="did you mean 'jepa'"):
        build_world_model("jeppa", CONFIG, 32, (0,))


def test_every_kind_is_a_world_model():
    assert isinstance(build_world_model("jepa", CONFIG, 32, (0,)), WorldModel)
    with pytest.raises(TypeError, match="abstract"):
        WorldModel()


def test_a_residual_predictor_starts_near_copying():
    torch.manual_seed(0)
    latent = torch.randn(100, 4)
    gap = ResidualPredictor(4)(latent) - latent
    assert gap.square().mean() < 0.2


def test_a_linear_predictor_starts_as_a_copy_and_settles_on_the_least_squares_map():
    predictor, rng = LinearPredictor(3), np.random.default_rng(0)
    now = rng.normal(size=(500, 3)) + 4
    then = (now - 4) @ rng.normal(size=(3, 3)) + 4 + 0.1 * rng.normal(size=(500, 3))
    pair = (torch.from_numpy(now).float(), torch.from_numpy(then).float())
    assert (predictor(pair[0]) == pair[0]).all()
    for _ in range(150):
        predictor.update(*pair)

    middle = (now.mean(0) + then.mean(0)) / 2
    best = np.linalg.lstsq(now - middle, then - middle)[0]
    np.testing.assert_allclose(predictor.weight, best, atol=1e-2)
    assert (predictor(pair[0]) - pair[1]).square().mean() < 0.02


def test_a_linear_predictor_survives_a_constant_encoder():
    predictor = LinearPredictor(3)
    predictor.update(torch.ones(8, 3), torch.ones(8, 3))
    assert torch.isfinite(predictor(torch.ones(8, 3))).all()


@pytest.mark.parametrize(("precision", "wanted"), [("bf16", True), ("fp32", False)])
def test_a_precision_that_is_asked_for_is_used(precision, wanted):
    assert uses_bf16(CPU, precision) is wanted
    with mixed_precision(CPU, precision) as dtype:
        assert dtype == (torch.bfloat16 if wanted else torch.float32)
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_auto_is_one_of_the_two_everywhere():
    for device in (CPU, torch.device("meta")):
        assert uses_bf16(device, "auto") in (True, False)


def test_bf16_codes_are_float32_and_near_those_of_full_precision(frames):
    full, half = (model(frames, precision=precision).eval() for precision in ("fp32", "bf16"))
    with torch.no_grad():
        expected, found = full.encode(frames[:64]), half.encode(frames[:64])

    assert found.dtype == torch.float32
    assert (found - expected).square().mean() < 0.01 * expected.var(0).mean()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_objective
def test_a_model_on_a_gpu_takes_frames_from_the_host(frames, objective):
    found = build_world_model("jepa", replace(CONFIG, objective=objective), 32, (0,)).to("cuda")
    found.calibrate(frames[:64])
    loss, _ = found.loss(segments(frames), generator())
    loss.backward()

    assert loss.device.type == "cuda"
    assert isinstance(found, Jepa)

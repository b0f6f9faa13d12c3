from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.jepa import Jepa
from agents.models.precision import mixed_precision, uses_bf16
from agents.models.predictors import LinearPredictor, ResidualPredictor
from agents.models.registry import build_world_model
from agents.models.settings import OBJECTIVES, ModelConfig
from agents.models.world_model import WorldModel
from env.recording import Recorder
from env.renderers.build import build_renderer
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
    optimizer = torch.optim.Adam(found.parameters(), lr=5e-3)
    for step in range(steps):
        rows = torch.from_numpy(rng.integers(0, 508, 32))[:, None] + torch.arange(4)
        loss, _ = found.loss(frames[rows], generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.after_step()
    return found.eval()


@every_objective
def test_a_loss_is_a_finite_scalar_with_named_terms(frames, objective):
    loss, terms = model(frames, objective).loss(segments(frames), generator())

    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert "prediction" in terms
    assert all(isinstance(term, float) and np.isfinite(term) for term in terms.values())


@every_objective
def test_every_parameter_gets_a_gradient(frames, objective):
    found = model(frames, objective)
    found.loss(segments(frames), generator())[0].backward()
    without = [
        name for name, weight in found.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    # the whitened objective does not depend on the origin, which a batch normalization removes
    expected = {"encoder.10.bias"} if objective in ("whitened", "ema") else set()

    assert {name for name in without if not name.startswith("target.")} <= expected
    assert all(
        f"target.{name}" in without for name, _ in (found.target or torch.nn.Module()).named_parameters()
    )
    assert all(torch.isfinite(weight.grad).all() for weight in found.parameters() if weight.grad is not None)


@every_objective
def test_equal_generators_give_equal_losses(frames, objective):
    first, second = (model(frames, objective).loss(segments(frames), generator(3))[0] for _ in range(2))
    assert first == second


@every_objective
def test_latents_are_float32_and_independent_of_the_batch(frames, objective):
    found = model(frames, objective).eval()
    with torch.no_grad():
        together = found.encode(frames[:32])
        alone = torch.cat([found.encode(frames[row : row + 1]) for row in range(32)])
        reordered = found.encode(frames[:32].flip(0)).flip(0)

    assert together.shape == (32, found.dim) == (32, 4)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together, reordered, atol=1e-5, rtol=1e-5)


@every_objective
def test_a_trained_predictor_exceeds_copying_on_held_out_ticks(frames, objective):
    found = trained(frames, objective)
    with torch.no_grad():
        latent = found.encode(frames[520:])
        now, later = latent[:-1], latent[1:]
        predicted_error = (found.predict(now) - later).square().mean()
        copied_error = (now - later).square().mean()

    assert found.predict(now).shape == now.shape
    assert predicted_error < 0.95 * copied_error


@every_objective
def test_latents_of_a_trained_model_follow_the_object(frames, objective, tmp_path):
    """A linear probe of the object's position, fitted on some ticks and scored on later ones."""
    spec = tiny_spec(0, tmp_path)
    position = Scene(spec.scene, 0).factors(np.arange(768))[:, :2]
    found = trained(frames, objective)
    with torch.no_grad():
        latents = np.c_[found.encode(frames).numpy(), np.ones(768)]
    probe = np.linalg.lstsq(latents[:512], position[:512])[0]
    missed = np.square(latents[520:] @ probe - position[520:]).sum() / np.square(position[520:]).sum()

    assert missed < 0.5


def test_the_ema_loss_is_the_error_of_predicting_targets_of_the_average_plus_the_covariance_term(frames):
    """Computed with numpy from the outputs of both encoders and the predictor."""
    found = model(frames, "ema", ema_covariance=0.3)
    with torch.no_grad():
        for weight in found.target.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator()))
    outputs = {}
    for name in ("encoder", "target"):
        network = getattr(found, name)
        network.register_forward_hook(lambda _module, _inputs, out, name=name: outputs.update({name: out}))
    loss, terms = found.loss(segments(frames), generator())
    latent = outputs["encoder"].detach().numpy().reshape(16, 4, -1).astype(np.float64)
    target = outputs["target"].numpy().reshape(16, 3, -1).astype(np.float64)
    mean, weight = (
        part.numpy().astype(np.float64) for part in (found.predictor.mean, found.predictor.weight)
    )
    prediction = np.square((latent[:, :-1] - mean) @ weight + mean - target).mean()
    covariance = np.cov(latent.reshape(64, -1).T)
    redundancy = (np.square(covariance).sum() - np.square(np.diag(covariance)).sum()) / found.dim

    assert terms["prediction"] == pytest.approx(prediction, rel=1e-4)
    assert loss.item() == pytest.approx(prediction + 0.3 * redundancy, rel=1e-4)


def test_the_target_of_ema_starts_as_the_encoder_takes_no_gradient_and_follows_by_its_momentum(frames):
    found = model(frames, "ema", ema_momentum=0.75)
    pairs = list(zip(found.target.parameters(), found.encoder.parameters(), strict=True))
    assert all(torch.equal(slow, fast) and not slow.requires_grad for slow, fast in pairs)
    before = [slow.clone() for slow, _ in pairs]
    with torch.no_grad():
        for _, fast in pairs:
            fast.add_(1.0)
    found.after_step()

    for old, (slow, _) in zip(before, pairs, strict=True):
        torch.testing.assert_close(slow, old + 0.25)


def test_latents_of_ema_have_unit_variance_over_a_batch_in_training(frames):
    latent = model(frames, "ema").train().encode(frames[:256]).detach()

    torch.testing.assert_close(latent.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(latent.var(0, correction=0), torch.ones(4), atol=0.05, rtol=0)


def test_first_weights_follow_from_the_seed_alone_and_the_global_generator_is_restored(frames):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build_world_model("jepa", CONFIG, 32, (3, 1, 0))
    assert (torch.random.get_rng_state() == before).all()
    torch.manual_seed(2)
    same, other = (build_world_model("jepa", CONFIG, 32, seed) for seed in ((3, 1, 0), (3, 2, 0)))

    weights = [[part for part in found.parameters() if part.ndim > 1] for found in (first, same, other)]
    assert all((a == b).all() for a, b in zip(weights[0], weights[1], strict=True))
    assert all((a != b).any() for a, b in zip(weights[0], weights[2], strict=True))


def test_an_unknown_kind_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'jepa'"):
        build_world_model("jeppa", CONFIG, 32, (0,))


def test_every_kind_is_a_world_model():
    assert isinstance(build_world_model("jepa", CONFIG, 32, (0,)), WorldModel)
    with pytest.raises(TypeError, match="abstract"):
        WorldModel()


def test_a_residual_predictor_starts_near_the_identity():
    torch.manual_seed(0)
    latent = torch.randn(100, 4)
    gap = ResidualPredictor(4)(latent) - latent
    assert gap.square().mean() < 0.2


def test_a_linear_predictor_starts_as_the_identity_and_converges_to_least_squares():
    predictor, rng = LinearPredictor(3), np.random.default_rng(0)
    now = rng.normal(size=(500, 3)) + 4
    later = (now - 4) @ rng.normal(size=(3, 3)) + 4 + 0.1 * rng.normal(size=(500, 3))
    pair = (torch.from_numpy(now).float(), torch.from_numpy(later).float())
    assert (predictor(pair[0]) == pair[0]).all()
    for _ in range(150):
        predictor.update(*pair)

    mean = (now.mean(0) + later.mean(0)) / 2
    best = np.linalg.lstsq(now - mean, later - mean)[0]
    np.testing.assert_allclose(predictor.weight, best, atol=1e-2)
    assert (predictor(pair[0]) - pair[1]).square().mean() < 0.02


def test_a_linear_predictor_of_constant_latents_is_finite():
    predictor = LinearPredictor(3)
    predictor.update(torch.ones(8, 3), torch.ones(8, 3))
    assert torch.isfinite(predictor(torch.ones(8, 3))).all()


@pytest.mark.parametrize(("precision", "expected"), [("bf16", True), ("fp32", False)])
def test_an_explicit_precision_is_used(precision, expected):
    assert uses_bf16(CPU, precision) is expected
    with mixed_precision(CPU, precision) as dtype:
        assert dtype == (torch.bfloat16 if expected else torch.float32)
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_auto_precision_is_defined_on_every_device():
    for device in (CPU, torch.device("meta")):
        assert uses_bf16(device, "auto") in (True, False)


def test_bf16_latents_are_float32_and_near_those_of_fp32(frames):
    full, half = (model(frames, precision=precision).eval() for precision in ("fp32", "bf16"))
    with torch.no_grad():
        expected, found = full.encode(frames[:64]), half.encode(frames[:64])

    assert found.dtype == torch.float32
    assert (found - expected).square().mean() < 0.01 * expected.var(0).mean()


@pytest.mark.gpu
@every_objective
def test_a_model_on_a_gpu_takes_frames_from_the_host(frames, objective):
    found = build_world_model("jepa", replace(CONFIG, objective=objective), 32, (0,)).to("cuda")
    found.calibrate(frames[:64])
    loss, _ = found.loss(segments(frames), generator())
    loss.backward()

    assert loss.device.type == "cuda"
    assert isinstance(found, Jepa)


UNGUARDED = {
    "vicreg": {"variance": 0.0, "covariance": 0.0},
    "sigreg": {"sigreg": 0.0},
    "log_det": {"log_det": 0.0},
    "ema": {"ema_covariance": 0.0},
}


@pytest.mark.parametrize("objective", UNGUARDED)
def test_the_prediction_term_stays_when_the_terms_against_collapse_are_off(frames, objective):
    def value(**changes):
        found = model(frames, objective, **{**UNGUARDED[objective], **changes})
        loss, terms = found.loss(segments(frames), generator())
        return loss.item(), terms["prediction"]

    loss, prediction = value()
    assert loss == pytest.approx((25 if objective == "vicreg" else 1) * prediction)
    assert value(prediction=0.5)[0] == pytest.approx(0.5 * loss)


@every_objective
def test_the_prediction_weight_scales_the_prediction_alone(frames, objective):
    losses = [
        model(frames, objective, prediction=weight).loss(segments(frames), generator())[0].item()
        for weight in (1.0, 2.0, 3.0)
    ]

    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-3)
    assert losses[1] > losses[0] > 0


def test_the_variance_weight_of_vicreg_does_not_weigh_the_prediction(frames):
    none, much = (
        model(frames, "vicreg", variance=weight, covariance=0.0).loss(segments(frames), generator())
        for weight in (0.0, 50.0)
    )

    regularizer = much[1]["regularizer"]
    assert much[0].item() - none[0].item() == pytest.approx(regularizer, rel=1e-4)

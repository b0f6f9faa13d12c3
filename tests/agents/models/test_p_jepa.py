from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.p_jepa import PJepa, RandomNetworkTarget
from agents.models.settings import EncoderConfig, PJepaModelConfig
from alignment.core import effective_rank

CONFIG = PJepaModelConfig(EncoderConfig(8, 4, 16, "fp32"), transition_hidden=16, head_hidden=16)
OPTIONS = {
    "joint": {},
    "dynamics only": {"auxiliary": False},
    "head only": {"dynamics": False},
    "detached": {"detached": True},
}
every_option = pytest.mark.parametrize("option", OPTIONS)


def draw_squares(positions):
    """A bright square at each position, uint8 [N, 16, 16, 3]."""
    frames = np.zeros((len(positions), 16, 16, 3), np.uint8)
    for frame, (row, column) in zip(frames, positions, strict=True):
        frame[row : row + 4, column : column + 4] = 220
    return torch.from_numpy(frames)


def transitions(rng, count=64):
    """Transitions of a square that an action moves: (frames, actions, next frames, its positions)."""
    position, action = rng.integers(2, 11, (count, 2)), rng.integers(-2, 3, (count, 2))
    targets = torch.from_numpy((position - 6) / 3).float()
    return (
        draw_squares(position),
        torch.from_numpy(action / 2).float(),
        draw_squares(position + action),
        targets,
    )


def model(option="joint", seed=0, **changes):
    torch.manual_seed(seed)
    found = PJepa(replace(CONFIG, **OPTIONS[option], **changes), 16, action_dim=2, target_dim=2)
    found.calibrate(transitions(np.random.default_rng(9))[0])
    return found


def trained(option, steps=150):
    found, rng = model(option), np.random.default_rng(0)
    optimizer = torch.optim.Adam(found.parameters(), lr=3e-3)
    for _ in range(steps):
        loss, _ = found.loss(*transitions(rng))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found


def spread_and_rank(found):
    frames = transitions(np.random.default_rng(5), 256)[0]
    with torch.no_grad():
        latents = found.encode(frames)
    return float(latents.var(0).sum()), effective_rank(latents)


def gradients(found, loss):
    """The gradient of a loss by the name of each parameter that has one."""
    found.zero_grad(set_to_none=True)
    loss.backward()
    return {name: weight.grad for name, weight in found.named_parameters() if weight.grad is not None}


def plain_loss(found, batch, stop=lambda latent: latent):
    """The equation of the loss; `stop` is applied to the predicted latent's target."""
    frames, actions, next_frames, targets = batch
    latent, next_latent = found.encoder(frames), stop(found.encoder(next_frames))
    expected = latent + found.transition.net(torch.cat([latent, actions], 1))
    return ((expected - next_latent) ** 2).mean() + 5 * ((found.head(latent) - targets) ** 2).mean()


def test_the_loss_equals_its_equation_without_stop_gradient():
    found, batch = model(), transitions(np.random.default_rng(0))
    loss, terms = found.loss(*batch)
    ours, plain = gradients(found, loss), gradients(found, plain_loss(found, batch))
    stopped = gradients(found, plain_loss(found, batch, stop=torch.detach))

    torch.testing.assert_close(loss, plain_loss(found, batch))
    assert loss.item() == pytest.approx(terms["dynamics"] + 5 * terms["head"], rel=1e-5)
    assert ours.keys() == dict(found.named_parameters()).keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, plain[name], atol=1e-6, rtol=1e-3)
    assert any((ours[name] - stopped[name]).abs().max() > 1e-4 for name in ours if name.startswith("encoder"))


def test_a_detached_head_learns_without_changing_the_gradient_of_the_encoder():
    """The encoder's gradient is the one it has without a head."""
    batch = transitions(np.random.default_rng(0))
    detached, alone = model("detached"), model("dynamics only")
    reached = gradients(detached, detached.loss(*batch)[0])
    without = gradients(alone, alone.loss(*batch)[0])

    assert reached.keys() - without.keys() == {name for name in reached if name.startswith("head")}
    assert all(reached[name].any() for name in reached.keys() - without.keys())
    assert all(torch.equal(reached[name], without[name]) for name in without)


def test_a_head_of_weight_zero_leaves_the_gradient_of_the_encoder_of_dynamics_alone():
    batch = transitions(np.random.default_rng(0))
    weightless, alone = model(head_weight=0.0), model("dynamics only")
    reached = gradients(weightless, weightless.loss(*batch)[0])

    for name, gradient in gradients(alone, alone.loss(*batch)[0]).items():
        assert torch.equal(reached[name], gradient)
    assert not any(reached[name].any() for name in reached if name.startswith("head"))


def weighted_model(weights):
    torch.manual_seed(0)
    found = PJepa(CONFIG, 16, action_dim=2, target_dim=2, target_weights=weights)
    found.calibrate(transitions(np.random.default_rng(9))[0])
    return found


def test_target_weights_multiply_the_mean_squared_error_of_each_component():
    batch = transitions(np.random.default_rng(0))
    found = weighted_model([10.0, 0.1])
    loss, terms = found.loss(*batch)
    first, second = (found.head(found.encode(batch[0])) - batch[3]).square().mean(0).tolist()

    assert terms["head"] == pytest.approx(10 * first + 0.1 * second, rel=1e-5)
    assert loss.item() == pytest.approx(terms["dynamics"] + 5 * terms["head"], rel=1e-5)


def test_equal_target_weights_that_sum_to_one_are_the_default_and_no_part_of_a_checkpoint():
    batch, default, equal = transitions(np.random.default_rng(0)), model(), weighted_model([0.5, 0.5])

    torch.testing.assert_close(equal.loss(*batch)[0], default.loss(*batch)[0])
    assert equal.state_dict().keys() == default.state_dict().keys()


def test_a_target_component_of_weight_zero_has_no_gradient():
    found, batch = weighted_model([1.0, 0.0]), list(transitions(np.random.default_rng(0)))
    before = found.loss(*batch)[0]
    batch[3] = batch[3] * torch.tensor([1.0, 7.0])

    assert found.loss(*batch)[0] == before
    last = gradients(found, before)["head.2.weight"]
    assert last[0].any()
    assert not last[1].any()


@pytest.mark.parametrize(
    "weights", [[], [1.0], [1.0, 1.0, 1.0], [1.0, -0.1], [0.0, 0.0], [1.0, float("nan")]]
)
def test_target_weights_that_cannot_train_are_refused(weights):
    with pytest.raises(ValueError, match="target_weights must be 2 finite numbers"):
        weighted_model(weights)


@pytest.mark.parametrize(
    ("option", "ignored"), [("dynamics only", (3,)), ("head only", (1, 2)), ("joint", ())]
)
def test_a_disabled_term_ignores_its_inputs(option, ignored):
    found, batch = model(option), transitions(np.random.default_rng(0))
    other, loss = transitions(np.random.default_rng(1)), found.loss(*batch)[0]
    for index in range(1, 4):
        changed = [*batch[:index], other[index], *batch[index + 1 :]]
        assert bool(found.loss(*changed)[0] == loss) is (index in ignored)


@every_option
def test_terms_are_named_and_every_parameter_gets_a_gradient(option):
    found = model(option)
    loss, terms = found.loss(*transitions(np.random.default_rng(0)))
    names = {"dynamics only": {"dynamics"}, "head only": {"head"}}.get(option, {"dynamics", "head"})

    assert terms.keys() == names
    reached = gradients(found, loss)
    assert reached.keys() == dict(found.named_parameters()).keys()
    assert all(gradient.any() for gradient in reached.values())


@pytest.mark.parametrize("option", ["dynamics only", "detached"])
def test_training_with_dynamics_alone_collapses(option):
    """The variance of latents vanishes; their rank, which ignores scale, falls as well."""
    before, after = spread_and_rank(model(option)), spread_and_rank(trained(option))

    assert after[0] < 0.2 * before[0]
    assert after[1] < 0.7 * before[1]


@pytest.mark.parametrize("option", ["joint", "head only"])
def test_a_head_prevents_collapse_in_as_many_dimensions_as_its_target_has(option):
    before, after = spread_and_rank(model(option)), spread_and_rank(trained(option))

    assert after[0] > 10 * before[0]
    assert after[1] > 1.8


def test_joint_training_predicts_the_latent_after_an_action():
    found = trained("joint")
    frames, actions, next_frames, _ = transitions(np.random.default_rng(5), 256)
    with torch.no_grad():
        now, later = found.encode(frames), found.encode(next_frames)
        error = (found.predict(now, actions) - later).square().mean()
        error_without_action = (found.predict(now, torch.zeros_like(actions)) - later).square().mean()

    assert error < 0.3 * (now - later).square().mean()
    assert error < 0.3 * error_without_action


def test_predict_without_dynamics_is_refused():
    found = model("head only")
    with pytest.raises(ValueError, match="cannot predict"):
        found.predict(torch.zeros(1, 8), torch.zeros(1, 2))


@pytest.mark.parametrize("index", [1, 2, 3])
def test_inputs_of_mismatched_shapes_are_refused(index):
    batch = list(transitions(np.random.default_rng(0)))
    for invalid in (batch[index][:-1], batch[index][:, 0]):
        with pytest.raises(ValueError, match="64 frames need as many next frames"):
            model().loss(*batch[:index], invalid, *batch[index + 1 :])
    with pytest.raises(ValueError, match="at least 1"):
        PJepa(CONFIG, 16, action_dim=2, target_dim=0)


def test_a_target_that_is_not_finite_is_refused():
    batch = list(transitions(np.random.default_rng(0)))
    batch[3] = batch[3].clone()
    batch[3][5] = float("nan")
    with pytest.raises(ValueError, match="the target function returned a value"):
        model().loss(*batch)


def test_a_random_network_depends_on_its_seed_alone_and_takes_no_gradient():
    frames = transitions(np.random.default_rng(0))[0]
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = RandomNetworkTarget(16, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    same, other = (RandomNetworkTarget(16, seed=seed) for seed in (3, 4))
    for target in (first, same, other):
        target.calibrate(frames)

    assert torch.equal(first(frames), same(frames))
    assert not torch.equal(first(frames), other(frames))
    assert not first(frames).requires_grad
    assert not any(weight.requires_grad for weight in first.parameters())
    assert first(frames).shape == (64, first.dim) == (64, 256)
    torch.testing.assert_close(first(frames[:1]), first(frames)[:1], atol=1e-4, rtol=1e-4)


def test_a_calibrated_random_network_has_variance_one_and_distinct_outputs():
    target, frames = RandomNetworkTarget(16, seed=0, dim=32), draw_squares(np.argwhere(np.ones((11, 11))))
    raw = target(frames)
    target.calibrate(frames)
    values = target(frames)

    assert raw.var(0).mean() < 0.1
    torch.testing.assert_close(values.mean(0), torch.zeros(32), atol=1e-4, rtol=0)
    assert float(values.var(0, correction=0).mean()) == pytest.approx(1, abs=1e-3)
    assert torch.cdist(values, values).fill_diagonal_(1e9).min() > 0.1
    target.calibrate(frames[:1].repeat(9, 1, 1, 1))
    assert torch.isfinite(target(frames)).all()


def test_a_random_network_as_target_prevents_collapse():
    found, rng, target = model(), np.random.default_rng(0), RandomNetworkTarget(16, seed=0, dim=2)
    target.calibrate(transitions(rng, 256)[0])
    optimizer = torch.optim.Adam(found.parameters(), lr=3e-3)
    before = spread_and_rank(found)
    for _ in range(100):
        frames, actions, next_frames, _ = transitions(rng)
        loss, _ = found.loss(frames, actions, next_frames, target(frames))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert spread_and_rank(found)[0] > 10 * before[0]

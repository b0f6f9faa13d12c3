from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.agent import Agent
from agents.distillation import distill_agent, distill_targets
from agents.training.distillation import distill, distillation_loss
from agents.training.settings import DistillationConfig, TrainingConfig
from agents.training.trainer import TrainingError, build_optimizer, lr_factor
from alignment.fit import fit_ridge
from alignment.score import r2
from tests.support.swarm import tiny_spec

LONG = DistillationConfig(ticks=512, steps=60, batch=128)
SHORT = DistillationConfig(ticks=512, steps=4, batch=64)


def random_latents(seed, rows=200, dim=6):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, dim)))


def loss_by_least_squares(latent, teacher, ridge):
    """The same loss from a least-squares problem with augmented rows."""
    z, c = latent.numpy() - latent.numpy().mean(0), teacher.numpy() - teacher.numpy().mean(0)
    strength = ridge * np.mean(np.sum(z**2, 0))
    padded = np.concatenate([z, np.sqrt(strength) * np.eye(z.shape[1])])
    weight = np.linalg.lstsq(padded, np.concatenate([c, np.zeros((z.shape[1], c.shape[1]))]), rcond=None)[0]
    # at the optimum, c.zw = |zw|^2 + strength |w|^2
    return 1 - (np.sum((z @ weight) ** 2) + strength * np.sum(weight**2)) / np.sum(c**2)


@pytest.mark.parametrize("ridge", [1e-9, 1e-3, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_the_loss_equals_an_independent_computation_in_numpy(seed, ridge):
    latent, teacher = random_latents(seed), random_latents(seed + 10, dim=3) + random_latents(seed)[:, :3]

    assert float(distillation_loss(latent, teacher, ridge)) == pytest.approx(
        loss_by_least_squares(latent, teacher, ridge), abs=1e-9
    )


def invertible_map(seed, dim):
    """An invertible map that stretches no direction more than four times another."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(dim, dim)))[0] for _ in range(2))
    return torch.from_numpy(left @ np.diag(rng.uniform(0.5, 2, dim)) @ right)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_the_loss_is_invariant_to_affine_maps_of_the_student(seed, scale):
    latent, teacher = random_latents(seed), random_latents(seed, dim=3) + random_latents(seed + 1, dim=3)
    plain = distillation_loss(latent, teacher, ridge=1e-6)

    assert float(
        distillation_loss(latent @ invertible_map(seed, 6) * scale + 5, teacher, 1e-6)
    ) == pytest.approx(float(plain), abs=1e-4)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_the_loss_is_invariant_to_rotation_scale_and_shift_of_the_teacher(seed):
    latent, teacher = random_latents(seed), random_latents(seed, dim=3) + random_latents(seed + 1, dim=3)
    rotation = torch.from_numpy(np.linalg.qr(random_latents(seed, 3, 3).numpy())[0])

    assert float(distillation_loss(latent, 7 * teacher @ rotation - 2)) == pytest.approx(
        float(distillation_loss(latent, teacher)), abs=1e-9
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_teacher_that_is_a_linear_function_of_the_student_has_no_loss(seed):
    latent = random_latents(seed)
    teacher = latent @ random_latents(seed, 6, 3)

    for image in (teacher, teacher @ invertible_map(seed, 3)):
        assert 0 <= float(distillation_loss(latent, image, ridge=1e-9)) < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_an_unrelated_teacher_is_near_one(seed):
    assert 0.97 < float(distillation_loss(random_latents(seed, 2000), random_latents(seed + 1, 2000, 3))) <= 1


def test_the_loss_of_constant_latents_is_finite():
    constant = torch.ones(50, 3)

    assert torch.isfinite(distillation_loss(constant, constant))
    assert float(distillation_loss(torch.zeros(50, 6), random_latents(0, 50))) == pytest.approx(1)


def test_a_step_against_the_gradient_of_every_row_lowers_the_loss():
    latent, teacher = random_latents(0).requires_grad_(), random_latents(1, dim=3)
    loss = distillation_loss(latent, teacher)
    loss.backward()
    with torch.no_grad():
        better = distillation_loss(latent - 5 * latent.grad, teacher)

    assert (latent.grad.abs().sum(1) > 0).all()
    assert better < loss


@pytest.fixture
def student(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path))
    yield agent
    agent.close()


@pytest.fixture
def data(student):
    """Frames of the student, and embeddings of a teacher that are linear in the true factors."""
    ticks = np.arange(student.ticks.train_start, student.ticks.train_start + LONG.ticks)
    truth = torch.from_numpy(student.scene.factors(ticks)).float()
    return student.recorder.record(ticks).frames, truth @ torch.tensor([[1.0, 2.0], [-1.0, 0.5]]) + 3


def distilled_model(agent, frames, teacher, config=LONG, stop=lambda: False, seed=(0, 0, 4), training=None):
    model = agent.build_model()
    model.calibrate(torch.from_numpy(frames))

    def encode(rows):
        return model.encode(torch.from_numpy(frames[rows]))

    return model, distill(model, encode, teacher, config, training or TrainingConfig(), seed, stop)


def test_a_student_learns_the_latents_of_a_linear_teacher(student, data):
    frames, teacher = data
    unseen = np.arange(10**6, 10**6 + 512)
    truth = torch.from_numpy(student.scene.factors(unseen)).float()

    def unseen_r2(model):
        with torch.no_grad():
            readout = fit_ridge(model.encode(torch.from_numpy(frames)), teacher)
        latents = student.encode_ticks(unseen, model)
        return r2(readout(latents), truth @ torch.tensor([[1.0, 2.0], [-1.0, 0.5]]) + 3)

    model, read = distilled_model(student, frames, teacher)

    assert read == 60 * 128
    assert unseen_r2(model) > 0.85 > unseen_r2(student.build_model())


def test_equal_seeds_give_equal_weights_and_another_seed_gives_others(student, data):
    first, repeated, other = (
        distilled_model(student, *data, SHORT, seed=seed)[0].state_dict() for seed in ((0, 0), (0, 0), (0, 1))
    )

    assert all(torch.equal(first[name], repeated[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_distillation_uses_the_optimizer_settings_of_training(student, data, monkeypatch):
    training = TrainingConfig(weight_decay=0.125, grad_clip_norm=1e-3, warmup=0.5, learning_rate=0.25)
    built, steps = [], []

    def build_and_record(model, config):
        built.append(build_optimizer(model, config))
        built[0].register_step_pre_hook(
            lambda *_: steps.append((built[0].param_groups[0]["lr"], gradient(model)))
        )
        return built[0]

    def gradient(model):
        return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()

    monkeypatch.setattr("agents.training.distillation.build_optimizer", build_and_record)
    distilled_model(student, *data, SHORT, training=training)

    group = built[0].param_groups[0]
    expected = [
        group["lr_multiplier"] * 0.25 * lr_factor(step, SHORT.steps, 0.5) for step in range(SHORT.steps)
    ]
    assert {group["weight_decay"] for group in built[0].param_groups} == {0.125}
    assert [lr for lr, _ in steps] == pytest.approx(expected)
    assert all(norm <= 1e-3 * 1.001 for _, norm in steps)


def test_distillation_with_a_nan_loss_is_refused_with_a_remedy(student, data):
    frames, teacher = data
    with pytest.raises(
        TrainingError, match=r"loss became nan at step 0; try a lower training\.learning_rate"
    ):
        distilled_model(student, frames, teacher * torch.nan, SHORT)


def test_distillation_that_is_stopped_early_returns_none(student, data):
    answers = iter([False, False, True])

    assert distilled_model(student, *data, stop=lambda: next(answers))[1] is None


def test_distillation_from_any_other_first_tick_is_refused(student):
    teacher = torch.zeros(100, 2)
    plan = student.ticks
    for first in (0, plan.fit[0], plan.train_start - 1, plan.train_start + 1):
        start = f"distillation and training of {student.spec.name} start at tick {plan.distill_start}"
        with pytest.raises(ValueError, match=f"^{start}, where no map is fitted or scored, not at {first} "):
            distill_agent(student, first, teacher, lambda: False)

    assert student.distill_frames == student.trainer.step == 0


def test_a_distillation_that_was_interrupted_begins_again_from_the_initial_weights(tmp_path):
    whole, interrupted = (Agent(tiny_spec(0, tmp_path / name)) for name in ("whole", "interrupted"))
    first = whole.ticks.train_start
    teacher = torch.from_numpy(whole.scene.factors(np.arange(first, first + 300))).float()
    assert distill_agent(whole, first, teacher, lambda: False)
    answers = iter([False] * 5 + [True])
    assert not distill_agent(interrupted, first, teacher, lambda: next(answers))

    assert distill_agent(interrupted, first, teacher, lambda: False)

    assert interrupted.distill_losses == whole.distill_losses
    for name, value in whole.model.state_dict().items():
        assert torch.equal(interrupted.model.state_dict()[name], value)


def test_the_schedule_counts_as_complete_after_distillation(student):
    teacher = torch.from_numpy(
        student.scene.factors(np.arange(student.ticks.train_start, student.ticks.train_start + 300))
    ).float()
    assert distill_agent(student, student.ticks.train_start, teacher, lambda: False)

    assert student.trainer.finished
    assert student.distill_frames == 150 * 256
    assert student.progress().distill_frames == 150 * 256
    assert student.progress().loss_curve == ()
    assert student.progress().distill_curve[-1][0] == 150
    snapshot = student.publish()
    anchors = set(snapshot.pools.anchors.ids) | set(snapshot.pools.heldout.ids)
    assert not anchors & set(range(student.ticks.train_start, student.ticks.train_start + 300))


def test_distill_targets_are_the_first_training_ticks_after_the_buffer_has_advanced(tmp_path):
    static, moving = (
        Agent(
            tiny_spec(0, tmp_path / str(new_ticks), steps=2, replay_ticks=256, new_ticks_per_step=new_ticks)
        )
        for new_ticks in (0, 99)
    )
    for agent in (static, moving):
        agent.train()
        agent.publish()
        first, embeddings = distill_targets(agent, 100)
        assert first == agent.ticks.train_start
        direct = agent.published.basis.core(
            agent.encode_ticks(range(first, first + 100), agent.published.model)
        )
        torch.testing.assert_close(embeddings, direct.float(), atol=1e-5, rtol=1e-5)


def test_distillation_of_more_ticks_than_the_replay_buffer_holds_is_refused(student):
    capacity = student.trainer.buffer_ticks
    with pytest.raises(
        ValueError, match=f"more than the {capacity} of the replay buffer: lower distillation.ticks"
    ):
        distill_agent(student, student.ticks.train_start, torch.zeros(capacity + 1, 2), lambda: False)

    assert len(student.trainer.replay_buffer) == 0
    assert student.trainer.record(lambda: False)


def test_frames_of_steps_replaced_by_distillation_are_not_counted(student):
    teacher = torch.from_numpy(
        student.scene.factors(np.arange(student.ticks.train_start, student.ticks.train_start + 300))
    ).float()
    assert distill_agent(student, student.ticks.train_start, teacher, lambda: False)

    assert student.trainer.finished
    assert student.progress().frames == 0
    assert student.progress().distill_frames > 0


def test_settings_bound_what_a_student_gets_as_they_do_for_anchors(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, steps=2, replay_ticks=256))
    agent.train()
    agent.publish()
    clean = distill_targets(agent, 100)[1]
    agent.spec = replace(agent.spec, negotiation=replace(agent.spec.negotiation, dims=1, noise=0.5))
    sent = distill_targets(agent, 100, bytes(32))[1]

    assert sent.shape == (100, 1)
    assert (sent[:, 0] - clean[:, 0]).std() == pytest.approx(0.5, rel=0.3)
    assert torch.equal(distill_targets(agent, 50, bytes(32))[1], sent[:50])
    agent.spec = replace(agent.spec, negotiation=replace(agent.spec.negotiation, noise=0, precision="int8"))
    assert len(distill_targets(agent, 100)[1].unique()) < 100

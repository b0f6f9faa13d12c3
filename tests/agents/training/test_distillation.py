import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.agent import Agent
from agents.training.distillation import distill, distillation_loss
from agents.training.settings import DistillationConfig, TrainingConfig
from agents.training.trainer import TrainingError, build_optimizer, lr_factor
from alignment.fit import fit_ridge
from alignment.score import r2
from tests.support.swarm import tiny_spec

COURSE = DistillationConfig(ticks=512, steps=60, batch=128)
SHORT = DistillationConfig(ticks=512, steps=4, batch=64)


def codes(seed, rows=200, dim=6):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, dim)))


def by_hand(latent, taught, ridge):
    """The same loss from a ridge regression of numpy's own."""
    z, c = latent.numpy() - latent.numpy().mean(0), taught.numpy() - taught.numpy().mean(0)
    strength = ridge * np.mean(np.sum(z**2, 0))
    padded = np.concatenate([z, np.sqrt(strength) * np.eye(z.shape[1])])
    weight = np.linalg.lstsq(padded, np.concatenate([c, np.zeros((z.shape[1], c.shape[1]))]), rcond=None)[0]
    # at the optimum, c.zw = |zw|^2 + strength |w|^2
    return 1 - (np.sum((z @ weight) ** 2) + strength * np.sum(weight**2)) / np.sum(c**2)


@pytest.mark.parametrize("ridge", [1e-9, 1e-3, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_the_loss_equals_a_rewrite_in_numpy(seed, ridge):
    latent, taught = codes(seed), codes(seed + 10, dim=3) + codes(seed)[:, :3]

    assert float(distillation_loss(latent, taught, ridge)) == pytest.approx(
        by_hand(latent, taught, ridge), abs=1e-9
    )


def turn(seed, dim):
    """An invertible map that stretches no direction more than four times another."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(dim, dim)))[0] for _ in range(2))
    return torch.from_numpy(left @ np.diag(rng.uniform(0.5, 2, dim)) @ right)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_the_pupils_language_its_scale_and_its_origin_cost_nothing(seed, scale):
    latent, taught = codes(seed), codes(seed, dim=3) + codes(seed + 1, dim=3)
    plain = distillation_loss(latent, taught, ridge=1e-6)

    assert float(distillation_loss(latent @ turn(seed, 6) * scale + 5, taught, 1e-6)) == pytest.approx(
        float(plain), abs=1e-4
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_turn_of_the_teachers_code_costs_nothing(seed):
    latent, taught = codes(seed), codes(seed, dim=3) + codes(seed + 1, dim=3)
    turned = torch.from_numpy(np.linalg.qr(codes(seed, 3, 3).numpy())[0])

    assert float(distillation_loss(latent, 7 * taught @ turned - 2)) == pytest.approx(
        float(distillation_loss(latent, taught)), abs=1e-9
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_image_of_the_pupils_code_costs_nothing_under_any_invertible_map_of_it(seed):
    latent = codes(seed)
    taught = latent @ codes(seed, 6, 3)

    for image in (taught, taught @ turn(seed, 3)):
        assert 0 <= float(distillation_loss(latent, image, ridge=1e-9)) < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_noise_cannot_be_read_off_the_pupil(seed):
    assert 0.97 < float(distillation_loss(codes(seed, 2000), codes(seed + 1, 2000, 3))) <= 1


def test_codes_in_which_nothing_varies_are_no_division_by_zero():
    still = torch.ones(50, 3)

    assert torch.isfinite(distillation_loss(still, still))
    assert float(distillation_loss(torch.zeros(50, 6), codes(0, 50))) == pytest.approx(1)


def test_the_gradient_reaches_the_pupil_and_leads_downhill():
    latent, taught = codes(0).requires_grad_(), codes(1, dim=3)
    loss = distillation_loss(latent, taught)
    loss.backward()
    with torch.no_grad():
        better = distillation_loss(latent - 5 * latent.grad, taught)

    assert (latent.grad.abs().sum(1) > 0).all()
    assert better < loss


@pytest.fixture
def pupil(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path))
    yield agent
    agent.close()


@pytest.fixture
def lesson(pupil):
    """What the pupil's camera sees and what a teacher, who sees the scene as it is, makes of it."""
    ticks = np.arange(pupil.train_start, pupil.train_start + COURSE.ticks)
    truth = torch.from_numpy(pupil.scene.factors(ticks)).float()
    return pupil.recorder.record(ticks).frames, truth @ torch.tensor([[1.0, 2.0], [-1.0, 0.5]]) + 3


def taught_model(agent, frames, taught, config=COURSE, stop=lambda: False, seed=(0, 0, 4), course=None):
    model = agent.build_model()
    model.calibrate(torch.from_numpy(frames))

    def encode(rows):
        return model.encode(torch.from_numpy(frames[rows]))

    return model, distill(model, encode, taught, config, course or TrainingConfig(), seed, stop)


def test_a_pupil_learns_to_see_what_a_linear_teacher_says(pupil, lesson):
    frames, taught = lesson
    fresh = np.arange(10**6, 10**6 + 512)
    truth = torch.from_numpy(pupil.scene.factors(fresh)).float()

    def seen(model):
        with torch.no_grad():
            reading = fit_ridge(model.encode(torch.from_numpy(frames)), taught)
        view = pupil.encode_ticks(fresh, model)
        return r2(reading(view), truth @ torch.tensor([[1.0, 2.0], [-1.0, 0.5]]) + 3)

    model, read = taught_model(pupil, frames, taught)

    assert read == 60 * 128
    assert seen(model) > 0.85 > seen(pupil.build_model())


def test_equal_seeds_give_equal_weights_and_another_seed_others(pupil, lesson):
    first, again, other = (
        taught_model(pupil, *lesson, SHORT, seed=seed)[0].state_dict() for seed in ((0, 0), (0, 0), (0, 1))
    )

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_lesson_takes_rate_warmup_decay_and_clip_of_a_course_alone(pupil, lesson, monkeypatch):
    course = TrainingConfig(weight_decay=0.125, grad_clip_norm=1e-3, warmup=0.5, learning_rate=0.25)
    made, seen = [], []

    def built(model, config):
        made.append(build_optimizer(model, config))
        made[0].register_step_pre_hook(
            lambda *_: seen.append((made[0].param_groups[0]["lr"], gradient(model)))
        )
        return made[0]

    def gradient(model):
        return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()

    monkeypatch.setattr("agents.training.distillation.build_optimizer", built)
    taught_model(pupil, *lesson, SHORT, course=course)

    group = made[0].param_groups[0]
    asked = [group["lr_multiplier"] * 0.25 * lr_factor(step, SHORT.steps, 0.5) for step in range(SHORT.steps)]
    assert {group["weight_decay"] for group in made[0].param_groups} == {0.125}
    assert [now for now, _ in seen] == pytest.approx(asked)
    assert all(norm <= 1e-3 * 1.001 for _, norm in seen)


def test_a_lesson_whose_loss_is_no_number_ends_with_a_remedy(pupil, lesson):
    frames, taught = lesson
    with pytest.raises(
        TrainingError, match=r"loss became nan at step 0; try a lower training\.learning_rate"
    ):
        taught_model(pupil, frames, taught * torch.nan, SHORT)


def test_a_pupil_may_leave_before_the_end_and_then_has_learned_nothing(pupil, lesson):
    asked = iter([False, False, True])

    assert taught_model(pupil, *lesson, stop=lambda: next(asked))[1] is None


def test_a_lesson_of_ticks_on_which_maps_are_scored_is_refused(pupil):
    taught = torch.zeros(100, 2)
    for first in (0, pupil.fit_ticks[0], pupil.train_start - 1, pupil.train_start + 1):
        with pytest.raises(
            ValueError, match=f"distillation starts at tick {pupil.train_start}, where no map is fitted"
        ):
            pupil.distill(first, taught, lambda: False)

    assert pupil.distill_frames == pupil.trainer.step == 0


def test_who_has_learned_from_a_lesson_counts_its_course_as_done(pupil):
    taught = torch.from_numpy(
        pupil.scene.factors(np.arange(pupil.train_start, pupil.train_start + 300))
    ).float()
    assert pupil.distill(pupil.train_start, taught, lambda: False)

    assert pupil.trainer.finished
    assert pupil.distill_frames == 150 * 256
    assert pupil.progress().distill_frames == 150 * 256
    memory = pupil.publish()
    seen = set(memory.pools.anchors.ids) | set(memory.pools.heldout.ids)
    assert not seen & set(range(pupil.train_start, pupil.train_start + 300))


def test_a_teacher_tells_of_the_first_ticks_of_a_course_though_its_window_has_moved_on(tmp_path):
    near, far = (
        Agent(tiny_spec(0, tmp_path / str(fresh), steps=2, replay_ticks=256, new_ticks_per_step=fresh))
        for fresh in (0, 99)
    )
    for agent in (near, far):
        agent.train()
        agent.publish()
        first, codes_ = agent.distill_targets(100)
        assert first == agent.train_start
        direct = agent.published.basis.core(
            agent.encode_ticks(range(first, first + 100), agent.published.model)
        )
        torch.testing.assert_close(codes_, direct.float(), atol=1e-5, rtol=1e-5)


def test_a_lesson_of_more_ticks_than_are_remembered_is_refused_and_moves_no_window(pupil):
    room = pupil.trainer.buffer_ticks
    with pytest.raises(
        ValueError, match=f"more than the {room} of the replay buffer: lower distillation.ticks"
    ):
        pupil.distill(pupil.train_start, torch.zeros(room + 1, 2), lambda: False)

    assert len(pupil.trainer.replay_buffer) == 0
    assert pupil.trainer.record(lambda: False)


def test_frames_of_a_course_that_a_lesson_stood_in_for_are_not_counted(pupil):
    taught = torch.from_numpy(
        pupil.scene.factors(np.arange(pupil.train_start, pupil.train_start + 300))
    ).float()
    assert pupil.distill(pupil.train_start, taught, lambda: False)

    assert pupil.trainer.finished
    assert pupil.progress().frames == 0
    assert pupil.progress().distill_frames > 0

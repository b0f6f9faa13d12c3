"""Laws of the theory experiment."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.theory.agents import States, alignment_loss, encode_states, train_encoder
from social_jepa.experiments.theory.bound import (
    WhiteLatents,
    agreement,
    compute_bound,
    deviation,
    score_agents,
    whitening,
)
from social_jepa.experiments.theory.metrics import outside_notes
from social_jepa.experiments.theory.run import EXPERIMENT, run
from social_jepa.experiments.theory.settings import EncoderSettings, Settings
from social_jepa.experiments.theory.symmetry import (
    draw_matrix,
    fit_predictor,
    prediction_losses,
    refitted_change,
    scan_matrices,
    transform_predictor,
)
from social_jepa.experiments.theory.worlds import Observation, bouncing, make_world
from tests.support.stored_plots import stored_plots

RHO = 0.7
TINY = build_config(Settings, {
    "rhos": [0.5], "outside_worlds": ["bouncing"], "agents": 2, "cameras": 2, "scene_ticks": 128,
    "encoder": {"steps": 12, "hidden": 8, "batch_pairs": 64}, "fit_states": 500, "heldout_states": 400,
    "setup": {**QUICK_SETUP, "training": {**QUICK_SETUP["training"], "steps": 20}},
}, ())  # fmt: skip


def discard(text: str) -> None:
    pass


def states_of(kind: str, count: int = 20_000, rho: float = RHO) -> States:
    world = make_world(kind, np.random.default_rng(0), 3, rho)
    return States.draw(world, np.random.default_rng(1), count, count)


def planted_latents(states: States, share: float, seed: int) -> WhiteLatents:
    """A rotation of the factors with some share of its variance in the second Hermite polynomial."""

    def encode(z: np.ndarray) -> torch.Tensor:
        rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
        mixed = (1 - share) ** 0.5 * z + (share / 2) ** 0.5 * (np.square(z) - 1)
        return torch.from_numpy(mixed @ rotation)

    now, after, other = (encode(z) for z in states.heldout)
    return WhiteLatents(encode(states.fit), now, (after + other) / 2)


@pytest.mark.parametrize("rho", [0.3, 0.7, 0.95])
def test_a_rotation_of_the_factors_has_no_excess_loss_and_a_small_bound(rho):
    states = states_of("gaussian", rho=rho)
    found = compute_bound(planted_latents(states, 0.0, 1), states.rho)

    assert states.rho == pytest.approx(rho)
    assert found.excess == pytest.approx(0, abs=1e-9)
    assert found.value == pytest.approx(found.whitening_error**2, abs=1e-9)
    assert found.whitening_error < 0.05


def test_the_bound_of_a_planted_polynomial_matches_the_derivation():
    states, share = states_of("gaussian", 100_000), 0.1
    found = compute_bound(planted_latents(states, share, 1), RHO)

    assert found.excess == pytest.approx(2 * RHO * (1 - RHO) * 3 * share, rel=0.05)
    assert found.value == pytest.approx(3 * share + (3 * share) ** 2, rel=0.1)
    true = 3 * (share + (1 - (1 - share) ** 0.5) ** 2)
    assert deviation(states.factors, planted_latents(states, share, 1)).score == pytest.approx(true, rel=0.05)


def test_planted_pairs_are_within_the_bound_and_shuffled_pairs_are_unrelated():
    states = states_of("gaussian")
    latents = [planted_latents(states, share, seed) for seed, share in enumerate((0.02, 0.1, 0.3))]
    scores, arrays = score_agents([latents], RHO, [0])

    assert scores["within bound"].score == 1
    assert arrays["bound"].shape == (1, 3)
    assert scores["deviation, shuffled"].score == pytest.approx(6, abs=1.5)  # a random rotation: 2 n
    assert scores["agreement, shuffled"].score == pytest.approx(-1, abs=0.5)
    assert scores["deviation"].score < 1


def test_latents_that_lose_a_factor_have_a_large_bound():
    """Latents far from any rotation must have a bound that allows it."""
    states = states_of("gaussian")
    full = planted_latents(states, 0.0, 1)
    reduced = WhiteLatents(
        *(torch.cat([rows[:, :2], rows[:, :1]], 1) for rows in (full.fit, full.heldout, full.successor))
    )

    assert compute_bound(reduced, RHO).value >= deviation(states.factors, reduced).score > 1


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_with_rho_estimated_from_the_latents_the_excess_is_zero(share):
    """The world's rho has to be given: no agent can measure it."""
    latents = planted_latents(states_of("gaussian"), share, 1)
    now, later = (rows - latents.heldout.mean(0) for rows in (latents.heldout, latents.successor))
    estimated = float((now * later).sum() / now.square().sum())

    assert compute_bound(latents, estimated).excess == pytest.approx(0, abs=1e-9)


def planted_agreement(between: float, factors: float) -> ConditionResult:
    noise = np.random.default_rng(0).uniform(0.5, 1.5, 500)
    shares = {"agreement": between, "factors": factors}
    return ConditionResult({name: Score((1 - r2) * noise, np.ones(500)) for name, r2 in shares.items()})


def test_the_note_names_only_worlds_whose_agents_share_more_than_the_factors():
    planted = {"rho 0.5": (0.9, 0.95), "bouncing": (0.95, 0.8)}
    found = {
        (condition, seed): planted_agreement(*values)
        for condition, values in planted.items()
        for seed in (0, 1)
    }
    values, beyond = outside_notes(Results(found, [0, 1]), TINY)

    assert all(condition in values for condition in planted)
    assert "bouncing" in beyond
    assert "rho" not in beyond
    same = found | {("bouncing", seed): planted_agreement(0.9, 0.9) for seed in (0, 1)}
    assert len(outside_notes(Results(same, [0, 1]), TINY)) == 1


@pytest.mark.parametrize("rho", [0.0, 1.0, float("nan")])
def test_an_autocorrelation_without_a_bound_is_refused(rho):
    with pytest.raises(ValueError, match="between 0 and 1"):
        compute_bound(planted_latents(states_of("gaussian", 100), 0.0, 1), rho)


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "heavy-tailed", "bouncing", "rotating"])
def test_worlds_are_stationary_white_and_time_reversible(kind):
    now, after, other = states_of(kind, 100_000).heldout
    for z in (now, after, other):
        assert np.allclose(z.mean(0), 0, atol=0.03)
        assert np.allclose(np.cov(z.T), np.eye(3), atol=0.04)
    assert np.allclose((now * after).mean(0), (now * other).mean(0), atol=0.03)


def test_objects_bounce_between_walls():
    now, after, other = bouncing(np.random.default_rng(0), 1000, np.array([0.1, 0.05]))
    for step in (after - now, other - now):
        assert (np.abs(step) <= 3**0.5 * np.array([0.1, 0.05]) + 1e-9).all()
    assert np.abs(after).max() <= 3**0.5


def test_an_observation_is_injective():
    """Invert its layers one after the other."""
    observe = Observation.draw(np.random.default_rng(0), 3, 12, 3)
    z = np.random.default_rng(1).standard_normal((50, 3))
    x = observe(z).astype(np.float64)
    for rotation in reversed(observe.rotations):
        x = np.where(x > 0, x, x / 0.2) @ rotation.T
    assert np.allclose(x @ observe.lift.T, z, atol=1e-4)


def test_invalid_arguments_are_refused():
    with pytest.raises(ValueError, match="not injective"):
        Observation.draw(np.random.default_rng(0), 3, 2, 1)
    with pytest.raises(ValueError, match="no world"):
        make_world("static", np.random.default_rng(0), 3, RHO)
    with pytest.raises(ValueError, match="condition number"):
        draw_matrix(np.random.default_rng(0), 3, 0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        replace(TINY, rhos=(0.5, 1.0))
    with pytest.raises(ValueError, match="two agents"):
        replace(TINY, agents=1)


def test_whitening_removes_the_scale_of_latents():
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((500, 3))) * torch.tensor([1e-6, 1, 1e6])
    mean, white = whitening(rows)
    latents = (rows - mean) @ white
    identity = torch.eye(3, dtype=latents.dtype)
    assert torch.allclose(latents.T @ latents / len(latents), identity, atol=1e-8)


def test_agents_learn_the_factors_and_share_nothing():
    world = make_world("gaussian", np.random.default_rng(0), 2, RHO)
    states = States.draw(world, np.random.default_rng(1), 2000, 2000)
    settings = EncoderSettings(factors=2, observation_dim=6, hidden=32, batch_pairs=256, steps=120)
    agents = [train_encoder(world, 0, index, settings, discard, alignment_loss) for index in range(2)]
    first, last = ([encode_states(agent, index, states) for agent in agents] for index in (0, -1))

    assert not np.array_equal(agents[0].observe(states.fit), agents[1].observe(states.fit))
    assert agreement(*last).score > max(0.8, agreement(*first).score)
    assert len(agents[0].encoders) == len(settings.eval_steps) == 5
    assert compute_bound(last[0], RHO).value < compute_bound(first[0], RHO).value


def test_a_matrix_changes_neither_zero_loss_nor_the_loss_in_whitened_units():
    factors = states_of("rotating", 2000).factors
    assert scan_matrices(factors, fit_predictor(factors), [0])["raw"].max() < 1e-18
    noisy = WhiteLatents(factors.fit, factors.heldout, factors.successor + 0.1 * factors.fit)
    found = scan_matrices(noisy, fit_predictor(noisy), [0])

    assert found["within limits"].all()
    assert found["whitened"].max() <= 1e-6
    assert refitted_change(noisy, [0]).max() <= 1e-6
    assert found["raw"].max() > 10 * found["loss"]  # the raw loss does change


def test_the_limits_of_a_matrix_are_attained():
    """Errors along its largest singular direction grow by exactly the limit."""
    matrix = draw_matrix(np.random.default_rng(0), 3, 100.0)
    left, s, _ = torch.linalg.svd(matrix)
    now = torch.from_numpy(np.random.default_rng(1).standard_normal((100, 3)))
    later = now + 0.1 * left[:, 0]
    plain, grown = (
        prediction_losses(lambda rows: rows, now, later)[0],
        prediction_losses(transform_predictor(lambda rows: rows, matrix), now @ matrix, later @ matrix)[0],
    )
    assert s[0] == pytest.approx(10)
    assert grown == pytest.approx(100 * plain)


def test_all_conditions_run_with_finite_metrics_and_equal_seeds_give_equal_scores():
    found = {(condition, 0): run(condition, 0, TINY, discard) for condition in EXPERIMENT.conditions(TINY)}
    for condition in ("rho 0.5", "symmetry"):
        again = run(condition, 0, TINY, discard)
        for name, score in again.scores.items():
            assert np.array_equal(score.values, found[condition, 0].scores[name].values), name
    results = Results(found, [0])
    metrics = EXPERIMENT.metrics(results, TINY)
    assert all(metric.self_test for metric in metrics if metric.threshold)
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert all(np.isfinite(metric.estimate.value) for metric in metrics)
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()
    assert isinstance(TINY.setup, AgentSetup)

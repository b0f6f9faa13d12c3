from dataclasses import replace

import numpy as np
import pytest
import torch

from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.theory import run as theory
from social_jepa.experiments.theory.agents import Sizes, States, alignment_loss, embed_states, raise_agent
from social_jepa.experiments.theory.bound import (
    Code,
    agreement,
    bound_of,
    deviation,
    score_agents,
    whitener,
)
from social_jepa.experiments.theory.metrics import outside_notes
from social_jepa.experiments.theory.symmetry import (
    carried,
    draw_matrix,
    fit_linear,
    losses,
    refitted_change,
    scan,
)
from social_jepa.experiments.theory.worlds import Observation, bouncing, make_world

RHO = 0.7
TINY = build_config(theory.Settings, {
    "rhos": [0.5], "outside": ["bouncing"], "agents": 2, "cameras": 2, "ticks": 128,
    "sizes": {"steps": 12, "hidden": 8, "pairs": 64}, "fitting": 500, "scoring": 400,
    "upbringing": {**QUICK_SETUP, "training": {**QUICK_SETUP["training"], "steps": 20}},
}, ())  # fmt: skip


def quiet(text: str) -> None:
    pass


def states_of(kind: str, count: int = 20_000, rho: float = RHO) -> States:
    world = make_world(kind, np.random.default_rng(0), 3, rho)
    return States.draw(world, np.random.default_rng(1), count, count)


def planted(states: States, share: float, turn: int) -> Code:
    """A rotation of the latents with some share of its variance in the second Hermite polynomial."""

    def code(z: np.ndarray) -> torch.Tensor:
        own = np.linalg.qr(np.random.default_rng(turn).standard_normal((3, 3)))[0]
        mixed = (1 - share) ** 0.5 * z + (share / 2) ** 0.5 * (np.square(z) - 1)
        return torch.from_numpy(mixed @ own)

    now, after, other = (code(z) for z in states.scoring)
    return Code(code(states.fitting), now, (after + other) / 2)


@pytest.mark.parametrize("rho", [0.3, 0.7, 0.95])
def test_a_rotation_of_the_latents_has_no_excess_loss_and_hardly_any_bound(rho):
    states = states_of("gaussian", rho=rho)
    found = bound_of(planted(states, 0.0, 1), states.rho)

    assert states.rho == pytest.approx(rho)
    assert found.excess == pytest.approx(0, abs=1e-9)
    assert found.value == pytest.approx(found.whitening**2, abs=1e-9)
    assert found.whitening < 0.05


def test_the_bound_of_a_planted_polynomial_is_what_the_derivation_says():
    states, share = states_of("gaussian", 100_000), 0.1
    found = bound_of(planted(states, share, 1), RHO)

    assert found.excess == pytest.approx(2 * RHO * (1 - RHO) * 3 * share, rel=0.05)
    assert found.value == pytest.approx(3 * share + (3 * share) ** 2, rel=0.1)
    true = 3 * (share + (1 - (1 - share) ** 0.5) ** 2)
    assert deviation(states.truth, planted(states, share, 1)).score == pytest.approx(true, rel=0.05)


def test_pairs_of_planted_codes_are_inside_and_shuffled_pairs_are_unrelated():
    states = states_of("gaussian")
    codes = [planted(states, share, turn) for turn, share in enumerate((0.02, 0.1, 0.3))]
    measures, arrays = score_agents([codes], RHO, [0])

    assert measures["inside"].score == 1
    assert arrays["bound"].shape == (1, 3)
    assert measures["deviation, shuffled"].score == pytest.approx(6, abs=1.5)  # a rotation at random: 2 n
    assert measures["agreement, shuffled"].score == pytest.approx(-1, abs=0.5)
    assert measures["deviation"].score < 1


def test_a_code_that_hides_a_latent_may_not_be_called_close():
    """What lies far from any rotation must have a bound that allows it."""
    states = states_of("gaussian")
    code = planted(states, 0.0, 1)
    lost = Code(
        *(torch.cat([rows[:, :2], rows[:, :1]], 1) for rows in (code.fitting, code.scoring, code.following))
    )

    assert bound_of(lost, RHO).value >= deviation(states.truth, lost).score > 1


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_with_rho_estimated_from_the_code_itself_the_bound_says_nothing(share):
    """So that the world's rho has to be given: no agent can measure it."""
    code = planted(states_of("gaussian"), share, 1)
    now, later = (rows - code.scoring.mean(0) for rows in (code.scoring, code.following))
    own = float((now * later).sum() / now.square().sum())

    assert bound_of(code, own).excess == pytest.approx(0, abs=1e-9)


def planted_agreement(between: float, latents: float) -> ConditionResult:
    noise = np.random.default_rng(0).uniform(0.5, 1.5, 500)
    shares = {"agreement": between, "latents": latents}
    return ConditionResult({name: Score((1 - r2) * noise, np.ones(500)) for name, r2 in shares.items()})


def test_the_note_names_worlds_whose_agents_share_more_than_the_latents_and_no_others():
    planted = {"rho 0.5": (0.9, 0.95), "bouncing": (0.95, 0.8)}
    outcomes = {(part, 0): planted_agreement(*values) for part, values in planted.items()}
    values, beyond = outside_notes(Results(outcomes, [0]), TINY)

    assert all(part in values for part in planted)
    assert "bouncing" in beyond
    assert "rho" not in beyond
    same = outcomes | {("bouncing", 0): planted_agreement(0.9, 0.9)}
    assert len(outside_notes(Results(same, [0]), TINY)) == 1


@pytest.mark.parametrize("rho", [0.0, 1.0, float("nan")])
def test_a_correlation_that_gives_no_bound_is_refused(rho):
    with pytest.raises(ValueError, match="between 0 and 1"):
        bound_of(planted(states_of("gaussian", 100), 0.0, 1), rho)


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "heavy-tailed", "bouncing", "turning"])
def test_worlds_are_stationary_white_and_run_backwards_alike(kind):
    now, after, other = states_of(kind, 100_000).scoring
    for z in (now, after, other):
        assert np.allclose(z.mean(0), 0, atol=0.03)
        assert np.allclose(np.cov(z.T), np.eye(3), atol=0.04)
    assert np.allclose((now * after).mean(0), (now * other).mean(0), atol=0.03)


def test_objects_bounce_between_walls():
    now, after, other = bouncing(np.random.default_rng(0), 1000, np.array([0.1, 0.05]))
    for step in (after - now, other - now):
        assert (np.abs(step) <= 3**0.5 * np.array([0.1, 0.05]) + 1e-9).all()
    assert np.abs(after).max() <= 3**0.5


def test_an_observation_hides_nothing():
    """Undo its layers, one after the other."""
    observe = Observation.draw(np.random.default_rng(0), 3, 12, 3)
    z = np.random.default_rng(1).standard_normal((50, 3))
    x = observe(z).astype(np.float64)
    for turn in reversed(observe.turns):
        x = np.where(x > 0, x, x / 0.2) @ turn.T
    assert np.allclose(x @ observe.lift.T, z, atol=1e-4)


def test_hostile_settings_are_refused():
    with pytest.raises(ValueError, match="without hiding"):
        Observation.draw(np.random.default_rng(0), 3, 2, 1)
    with pytest.raises(ValueError, match="no world"):
        make_world("static", np.random.default_rng(0), 3, RHO)
    with pytest.raises(ValueError, match="condition number"):
        draw_matrix(np.random.default_rng(0), 3, 0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        replace(TINY, rhos=(0.5, 1.0))
    with pytest.raises(ValueError, match="two agents"):
        replace(TINY, agents=1)


def test_whitening_leaves_no_unit_of_the_code():
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((500, 3))) * torch.tensor([1e-6, 1, 1e6])
    mean, white = whitener(rows)
    code = (rows - mean) @ white
    assert torch.allclose(code.T @ code / len(code), torch.eye(3, dtype=code.dtype), atol=1e-8)


def test_agents_learn_the_latents_and_share_nothing():
    world = make_world("gaussian", np.random.default_rng(0), 2, RHO)
    states = States.draw(world, np.random.default_rng(1), 2000, 2000)
    sizes = Sizes(latents=2, width=6, hidden=32, pairs=256, steps=120)
    agents = [raise_agent(world, 0, index, sizes, quiet, alignment_loss) for index in range(2)]
    first, last = ([embed_states(agent, look, states) for agent in agents] for look in (0, -1))

    assert not np.array_equal(agents[0].observe(states.fitting), agents[1].observe(states.fitting))
    assert agreement(*last).score > max(0.8, agreement(*first).score)
    assert len(agents[0].encoders) == len(sizes.looks) == 5
    assert bound_of(last[0], RHO).value < bound_of(first[0], RHO).value


def test_a_matrix_keeps_a_world_without_loss_and_the_loss_in_whitened_units():
    truth = states_of("turning", 2000).truth
    assert scan(truth, fit_linear(truth), [0])["raw"].max() < 1e-18
    noisy = Code(truth.fitting, truth.scoring, truth.following + 0.1 * truth.fitting)
    found = scan(noisy, fit_linear(noisy), [0])

    assert found["inside"].all()
    assert found["whitened"].max() <= 1e-6
    assert refitted_change(noisy, [0]).max() <= 1e-6
    assert found["raw"].max() > 10 * found["loss"]  # the raw loss does change


def test_the_limits_of_a_matrix_are_reached():
    """Errors along its strongest direction grow by just as much as is allowed."""
    matrix = draw_matrix(np.random.default_rng(0), 3, 100.0)
    left, s, _ = torch.linalg.svd(matrix)
    now = torch.from_numpy(np.random.default_rng(1).standard_normal((100, 3)))
    later = now + 0.1 * left[:, 0]
    plain, grown = (
        losses(lambda rows: rows, now, later)[0],
        losses(carried(lambda rows: rows, matrix), now @ matrix, later @ matrix)[0],
    )
    assert s[0] == pytest.approx(10)
    assert grown == pytest.approx(100 * plain)


def test_all_parts_run_with_finite_figures_and_equal_seeds_give_equal_outcomes():
    outcomes = {(part, 0): theory.run(part, 0, TINY, quiet) for part in theory.parts(TINY)}
    for part in ("rho 0.5", "symmetry"):
        again = theory.run(part, 0, TINY, quiet)
        for name, measure in again.scores.items():
            assert np.array_equal(measure.values, outcomes[part, 0].scores[name].values), name
    results = Results(outcomes, [0])
    lines = theory.figures(results, TINY)
    assert [line.group for line in lines if line.threshold] == ["goals", "goals"]
    assert len({line.name for line in lines}) == len(lines)
    assert all(np.isfinite(line.estimate.value) for line in lines)
    assert all(isinstance(note, str) for note in theory.notes(results, TINY))
    for picture in theory.pictures(results, TINY).values():
        picture.canvas.draw()
    assert isinstance(TINY.upbringing, AgentSetup)

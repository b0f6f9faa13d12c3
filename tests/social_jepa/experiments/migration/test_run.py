import numpy as np
import pytest
import torch

from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.trained_agents import ring_poses, untrained_agent
from social_jepa.experiments.framework.experiment import ConditionResult, Results, Threshold
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.migration import run as migration
from social_jepa.experiments.migration.metrics import (
    FLOPS,
    TICKS,
    by_seed,
    cheapest,
    cost,
    figures,
    gain,
    ratio,
    winner,
)
from social_jepa.experiments.migration.training import Newcomer

TINY = {
    "upbringing": {
        "scene": {"renderer": "toy", "frame_size": 16, "objects": 1},
        "model": {"dim": 4, "width": 4, "hidden": 16},
        "training": {"steps": 60, "segments": 32, "replay_ticks": 1024, "core_eval_ticks": 64},
        "negotiation": {"pool_ticks": 128, "anchors": 16, "heldout": 32},
    },
    "scenes": (1,), "looked": (10, 30), "plain": ((60, 64, 256), (30, 32, 1024)), "glances": (0.5,),
    "courses": ((20, 64, 1024), (20, 64, 512)),
    "lessons": ((20, 64, 256), (20, 128, 512)), "control": (20, 64, 512), "early": 2,
    "onward": ((10, 64, 1024),), "before": (10, 64, 256), "start": 10, "rounds": 1, "turn": (10, 64, 512),
}  # fmt: skip


def quiet(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def settings():
    return build_config(migration.Settings, TINY, [])


@pytest.fixture(scope="module")
def outcomes(settings):
    return {
        (part, 1): migration.run(part, 1, settings, quiet)
        for part in migration.EXPERIMENT.conditions(settings)
    }


@pytest.fixture
def newcomer(settings):
    upbringing = settings.upbringing
    with untrained_agent(upbringing, 3, 1, ring_poses(upbringing, 2)) as agent:
        yield Newcomer(agent)


def planted(alone, taught, mutual=()):
    """Results of one seed whose trials are (FLOPs, ticks, R2)."""
    return planted_seeds([(alone, taught, mutual)])


def planted_seeds(seeds):
    outcomes = {}
    for seed, (alone, taught, mutual) in enumerate(seeds):
        arms = {
            "alone": {"one course": alone[-1:], "alone": alone}, "taught": {"taught": taught},
            "mutual": {"mutual": mutual},
        }  # fmt: skip
        for kind, found in arms.items():
            arrays = {a: np.array([(1, 1, t, f, r) for f, t, r in rows]) for a, rows in found.items()}
            outcomes[f"{kind}-3", seed] = ConditionResult({}, arrays)
    return Results(outcomes, list(range(len(seeds))))


def test_costs_are_those_of_the_cheapest_way_that_gets_there():
    results = planted(
        alone=[(10, 1000, 0.70), (40, 500, 0.86), (20, 1000, 0.88), (100, 1000, 1.0)],
        taught=[(2, 100, 0.80), (5, 200, 0.90), (8, 100, 0.96)],
    )
    assert cost(results, 3, "alone", 0.85, FLOPS).value == 20
    assert cost(results, 3, "alone", 0.85, TICKS).value == 500
    assert ratio(results, 3, "taught", 0.85).value == 0.25
    assert ratio(results, 3, "taught", 0.95).value == 0.08
    assert ratio(results, 3, "taught", 0.85, TICKS).value == pytest.approx(0.2)
    assert ratio(results, 3, "taught", 0.85, FLOPS, "one course").value == 0.05


def test_teaching_each_other_is_held_against_what_costs_as_much_up_to_rounding():
    alone = [(99.0, 9, 0.5), (100.02, 9, 0.7), (102.0, 9, 0.9)]
    assert gain(planted(alone, [], [(100.0, 9, 0.6)]), 3, 0) == pytest.approx(-0.1)
    assert gain(planted(alone, [], [(99.5, 9, 0.6)]), 3, 0) == pytest.approx(-0.1)
    assert gain(planted(alone, [], [(98.5, 9, 0.6)]), 3, 0) == pytest.approx(0.1)


def test_frames_alone_are_those_of_the_fewest_that_reach_however_long_it_takes():
    results = planted(
        alone=[(900, 128, 0.5), (900, 256, 0.96), (10, 1000, 0.97), (100, 1000, 1.0)],
        taught=[(5, 64, 0.96)],
    )
    assert ratio(results, 3, "taught", 0.95, TICKS).value == 0.25
    assert ratio(results, 3, "taught", 0.95, FLOPS).value == 0.5


def test_notes_tell_a_ratio_by_seed_and_which_way_had_the_fewest_of_each():
    alone = [(40, 500, 0.96), (20, 1000, 0.97), (100, 1000, 1.0)]
    results = planted_seeds([(alone, [(2, 100, 0.96)], ()), (alone, [(10, 250, 0.96)], ())])
    said = by_seed(results, 3)
    assert said == "3 objects, to 95 %, taught over alone, by seed: FLOPs 0.100, 0.500; frames 0.200, 0.500."
    assert winner(results, 3, "alone", FLOPS).count("out of 1000") == 2
    assert winner(results, 3, "alone", TICKS).count("out of 500") == 2


def test_what_is_never_reached_costs_no_number_and_meets_no_goal():
    assert np.isnan(cheapest(np.array([[1, 1, 1, 1, 0.5]]), 0.6, FLOPS))
    results = planted(alone=[(100, 10, 1.0)], taught=[(1, 1, 0.2)])
    found = ratio(results, 3, "taught", 0.95)
    assert np.isnan(found.value)
    assert not Threshold("<=", 0.28).met(found.value)


def test_who_is_told_the_state_learns_it_and_shuffled_ticks_teach_nothing(newcomer):
    agent = newcomer.agent
    state = torch.from_numpy(agent.scene.factors(agent.train_start + np.arange(512)))
    right = newcomer.taught(newcomer.untrained(), state, 80, 128)
    wrong = newcomer.taught(newcomer.untrained(), state[np.random.default_rng(0).permutation(512)], 80, 128)
    assert right.score.score > 0.7
    assert right.score.score > wrong.score.score + 0.3
    assert right.flops == wrong.flops > 0
    assert (right.batch, right.ticks) == (128, 512)


def test_every_course_begins_with_the_same_weights_and_takes_the_same_steps(newcomer):
    first, again = newcomer.untrained(), newcomer.untrained()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    whole = newcomer.alone(first, 8, (4,))
    alike = newcomer.alone(again, 8)[-1]
    assert [trial.steps for trial in whole] == [4, 8]
    assert np.array_equal(whole[-1].score.values, alike.score.values)
    assert whole[-1].flops == 2 * whole[0].flops == alike.flops


def test_costs_grow_with_steps_and_frames_and_not_with_memory(newcomer):
    flops = {
        way: newcomer.alone(newcomer.untrained(), way[0], (), *way[1:])[-1].flops
        for way in ((2, 64, 1024), (4, 64, 1024), (2, 128, 1024), (2, 64, 512))
    }
    one, longer, wider, forgetful = flops.values()
    assert longer == 2 * one
    assert wider == pytest.approx(2 * one, rel=0.05)
    assert forgetful == one


@pytest.mark.parametrize(
    "wrong",
    [
        {"scenes": ()}, {"lessons": ((10, 64, 30000),)}, {"lessons": ((10, 512, 256),)},
        {"courses": ((0, 64, 256),)}, {"rounds": 0}, {"start": 0}, {"plain": ((10, 64, 30000),)},
        {"glances": (0.5, 1.0)}, {"glances": (0.0,)},
    ],
)  # fmt: skip
def test_settings_in_which_nobody_learns_are_refused(wrong):
    with pytest.raises(ValueError, match=r"scenes|ways|rounds|glances"):
        migration.Settings(**wrong)


def test_a_run_gives_every_figure_note_and_picture(outcomes, settings):
    results = Results(outcomes, [1])
    lines = figures(results, settings)
    assert [line.threshold is not None for line in lines[:3]] == [True, True, False]
    assert len(lines) <= 40
    measured = [line for line in lines if line.name.startswith(("R2", "highest"))]
    assert len(measured) == 9
    assert all(np.isfinite(line.estimate.value) for line in measured)
    assert all(isinstance(note, str) for note in migration.notes(results, settings))
    for picture in migration.pictures(results, settings).values():
        picture.canvas.draw()


def test_alone_may_take_few_frames_for_long_and_is_looked_at_in_the_middle(outcomes):
    ways = outcomes["alone-1", 1].arrays["alone"][:, :3].tolist()
    assert ways[:4] == [[30, 64, 256], [60, 64, 256], [15, 32, 1024], [30, 32, 1024]]
    assert len(ways) == 4 + 4 + 3


def test_the_full_run_lets_alone_be_cheap_in_frames_and_in_small_batches():
    full = migration.Settings()
    course, alone = full.upbringing.training, (*full.plain, *full.courses)
    whole = [
        ticks for *way, ticks in full.plain if way == [course.steps, course.segments * course.segment_ticks]
    ]
    assert min(whole) <= min(ticks for *_, ticks in full.lessons)
    assert {batch for _, batch, _ in full.lessons} <= {batch for _, batch, _ in alone}


def test_equal_arguments_give_equal_outcomes(outcomes, settings):
    again = migration.run("taught-1", 1, settings, quiet)
    for name, array in again.arrays.items():
        assert np.array_equal(array, outcomes["taught-1", 1].arrays[name]), name
    for name, measure in again.scores.items():
        assert isinstance(measure, Score)
        assert np.array_equal(measure.values, outcomes["taught-1", 1].measures[name].values)

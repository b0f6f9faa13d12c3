"""Laws of the migration experiment."""

import numpy as np
import pytest
import torch

from agents.training.trainer import Trainer
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.trained_agents import ring_poses, untrained_agent
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.migration.metrics import (
    FLOPS,
    TICKS,
    cheapest,
    cheapest_schedules,
    cost,
    cost_ratio,
    mutual_gain,
    ratios_by_seed,
)
from social_jepa.experiments.migration.run import EXPERIMENT, run
from social_jepa.experiments.migration.settings import Settings
from social_jepa.experiments.migration.training import Student
from tests.support.stored_plots import stored_plots

TINY = {
    "setup": {
        "scene": {"renderer": "toy", "frame_size": 16, "objects": 1},
        "model": {"dim": 4, "width": 4, "hidden": 16},
        "training": {"steps": 60, "segments": 32, "replay_ticks": 1024, "core_eval_ticks": 64},
        "negotiation": {"pool_ticks": 128, "anchors": 16, "heldout": 32},
    },
    "object_counts": (1,), "eval_steps": (10, 30), "eval_shares": (0.5,),
    "default_warmup_schedules": ((60, 64, 256), (30, 32, 1024)),
    "long_warmup_schedules": ((20, 64, 1024), (20, 64, 512)),
    "distillation_schedules": ((20, 64, 256), (20, 128, 512)), "control_schedule": (20, 64, 512),
    "early_teacher_steps": 2, "continuation_schedules": ((10, 64, 1024),),
    "initial_distillation": (10, 64, 256), "mutual_start_steps": 10, "mutual_rounds": 1,
    "mutual_schedule": (10, 64, 512),
}  # fmt: skip


def discard(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def settings():
    return build_config(Settings, TINY, [])


@pytest.fixture(scope="module")
def condition_results(settings):
    return {
        (condition, 1): run(condition, 1, settings, discard) for condition in EXPERIMENT.conditions(settings)
    }


@pytest.fixture
def student(settings):
    setup = settings.setup
    with untrained_agent(setup, 3, 1, ring_poses(setup, 2)) as agent:
        yield Student(agent)


def planted_results(alone, distilled, mutual=()):
    """Results of one seed whose trials are (FLOPs, ticks, R2)."""
    return planted_seeds([(alone, distilled, mutual)])


def planted_seeds(seeds):
    found = {}
    for seed, (alone, distilled, mutual) in enumerate(seeds):
        trials = {
            "alone": {"full schedule": alone[-1:], "alone": alone}, "distilled": {"distilled": distilled},
            "mutual": {"mutual": mutual},
        }  # fmt: skip
        for kind, methods in trials.items():
            arrays = {name: np.array([(1, 1, t, f, r) for f, t, r in rows]) for name, rows in methods.items()}
            found[f"{kind}-3", seed] = ConditionResult({}, arrays)
    return Results(found, list(range(len(seeds))))


def test_the_cost_is_that_of_the_cheapest_trial_that_reaches_the_score():
    results = planted_results(
        alone=[(10, 1000, 0.70), (40, 500, 0.86), (20, 1000, 0.88), (100, 1000, 1.0)],
        distilled=[(2, 100, 0.80), (5, 200, 0.90), (8, 100, 0.96)],
    )
    assert cost(results, 3, "alone", 0.85, FLOPS).value == 20
    assert cost(results, 3, "alone", 0.85, TICKS).value == 500
    assert cost_ratio(results, 3, "distilled", 0.85).value == pytest.approx(0.25)
    assert cost_ratio(results, 3, "distilled", 0.95).value == pytest.approx(0.08)
    assert cost_ratio(results, 3, "distilled", 0.85, TICKS).value == pytest.approx(0.2)
    assert cost_ratio(results, 3, "distilled", 0.85, FLOPS, "full schedule").value == pytest.approx(0.05)


def test_mutual_gain_is_relative_to_trials_of_equal_cost_up_to_a_tolerance():
    alone = [(99.0, 9, 0.5), (100.02, 9, 0.7), (102.0, 9, 0.9)]
    assert mutual_gain(planted_results(alone, [], [(100.0, 9, 0.6)]), 3, 0) == pytest.approx(-0.1)
    assert mutual_gain(planted_results(alone, [], [(99.5, 9, 0.6)]), 3, 0) == pytest.approx(-0.1)
    assert mutual_gain(planted_results(alone, [], [(98.5, 9, 0.6)]), 3, 0) == pytest.approx(0.1)


def test_the_cheapest_in_frames_may_be_expensive_in_flops():
    results = planted_results(
        alone=[(900, 128, 0.5), (900, 256, 0.96), (10, 1000, 0.97), (100, 1000, 1.0)],
        distilled=[(5, 64, 0.96)],
    )
    assert cost_ratio(results, 3, "distilled", 0.95, TICKS).value == pytest.approx(0.25)
    assert cost_ratio(results, 3, "distilled", 0.95, FLOPS).value == pytest.approx(0.5)


def test_notes_list_ratios_and_the_cheapest_schedules_by_seed():
    alone = [(40, 500, 0.96), (20, 1000, 0.97), (100, 1000, 1.0)]
    results = planted_seeds([(alone, [(2, 100, 0.96)], ()), (alone, [(10, 250, 0.96)], ())])
    note = ratios_by_seed(results, 3)
    assert note == "3 objects, to 95 %, distilled / alone, by seed: FLOPs 0.100, 0.500; frames 0.200, 0.500."
    assert cheapest_schedules(results, 3, "alone", FLOPS).count("out of 1000") == 2
    assert cheapest_schedules(results, 3, "alone", TICKS).count("out of 500") == 2


def test_a_score_that_is_never_reached_costs_nan_and_meets_no_threshold():
    assert np.isnan(cheapest(np.array([[1, 1, 1, 1, 0.5]]), 0.6, FLOPS))
    results = planted_results(alone=[(100, 10, 1.0)], distilled=[(1, 1, 0.2)])
    estimate = cost_ratio(results, 3, "distilled", 0.95)
    assert np.isnan(estimate.value)
    assert not Threshold("<=", 0.28).met(estimate.value)


def test_distilling_the_state_transfers_it_and_shuffled_ticks_transfer_nothing(student):
    agent = student.agent
    state = torch.from_numpy(agent.scene.factors(agent.ticks.train_start + np.arange(512)))
    right = student.distill(student.untrained_model(), state, 80, 128)
    shuffled = state[np.random.default_rng(0).permutation(512)]
    wrong = student.distill(student.untrained_model(), shuffled, 80, 128)
    assert right.score.score > 0.7
    assert right.score.score > wrong.score.score + 0.3
    assert right.flops == wrong.flops > 0
    assert (right.batch, right.ticks) == (128, 512)


def test_every_schedule_starts_with_the_same_weights_and_takes_the_same_steps(student):
    first, again = student.untrained_model(), student.untrained_model()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    evaluated = student.train_alone(first, 8, (4,))
    plain = student.train_alone(again, 8)[-1]
    assert [trial.steps for trial in evaluated] == [4, 8]
    assert np.array_equal(evaluated[-1].score.values, plain.score.values)
    assert evaluated[-1].flops == 2 * evaluated[0].flops == plain.flops


def test_frames_are_those_that_training_read_and_not_all_that_were_recorded(student, monkeypatch):
    read, original = set(), Trainer.batch_ticks
    early, late = student.train_alone(student.untrained_model(), 6, (2,))
    recorded = student.agent.spec.training.replay_ticks
    assert 0 < early.ticks < late.ticks < recorded
    assert early.ticks <= 2 * early.batch
    buffer = student.agent.trainer.replay_buffer
    draw = type(buffer).draw

    def watched(self, *arguments):
        ticks = draw(self, *arguments)
        read.update(ticks.ravel().tolist())
        return ticks

    monkeypatch.setattr(type(buffer), "draw", watched)
    monkeypatch.setattr(
        Trainer, "batch_ticks", lambda self, step: np.zeros(1)
    )  # so that counting draws nothing
    student.train_alone(student.untrained_model(), 6)
    monkeypatch.setattr(Trainer, "batch_ticks", original)
    assert late.ticks == len(read)


def test_costs_grow_with_steps_and_batch_and_not_with_replay_ticks(student):
    flops = {
        schedule: student.train_alone(student.untrained_model(), schedule[0], (), *schedule[1:])[-1].flops
        for schedule in ((2, 64, 1024), (4, 64, 1024), (2, 128, 1024), (2, 64, 512))
    }
    base, longer, larger_batch, fewer_ticks = flops.values()
    assert longer == 2 * base
    assert larger_batch == pytest.approx(2 * base, rel=0.05)
    assert fewer_ticks == base


@pytest.mark.parametrize(
    "change",
    [
        {"object_counts": ()}, {"distillation_schedules": ((10, 64, 60000),)},
        {"distillation_schedules": ((10, 512, 256),)}, {"long_warmup_schedules": ((0, 64, 256),)},
        {"mutual_rounds": 0}, {"mutual_start_steps": 0},
        {"default_warmup_schedules": ((10, 64, 60000),)}, {"eval_shares": (0.5, 1.0)},
        {"eval_shares": (0.0,)},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_run_are_refused_by_name(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Settings(**change)


def test_a_run_gives_every_metric_note_and_plot(condition_results, settings):
    results = Results(condition_results, [1])
    metrics = EXPERIMENT.metrics(results, settings)
    assert [metric.threshold is not None for metric in metrics[:3]] == [True, True, False]
    assert len(metrics) <= 40
    scored = [metric for metric in metrics if metric.name.startswith(("R2", "highest"))]
    assert len(scored) == 9
    assert all(np.isfinite(metric.estimate.value) for metric in scored)
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, settings))
    for figure in stored_plots(EXPERIMENT, results, settings).values():
        figure.canvas.draw()


def test_schedules_alone_may_have_few_frames_and_are_scored_at_intermediate_steps(condition_results):
    trials = condition_results["alone-1", 1].arrays["alone"][:, :3].tolist()
    assert trials[:4] == [[30, 64, 256], [60, 64, 256], [15, 32, 370], [30, 32, 612]]
    assert len(trials) == 4 + 4 + 3


def test_the_full_run_has_schedules_alone_with_few_frames_and_small_batches():
    settings = Settings()
    training = settings.setup.training
    alone = (*settings.default_warmup_schedules, *settings.long_warmup_schedules)
    full = [training.steps, training.segments * training.segment_ticks]
    frames = [ticks for *schedule, ticks in settings.default_warmup_schedules if schedule == full]
    assert min(frames) <= min(ticks for *_, ticks in settings.distillation_schedules)
    assert {batch for _, batch, _ in settings.distillation_schedules} <= {batch for _, batch, _ in alone}


def test_equal_arguments_give_equal_results(condition_results, settings):
    again = run("distilled-1", 1, settings, discard)
    first = condition_results["distilled-1", 1]
    for name, array in again.arrays.items():
        assert np.array_equal(array, first.arrays[name]), name
    for name, score in again.scores.items():
        assert isinstance(score, Score)
        assert np.array_equal(score.values, first.scores[name].values)

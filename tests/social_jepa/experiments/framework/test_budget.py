"""What experiments are expected to cost."""

from pathlib import Path

import pytest

from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.budget import (
    FULL,
    QUICK,
    Budget,
    expect,
    find_costs,
    read_costs,
    total,
)
from social_jepa.experiments.framework.registry import EXPERIMENTS, build_settings, load
from social_jepa.experiments.framework.runs import plan_run

RECORDED = find_documents(Path(__file__).resolve().parents[4] / "evidence")
TINY = "tests.support.tiny_experiment:EXPERIMENT"
PER_EXPERIMENT_QUICK = 90  # seconds on two CPUs


KINDS = [(name, kind) for name, costs in read_costs().items() for kind in costs]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_condition_of_an_experiment_has_a_cost_with_its_source(name, kind):
    costs, experiment = read_costs()[name][kind], load(name)

    assert set(costs.seconds) == set(experiment.conditions(build_settings(experiment, kind == QUICK, [])))
    assert all(seconds > 0 for seconds in costs.seconds.values())
    assert costs.source


@pytest.mark.parametrize("recorded", RECORDED, ids=[document.name for document in RECORDED])
def test_the_budget_of_a_recorded_experiment_is_what_it_took(recorded):
    spent = sum(costs.seconds for costs in recorded.conditions.values()) * len(recorded.seeds) / 60
    if not find_costs(recorded.name, quick=False).source.startswith("recorded"):
        pytest.skip("it was recorded with other conditions than it has now")

    assert expect(plan_run(recorded.name, seeds=len(recorded.seeds))).cpu_minutes == pytest.approx(spent)


@pytest.mark.parametrize("name", [name for name, kind in KINDS if kind == QUICK])
def test_every_measured_quick_run_ends_within_90_seconds_on_two_cpus(name):
    assert expect(plan_run(name, quick=True)).wall_seconds(2) < PER_EXPERIMENT_QUICK


def test_a_budget_counts_the_conditions_and_seeds_that_run():
    full = find_costs("collapse", quick=False).seconds
    two = ("joint", "search")

    run = plan_run("collapse", seeds=5)
    assert expect(run).cpu_minutes == pytest.approx(5 * sum(full.values()) / 60)
    assert expect(run, two).cpu_minutes == pytest.approx(5 * sum(full[name] for name in two) / 60)
    assert expect(plan_run(TINY)) is None


def test_tasks_side_by_side_take_their_share_or_the_longest_task():
    assert Budget((60.0, 60.0, 60.0), ("x",)).wall_seconds(2) == 90
    assert Budget((100.0, 10.0), ("x",)).wall_seconds(2) == 100
    assert Budget((60.0, 60.0), ("a", "b")).describe(2) == "about 2.0 CPU-minutes, 60 s on 2 CPUs (a; b)"


def test_a_total_leaves_out_what_is_not_known():
    known = Budget((60.0,), ("a",))

    assert total([known, None, known]) == Budget((60.0, 60.0), ("a",))
    assert total([None]) is None


def test_every_experiment_has_the_costs_of_its_full_run():
    assert set(read_costs()) == set(EXPERIMENTS)
    assert all(FULL in costs for costs in read_costs().values())

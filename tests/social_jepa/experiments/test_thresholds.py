"""Which metrics of each experiment are thresholds, and which are self-tests: no more, and no fewer."""

import pytest

from social_jepa.experiments.framework.experiment import ConditionResult, PartialResults
from social_jepa.experiments.framework.registry import EXPERIMENTS, build_settings, load
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.framework.table import SIMILARITIES

SELF_TESTS = {  # by experiment; all their other thresholds can fail
    "theory": {
        "share of pairs within the bound",
        "largest relative change of the whitened loss under A",
    },
    "viewpoint": {"R2 of the hidden object, from behind the wall"},
    "universe": {"64 agents: messages for a join", "64 agents: cycle error on the common block"},
    "collapse": {
        "joint: counterexamples to the lower bound",
        "collapsed-start: counterexamples to the lower bound",
        "collapsed-dynamics: share of pairs not bisimilar that merged",
        "search: counterexamples to the lower bound",
    },
}
THRESHOLDS = {  # number of thresholds, without self-tests
    "isometry": 6, "native-isometry": 12, "time-or-jepa": 16, "theory": 0, "viewpoint": 3, "scant-overlap": 3,
    "classifier-porting": 5, "probe-porting": 1, "plan-transfer": 8, "embodied": 5, "one-moment": 1,
    "universe": 4,    "invariance-equivariance": 5, "path-integration": 4, "collapse": 7,
}  # fmt: skip
NEEDS_ARRAYS = {"migration", "heterogeneous", "counting", "worlds"}  # of real agents


class AnyScore(dict):
    """Scores of a condition that has every score, each 0.5."""

    def __missing__(self, name):
        return Score.single(0.5)

    def __contains__(self, name):
        return True


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name not in NEEDS_ARRAYS])
def test_identities_and_theorems_are_self_tests_and_nothing_else_is(name):
    experiment = load(name)
    settings = build_settings(experiment, False, [])
    found = {(condition, 7): ConditionResult(AnyScore()) for condition in experiment.conditions(settings)}
    metrics = experiment.metrics(PartialResults(found, [7]), settings)

    compared = [metric for metric in metrics if metric.untrained is not None]
    assert all(metric.pixel_pca is not None for metric in compared)
    assert bool(compared) == (name in SIMILARITIES)
    assert {metric.name for metric in metrics if metric.self_test} == SELF_TESTS.get(name, set())
    goals = [metric for metric in metrics if metric.threshold and not metric.self_test]
    assert len(goals) == THRESHOLDS[name]

"""A short chaos test: one cycle of up and down while a process is ended."""

import random

import pytest

from benchmarks.soak.chaos import PHASES, SIGNALS, TARGETS, endure, plan

pytestmark = pytest.mark.ray


def test_twenty_cycles_reach_every_target_signal_and_phase():
    cycles = plan(20, random.Random(0))

    assert {target for target, _, _ in cycles} == set(TARGETS)
    assert {signal for _, signal, _ in cycles} == set(SIGNALS)
    assert {phase for _, _, phase in cycles} == set(PHASES)


@pytest.mark.timeout(900)  # four ups and downs
def test_an_ended_process_leaves_nothing_behind_and_the_edges_are_those_of_a_calm_run(tmp_path):
    metrics = endure(tmp_path, ["training.steps=200"], [("head", "SIGTERM", "settled")])

    assert metrics[0].value == 1
    missed = {metric.name: metric.value for metric in metrics[1:] if not metric.threshold.met(metric.value)}
    assert missed == {}

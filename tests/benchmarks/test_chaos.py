"""A short chaos test: some cycles of up and down while a process is ended or stopped."""

import random

import pytest

from benchmarks.soak.chaos import PHASES, SIGNALS, TARGETS, endure, plan

pytestmark = pytest.mark.ray

CYCLES = [
    ("agent", "SIGKILL", "training"),
    ("supervisor", "SIGSTOP 3 s", "training"),
]


def test_twenty_cycles_reach_every_target_signal_and_phase():
    cycles = plan(20, random.Random(0))

    assert {target for target, _, _ in cycles} == set(TARGETS)
    assert {signal for _, signal, _ in cycles} == set(SIGNALS)
    assert {phase for _, _, phase in cycles} == set(PHASES)


@pytest.mark.timeout(900)  # five ups and downs
def test_disturbed_processes_leave_nothing_behind_and_the_edges_are_those_of_a_calm_run(tmp_path):
    metrics = endure(tmp_path, ["training.steps=200"], CYCLES)

    values = {metric.name: metric.value for metric in metrics}
    assert values["cycles of up and down under signals"] == len(CYCLES)
    assert values["signals that reached their target"] == len(CYCLES)
    missed = {metric.name: metric.value for metric in metrics[1:] if not metric.threshold.met(metric.value)}
    assert missed == {}

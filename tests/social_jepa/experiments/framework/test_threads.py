"""Metrics and plots are computed with one thread, as tasks are, so that they are equal on every machine."""

import io
from dataclasses import replace

import torch
from rich.console import Console

from social_jepa.experiments.framework.runner import run_experiment
from social_jepa.experiments.framework.runs import plan_run


def test_metrics_are_computed_with_one_thread_and_the_caller_keeps_its_threads(tmp_path):
    threads = []
    run = plan_run("tests.support.tiny_experiment:EXPERIMENT", [], out=tmp_path, seeds=1)
    metrics = run.experiment.metrics

    def counting_threads(results, settings):
        threads.append(torch.get_num_threads())
        return metrics(results, settings)

    watched = replace(run, experiment=replace(run.experiment, metrics=counting_threads))
    torch.set_num_threads(2)
    try:
        run_experiment(watched, Console(file=io.StringIO()), workers=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert set(threads) == {1}

"""Figures are computed as units are, so that they are the same to the bit wherever they are made."""

import io
from dataclasses import replace

import torch
from rich.console import Console

from social_jepa.experiments.framework.runner import run
from social_jepa.experiments.framework.runs import plan_run


def test_figures_are_made_on_one_thread_and_the_caller_keeps_its_own(tmp_path):
    seen = []
    wanted = plan_run("tests.support.tiny_experiment:EXPERIMENT", [], out=tmp_path, seeds=1)
    figures = wanted.experiment.metrics

    def watched(results, settings):
        seen.append(torch.get_num_threads())
        return figures(results, settings)

    watching = replace(wanted, experiment=replace(wanted.experiment, metrics=watched))
    torch.set_num_threads(2)
    try:
        run(watching, Console(file=io.StringIO()), workers=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert set(seen) == {1}

"""Metrics equal the recorded ones to the last digit, on the machine type that recorded them."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import golden_figures


def recorded(name):
    figures = json.loads((golden_figures.GOLDEN / name).read_text())
    return figures.pop("machine") == golden_figures.machine(), figures


@pytest.mark.parametrize("kind", golden_figures.KINDS)
def test_agents_of_each_kind_reproduce_their_recorded_metrics(kind, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend("examples")
    exact, figures = recorded("agents.json")

    found = golden_figures.plain(golden_figures.of_kind(kind, tmp_path))

    chance = golden_figures.CHANCE_IN_TINY_MODELS
    assert golden_figures.compare(found, figures[kind], exact, chance) == []


def test_online_training_a_moved_camera_and_distillation_reproduce_their_recorded_metrics(tmp_path):
    exact, figures = recorded("agents.json")

    found = golden_figures.plain(golden_figures.of_life(tmp_path))

    chance = golden_figures.CHANCE_IN_TINY_MODELS
    assert golden_figures.compare(found, figures["life"], exact, chance) == []


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_the_default_run_reproduces_its_recorded_metrics(tmp_path):
    exact, figures = recorded("default_run.json")
    command = [sys.executable, "-m", "social_jepa", "run", "--out", str(tmp_path / "run")]

    subprocess.run(command, check=True, env=dict(os.environ), stdout=subprocess.DEVNULL)

    found = golden_figures.plain(golden_figures.of_run(tmp_path / "run"))
    assert golden_figures.compare(found, figures, exact) == []

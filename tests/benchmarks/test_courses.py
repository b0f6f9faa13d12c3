import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from agents.training.settings import TrainingConfig
from benchmarks import courses
from benchmarks.courses import Course
from social_jepa.config.overrides import build_config
from social_jepa.config.run_config import RunConfig
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

SHORT = Course(8, 32, 2048, 6, 5e-3)
LONG = replace(SHORT, frames=8192, steps=150)


@pytest.fixture(scope="module")
def rows():
    setup = build_config(AgentSetup, QUICK_SETUP, [])
    return courses.measure([SHORT, LONG, SHORT], setup, [0])


def test_longer_courses_cost_and_reach_more(rows):
    short, longer, _ = rows
    assert longer["tflop"][0] > 2 * short["tflop"][0] > 0
    assert min(*short["recording"], *longer["recording"], *short["training"], *longer["training"]) > 0
    for name in ("probe", "core", "all"):
        assert longer[name][0] > short[name][0]
    assert longer["core"][0] > 0.8


def test_the_same_course_reaches_the_same(rows):
    for name in ("probe", "few", "core", "all", "tflop"):
        assert rows[0][name] == rows[2][name]


def test_a_course_sets_each_of_its_fields_and_no_other():
    before = AgentSetup(training=TrainingConfig(own_ticks=True))
    after = Course(width=3, hidden=5, frames=768, steps=7, rate=0.25).apply(before)

    assert after.model == replace(before.model, width=3, hidden=5)
    assert after.training == replace(before.training, replay_ticks=768, steps=7, learning_rate=0.25)
    assert replace(after, model=before.model, training=before.training) == before


def test_the_course_of_a_run_is_among_those_that_are_measured():
    run = RunConfig()

    assert courses.default_course() == Course(
        run.model.width, run.model.hidden, run.training.replay_ticks, run.training.steps,
        run.training.learning_rate,
    )  # fmt: skip
    assert courses.default_course() in courses.COURSES


def test_the_terminal_and_the_docs_show_the_same_cells(rows, tmp_path, monkeypatch):
    script = Path(__file__).resolve().parents[2] / "scripts" / "update_docs.py"
    spec = importlib.util.spec_from_file_location("update_docs", script)
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    monkeypatch.setattr(generator, "COURSES", tmp_path / "courses.json")
    document = {"seeds": [0], "searched_seeds": [100], "rows": rows}
    generator.COURSES.write_text(json.dumps(document))

    shown = [line.split() for line in courses.table(rows)[1:]]
    written = [line.replace("|", " ").split() for line in generator.courses_block().splitlines()[2:5]]

    assert shown == written

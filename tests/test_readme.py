import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "scripts" / "update_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_shows_what_the_commands_generated(generator):
    text = (ROOT / "README.md").read_text()

    assert generator.readme(text) == text


def test_a_table_without_its_marks_is_an_error_and_not_a_silent_omission(generator):
    with pytest.raises(ValueError, match="no <!-- demo -->"):
        generator.replace_block("no marks here", "demo", "table")


def test_a_living_simulation_s_figures_stand_in_one_row_each(generator, tmp_path, monkeypatch):
    goal = {"bound": 0.95, "least": True, "of_ratio": True}
    figure = {"name": "speed", "value": 9.0, "unit": "steps/s", "reference": "undisturbed"}
    figure |= {"reference_value": 10.0, "goal": goal, "met": False}
    machine = {"cores": 2, "python": "3.11", "torch": "2"}
    document = {"machine": machine, "figures": [figure], "failed": {"living_api": "no server"}}
    monkeypatch.setattr(generator, "SOAK", tmp_path / "soak.json")
    generator.SOAK.write_text(json.dumps(document))

    rows = generator.soak_block().splitlines()

    assert rows[2] == "| speed | ≥ 0.95 times | 9 steps/s (undisturbed: 10 steps/s) | **no** |"
    assert rows[3] == "| api | | failed | **no** |"


def test_metrics_of_experiments_that_have_thresholds_are_in_one_table(generator, tmp_path, monkeypatch):
    missed = {"name": "a|b", "value": 0.5, "low": 0.4, "high": 0.6, "threshold": "> 1", "met": False}
    single = {"name": "n", "value": 2.0, "low": None, "high": None, "threshold": ">= 1", "met": True}
    free = missed | {"name": "free", "threshold": None, "met": None}
    document = {"format": 1, "name": "counting", "question": "Why?", "seeds": [0]}
    document["metrics"] = [missed, free, single]
    (tmp_path / "counting").mkdir()
    (tmp_path / "counting" / "results.json").write_text(json.dumps(document))
    monkeypatch.setattr(generator, "EVIDENCE", tmp_path)

    assert generator.experiments_block().splitlines()[2:4] == [
        r"| [counting](evidence/counting/README.md) | a\|b | 0.500 (0.400 to 0.600) | \> 1 | **no** |",
        r"|  | n | 2 | \>= 1 | yes |",
    ]


def test_every_file_that_the_readme_names_is_there():
    text = (ROOT / "README.md").read_text()
    named = {part.split(")")[0] for part in text.split("](")[1:]}

    assert {name for name in named if not name.startswith("http") and not (ROOT / name).exists()} == set()


def test_of_a_benchmark_that_was_run_again_the_later_run_counts(generator, tmp_path):
    def document(name, *pairs, failed=()):
        figures = [{"benchmark": part, "name": part, "value": value} for part, value in pairs]
        (tmp_path / name).write_text(json.dumps({"figures": figures, "failed": dict.fromkeys(failed, "why")}))
        return tmp_path / name

    found = generator.merged([
        document("first", ("a", 1), ("b", 2), ("b", 3), ("c", 4), failed=["d"]), document("b", ("b", 5)),
        document("d", ("d", 6)),
    ])  # fmt: skip

    values = [(figure["benchmark"], figure["value"]) for figure in found["figures"]]
    assert values == [("a", 1), ("b", 5), ("c", 4), ("d", 6)]
    assert found["failed"] == {}

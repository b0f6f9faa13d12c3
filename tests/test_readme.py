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


def test_the_readme_tables_are_generated_from_evidence(generator):
    text = (ROOT / "README.md").read_text()

    assert generator.readme(text) == text


def test_a_missing_marker_raises(generator):
    with pytest.raises(ValueError, match="no <!-- demo -->"):
        generator.replace_block("no marks here", "demo", "table")


def test_each_soak_metric_is_one_row(generator, tmp_path, monkeypatch):
    threshold = {"bound": 0.95, "is_minimum": True, "of_ratio": True}
    metric = {"name": "speed", "value": 9.0, "unit": "steps/s", "reference": "undisturbed"}
    metric |= {"reference_value": 10.0, "threshold": threshold, "met": False}
    machine = {"cpus": 2, "python": "3.11", "torch": "2"}
    document = {"machine": machine, "metrics": [metric], "failed": {"api": "no server"}}
    monkeypatch.setattr(generator, "SOAK", tmp_path / "soak.json")
    generator.SOAK.write_text(json.dumps(document))

    rows = generator.soak_block().splitlines()

    assert rows[2] == "| speed | ≥ 0.95 times | 9 steps/s (undisturbed: 10 steps/s) | **no** |"
    assert rows[3] == "| api | | failed | **no** |"


def test_metrics_with_thresholds_are_one_table(generator, tmp_path, monkeypatch):
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


def test_every_link_of_the_readme_exists():
    text = (ROOT / "README.md").read_text()
    named = {part.split(")")[0] for part in text.split("](")[1:]}

    assert {name for name in named if not name.startswith("http") and not (ROOT / name).exists()} == set()


def test_the_last_run_of_each_benchmark_counts(generator, tmp_path):
    def document(name, *pairs, failed=()):
        metrics = [{"benchmark": key, "name": key, "value": value} for key, value in pairs]
        (tmp_path / name).write_text(json.dumps({"metrics": metrics, "failed": dict.fromkeys(failed, "why")}))
        return tmp_path / name

    found = generator.merged([
        document("first", ("a", 1), ("b", 2), ("b", 3), ("c", 4), failed=["d"]), document("b", ("b", 5)),
        document("d", ("d", 6)),
    ])  # fmt: skip

    values = [(metric["benchmark"], metric["value"]) for metric in found["metrics"]]
    assert values == [("a", 1), ("b", 5), ("c", 4), ("d", 6)]
    assert found["failed"] == {}

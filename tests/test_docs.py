"""The README and docs/ say what is so: generated blocks, links, commands, settings, and code."""

import ast
import importlib
import importlib.util
import json
import re
import shlex

import pytest

from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.table import markdown_page
from social_jepa.records import encode, replace
from tests.support.pages import BLOCK, ROOT, blocks
from tests.support.results_document import PLAIN

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize("path", PAGES, ids=name_of)


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("update_docs", ROOT / "scripts" / "update_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_blocks_show_the_recorded_results_and_the_settings_of_the_code(generator):
    stale = [
        file
        for file in generator.BLOCKS
        if generator.update(file, (ROOT / file).read_text()) != (ROOT / file).read_text()
    ]

    assert not stale, "python scripts/update_docs.py writes them again"


@every_page
def test_every_link_leads_to_a_file_of_the_project(path):
    targets = re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", path.read_text()))
    files = [target.partition("#")[0] for target in targets if not re.match(r"https?://|#|mailto:", target)]

    assert [file for file in files if not (path.parent / file).exists()] == []


@every_page
def test_every_file_that_a_page_names_is_there(path):
    """Paths in code spans that begin with one of our folders; NAME, RUN and … stand for names."""
    spans = re.findall(
        r"`((?:env|alignment|agents|social_jepa|tests|scripts|docs|examples|evidence|benchmarks)/[^`]*)`",
        BLOCK.sub("", path.read_text()),
    )
    named = [span for span in spans if not re.search(r"[A-Z]{3}|…|\*|\s|<", span.replace("README", ""))]
    if path.name == "CHANGELOG.md":
        pytest.skip("it names what used to be")

    assert [name for name in named if not (ROOT / name).exists()] == []


@every_page
def test_python_blocks_parse_and_import_what_exists(path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    for text in blocks(path, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert not missing, f"{node.module} has no {missing}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)


def commands(path):
    """Every command line of ours on a page, in code blocks and in code spans."""
    text = path.read_text()
    shown = [line for block in blocks(path, "sh") for line in block.splitlines()]
    shown += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    found = []
    for line in shown:
        match = re.match(r"(?:[A-Z_]+=\S+\s+)*(social-jepa\s.+)", line.partition("  #")[0])
        if match and "…" not in match[1]:
            found.append(match[1].strip())
    return found


@every_page
def test_every_command_and_option_that_a_page_shows_exists(path):
    import typer.main

    from social_jepa.cli.app import app

    group = typer.main.get_command(app)
    for line in commands(path):
        words = shlex.split(line)[1:]
        if words[0].startswith("-"):
            continue
        assert words[0] in group.commands, line
        command = group.commands[words[0]]
        if hasattr(command, "commands") and words[1:]:
            name = "start" if words[0] == "peer" and words[1].startswith("-") else words[1]
            assert name in command.commands, line
            command = command.commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word.partition("=")[0] for word in words[1:] if re.match(r"-(-|[a-z]$)", word)}
        assert used <= known | {"--help"}, line


@every_page
def test_every_setting_that_a_page_gives_to_a_run_exists(path):
    from social_jepa.config.overrides import keys
    from social_jepa.config.run_config import RunConfig

    known = set(keys(RunConfig))
    for line in commands(path):
        words = shlex.split(line)[1:]
        if words[0] not in ("run", "up", "add-agent"):
            continue
        given = {word.partition("=")[0] for word in words[1:] if re.match(r"[a-z_.]+=", word)}
        assert given <= known, line


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "docs/architecture.md"])
def test_a_page_that_a_newcomer_reads_is_short(page):
    assert len((ROOT / page).read_text().splitlines()) < 200


def test_the_readme_stays_under_160_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) < 160


def test_every_page_is_part_of_the_documentation_site():
    import yaml

    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"[\w/]+\.md", text))

    assert yaml.safe_load(text)["docs_dir"] == "docs"
    assert {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} == listed


def test_a_block_without_its_marks_is_an_error(generator):
    with pytest.raises(ValueError, match="no <!-- demo -->"):
        generator.replace_block("no marks here", "demo", "table")


def test_a_setting_is_listed_with_its_default_and_the_comment_beside_it(generator):
    rows = generator.settings_block().splitlines()

    assert any(row.startswith("| `training.steps` | `450` | ") and len(row) > 35 for row in rows)
    assert any(row.startswith("| `model.seq_jepa.encoder.dim` | `64` | ") for row in rows)
    undescribed = [row for row in rows if row.endswith("|  |")]
    assert undescribed == []


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
    missed = replace(PLAIN.metrics[0], name="a|b", threshold="> 1")
    single = replace(missed, name="n", value=2.0, by_seed=(2.0,), threshold=">= 1")
    free = replace(missed, name="free", threshold=None)
    algebra = replace(single, name="zero", self_test="a - a")
    document = replace(PLAIN, name="counting", metrics=(missed, free, algebra, single))
    (tmp_path / "counting").mkdir()
    (tmp_path / "counting" / "results.json").write_bytes(encode(document))
    monkeypatch.setattr(generator, "EVIDENCE", tmp_path)

    assert generator.experiments_block().splitlines()[2:4] == [
        r"| [Not reproduced: counting](../evidence/counting/README.md) | a\|b | 0.500 (0.400 to 0.600) "
        r"| \> 1 | **no** |",
        r"|  | n | 2 | \>= 1 | open |",
    ]
    assert generator.self_tests_block().splitlines()[2:] == [
        r"| [counting](../evidence/counting/README.md) | zero | 2 | \>= 1 | yes | a - a |"
    ]


RECORDED = find_documents(ROOT / "evidence")


@pytest.mark.parametrize("recorded", RECORDED, ids=[document.name for document in RECORDED])
def test_the_page_of_a_recorded_experiment_says_what_its_results_say(recorded):
    page = ROOT / "evidence" / recorded.name / "README.md"

    assert page.read_text(encoding="utf-8") == markdown_page(recorded)


def test_r2_against_bytes_counts_edges_of_seeds_that_were_not_searched(generator, tmp_path, monkeypatch):
    def row(anchors, *edges):
        names = ("seed", "bytes", "shared", "r2")
        edges = [dict(zip(names, edge, strict=True)) | {"embeddings": 1000} for edge in edges]
        return {"anchors": anchors, "heldout": 9, "dims": "core", "precision": "int8", "edges": edges}

    rows = [
        row(1, (1, 9000, 1, 0.1), (2, 1500, 6, 0.9), (3, 1400, 6, 0.8)),
        row(2, (1, 9000, 1, 0.1), (2, 1024, 4, 0.5), (3, 1000, 6, 0.7)),
        row(3, (1, 1000, 6, 0.9), (2, 1000, 6, 0.4), (3, 1025, 6, 0.9)),
        row(4, (1, 9000, 6, 0.9), (2, 1000, 6, 0.4), (3, 1000, 6, 0.4)),
    ]
    document = {"seeds": [1, 2, 3], "searched_seeds": [0, 1], "small_bytes": 1024, "rows": rows}
    monkeypatch.setattr(generator, "EDGE_BYTES", tmp_path / "edge_bytes.json")
    generator.EDGE_BYTES.write_text(json.dumps(document))

    *table, _, note = generator.edge_bytes_block().splitlines()

    assert table[2] == "| 1 | 9 | core | int8 | 1,500 | 1,000 | 6 | 0.850 | 0.800 |"
    assert table[3] == "| 2 | 9 | core | int8 | 1,024 | 1,000 | 4 to 6 | 0.600 | 0.500 |"
    assert "each of the seeds 2, 3;" in note
    assert "searched on 0, 1," in note
    assert "Of the 2 rows" in note
    assert "best has 2 anchors and 9 held out and reaches 0.600, the worst 0.400" in note


def test_what_the_edges_of_each_world_found_is_one_row(generator, tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "EVIDENCE", tmp_path)
    assert "Not recorded yet" in generator.worlds_block()

    metrics = []
    for name in generator.WORLDS:
        number = replace(
            PLAIN.metrics[0], name=name, group="number of shared directions; baseline: the true one",
            by_seed=(6.0, 5.5), baseline=6.0, threshold=None, met=None,
        )  # fmt: skip
        r2 = replace(
            number, name=f"{name}: R2 shared", group="R2 on the shared directions",
            value=0.91, by_seed=(0.907639, 0.912361), untrained=0.25, pixel_pca=0.5, threshold=">= 0.9",
        )  # fmt: skip
        metrics += [number, r2]
    (tmp_path / "worlds").mkdir()
    document = replace(PLAIN, name="worlds", metrics=tuple(metrics))
    (tmp_path / "worlds" / "results.json").write_bytes(encode(document))

    rows = generator.worlds_block().splitlines()
    assert len(rows) == 2 + len(generator.WORLDS)
    assert rows[2].endswith("| 6, 5.500 | 6 | 0.910 (0.880 to 0.940) | 0.250 | 0.500 | open |")


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


def test_every_world_in_the_table_of_what_cameras_see_can_be_built_and_has_a_picture():
    spec = importlib.util.spec_from_file_location("draw_views", ROOT / "scripts" / "draw_views.py")
    views = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(views)

    worlds = views.worlds(views.PAGE.read_text())

    assert len(worlds) >= 6
    for picture, words in worlds.items():
        assert (views.PAGE.parent / picture).is_file()
        views.load_world(words, "miniworld")

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from social_jepa.cli.options import create_run, with_nice
from social_jepa.config.run_config import load_config
from social_jepa.records import encode
from tests.support.command import TINY, call

COMMANDS = (
    "run", "resume", "graph", "query", "report", "doctor", "check-scene",
    "up", "status", "add-agent", "move-agent", "remove-agent", "edge", "down", "align",
    "list", "export", "import", "compare", "fork",
)  # fmt: skip
OTHERS = {  # which have no --json
    "peer": "status", "wire": "inspect", "key": "rotate", "evidence": "verify",
}  # fmt: skip
HEAVY = {"torch", "ray", "matplotlib", "miniworld", "pyglet", "numpy", "networkx", "scipy"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, in which a refused command must leave nothing."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


HELP = """
import sys
from social_jepa.cli.app import main
for words in sys.argv[1].split(","):
    sys.argv = ["social-jepa", *words.split(), "--help"]
    try:
        main()
    except SystemExit as ending:
        print("status", ending.code or 0)
print("loaded:", *{name.partition(".")[0] for name in sys.modules})
"""


def test_help_imports_nothing_heavy_and_names_the_commands_and_options():
    words = ",".join(["", *COMMANDS, *OTHERS])
    done = subprocess.run([sys.executable, "-c", HELP, words], capture_output=True, text=True)
    text, _, loaded = done.stdout.partition("loaded:")
    overview, *pages, rest = text.split("status 0\n")

    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(loaded.split())
    assert all(word in overview for word in (*COMMANDS, *OTHERS))
    assert rest == ""
    for command, page in zip((*COMMANDS, *OTHERS), pages, strict=True):
        assert all(word in page for word in (OTHERS.get(command, "--json"), command))


def test_the_module_runs_the_command_line():
    done = subprocess.run([sys.executable, "-m", "social_jepa", "--help"], capture_output=True, text=True)

    assert done.returncode == 0
    assert "python -m social_jepa [OPTIONS] COMMAND" in done.stdout


@pytest.mark.parametrize(
    ("variables", "printed"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b"\xc3\x9cbung \xff"),
        ({"PYTHONIOENCODING": "utf-8"}, b"\xc3\x9cbung \\udcff"),
        ({"PYTHONIOENCODING": "latin-1"}, b"\xdcbung \\udcff"),
        ({"PYTHONIOENCODING": "cp1251", "PYTHONUTF8": "1"}, b"\\xdcbung \\udcff"),
    ],
    ids=["no locale", "UTF-8", "Latin-1", "Cyrillic"],
)
def test_a_name_that_the_terminal_cannot_show_is_printed_as_far_as_possible(here, variables, printed):
    done = subprocess.run(
        [sys.executable, "-m", "social_jepa", "status", "--run", b"\xc3\x9cbung \xff"],
        capture_output=True, env=os.environ | variables,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"social-jepa: " + printed + b" is no run folder")


def test_no_command_shows_the_help():
    said = call()

    assert "Commands" in said.out + said.err


MISTAKES = {
    "an unknown setting": (["run", "trainig.steps=3"], "did you mean training.steps or distillation.steps?"),
    "an ill-typed setting": (["run", "seed=abc"], "seed='abc'"),
    "a value out of range": (["run", "agents.count=1"], "at least 2 agents"),
    "no value": (["run", "seed"], "key.sub=value"),
    "no such settings file": (["run", "--config", "nope.toml"], "there is no settings file nope.toml"),
    "a folder as settings file": (["run", "--config", "."], "is a folder; name a TOML file"),
    "objects out of view": (["run", "agents.ring.pitch=60"], "the pose of agent-0: the camera sees nothing"),
    "a place that cannot be written": (["run", "--out", "/proc/nowhere/run"], "cannot create the run folder"),
    "a cluster that does not answer": (
        ["run", "--address", "127.0.0.1:9"],
        "no Ray cluster answers at 127.0.0.1:9",
    ),
    "a malformed address": (["run", "--address", "garbage"], "an address is written host:port"),
    "no runs yet": (["graph"], "start one with social-jepa run"),
    "no runs to resume": (["resume"], "start one with social-jepa run"),
    "no run to query": (["query", "--tick", "3"], "start one with social-jepa run"),
    "no run folder": (["report", "--run", "nowhere"], "nowhere is no run folder"),
    "an unknown option": (["run", "--sede=3"], "No such option"),
    "an unknown command": (["grap"], "Did you mean 'graph'?"),
    "a tick that is not a number": (["query", "--tick", "x"], "valid integer"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_reported_in_one_sentence_and_creates_nothing(here, case):
    words, remedy = MISTAKES[case]
    said = call(*words, *(["scene.renderer=toy"] if words[0] == "run" else []))

    assert said.status == 2
    assert said.out == ""
    assert remedy in said.err
    assert "Traceback" not in said.err
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (b"seed = = 3", "settings.toml is not TOML"),
        (b"\xff\xfe", "settings.toml is not UTF-8"),
        (b"[agents]\nseed = 3\n", "agents.seed: no such setting"),
    ],
)
def test_an_invalid_settings_file_is_named(here, damage, sentence):
    Path("settings.toml").write_bytes(damage)

    said = call("run", "--config", "settings.toml")

    assert said.status == 2
    assert sentence in said.err
    assert [path.name for path in here.iterdir()] == ["settings.toml"]


def test_a_folder_that_is_not_empty_is_refused_and_unchanged(here):
    Path("mine").mkdir()
    Path("mine/notes").write_text("dear")

    said = call("run", "--out", "mine", *TINY)

    assert (said.status, Path("mine/notes").read_text()) == (2, "dear")
    assert "choose another --out" in said.err


@pytest.mark.parametrize("command", ["graph", "query", "report", "edge", "resume"])
def test_a_folder_without_a_ledger_is_named(here, command):
    from social_jepa.config.run_config import load_config
    from social_jepa.storage.run_folder import create

    folder = create(load_config(overrides=TINY), None)

    said = call(command, *(["agent-0", "agent-1"] if command == "edge" else []))

    assert (said.status, said.out) == (2, "")
    assert f"there is no ledger at {folder.ledger_file}" in said.err


def test_a_damaged_ledger_is_refused_by_resume_before_anything_starts(small_run, tmp_path):
    run = shutil.copytree(small_run.folder.path, tmp_path / "run")
    ledger = run / "ledger.sqlite"
    ledger.write_bytes(ledger.read_bytes()[:1000])

    said = call("resume", "--run", run)

    assert (said.status, said.out) == (2, "")
    assert "ledger.sqlite is damaged" in said.err
    assert "Ray" not in said.err
    assert ledger.stat().st_size == 1000


def test_a_full_disk_is_reported_in_one_sentence(small_run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr("social_jepa.report.page.write_report", full)

    said = call("report", "--run", small_run.folder.path)

    assert (said.status, said.err) == (
        1,
        "social-jepa: report.html cannot be written, the disk is full: free some space\n",
    )


def test_graph_prints_one_strict_json_document(small_run):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    said = call("graph", "--run", small_run.folder.path, "--json")

    assert (said.status, said.err) == (0, "")
    expected = json.loads(encode(small_run.document))
    assert json.loads(said.out, parse_constant=refuse) | {"as_of": 0} == expected | {"as_of": 0}


def test_report_writes_the_page_and_prints_its_path(small_run):
    page = small_run.folder.report_file
    page.unlink(missing_ok=True)

    said = call("report", "--run", small_run.folder.path, "--json")

    assert json.loads(said.out) == {"report": str(page)}
    assert page.read_text().startswith("<!")


def test_check_scene_prints_the_memory_of_a_scene():
    said = call("check-scene", "scene.renderer=toy", "scene.dynamics=collide")
    assert said.status == 0
    assert re.search(r"decorrelation_ticks +384", said.out)
    assert said.out.endswith("the scene meets its contract\n")

    document = json.loads(call("check-scene", "scene.renderer=toy", "scene.objects=2", "--json").out)
    assert document["decorrelation_ticks"] == 20
    assert len(document["fingerprint"]) == 16


@pytest.mark.parametrize("verb", ["check-scene", "run", "up"])
def test_a_custom_scene_that_breaks_its_contract_is_refused(verb, tmp_path, monkeypatch):
    (tmp_path / "slow_scene.py").write_text(
        "from env.dynamics.bounce import Bounce\n"
        "class Wide(Bounce):\n"
        "    def factors(self, ticks):\n"
        "        return 3 * super().factors(ticks)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    said = call(verb, *TINY, "scene.objects=2", "scene.dynamics=slow_scene:Wide")

    assert said.status == 2
    assert said.err.startswith("social-jepa: Wide.factors have a variance of ")
    assert "so that it is 1" in said.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("scene.dynamics=no_such_module:Motion", "there is no module no_such_module; install it"),
        ("scene.renderer=env.camera:Pose", "Pose is no renderer; derive it from env.renderer.Renderer"),
        (
            "scene.dynamics=brownian",
            "one of ornstein_uhlenbeck, coupled, collide, bounce, static, pack",
        ),
    ],
)
def test_a_scene_that_cannot_be_loaded_is_a_usage_error(setting, reason):
    said = call("run", setting)

    assert (said.status, said.out) == (2, "")
    assert reason in said.err


def test_doctor_prints_json_with_the_checks_of_this_machine_by_unique_names():
    said = call("doctor", "--json")
    checks = json.loads(said.out)["checks"]
    names = [check["name"] for check in checks]

    assert all({"name", "ok", "found", "remedy"} == set(check) for check in checks)
    assert said.status in (0, 1)
    assert len(names) == len(set(names))
    assert {
        "system", "python", "imports", "ray", "OpenGL libraries", "rendering", "CPUs", "memory", "processes",
        "GPUs", "disk", "temporary folder", "temporary disk", "shared memory", "home folder", "ray cluster",
    } <= set(names)  # fmt: skip


def test_verbose_and_quiet_exclude_each_other():
    said = call("-v", "-q", "graph")

    assert said.status == 2
    assert "choose --verbose or --quiet" in said.err


@pytest.mark.parametrize(
    ("options", "level"), [((), "WARNING"), (("--verbose",), "INFO"), (("--quiet",), "ERROR")]
)
def test_the_global_options_set_the_level_of_stderr(small_run, options, level):
    call(*options, "graph", "--run", small_run.folder.path)

    (handler,) = [each for each in logging.getLogger("social_jepa").handlers if each.get_name() == "stderr"]
    assert logging.getLevelName(handler.level) == level


def test_a_mistake_is_reported_though_quiet_was_given(here):
    said = call("--quiet", "graph")

    assert (said.status, said.out) == (2, "")
    assert "start one with social-jepa run" in said.err


def test_a_new_run_is_warned_of_settings_that_leave_nothing_against_collapse(here, caplog):
    create_run(
        None, ["scene.renderer=toy", "model.objective=sigreg", "model.sigreg=0"], here / "u", None, False
    )

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "model.sigreg=0 leaves no term against collapse" in caplog.text


def test_resume_joins_the_cluster_of_the_environment_as_run_and_up_do(small_run, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    said = call("resume", "--run", small_run.folder.path)

    assert said.status == 2
    assert "no Ray cluster answers at 127.0.0.1:9" in said.err


@pytest.mark.parametrize("words", [["run"], ["up"], ["resume"]])
@pytest.mark.parametrize("value", ["20", "-1", "1.5", "low"])
def test_a_niceness_that_none_can_have_is_refused_before_there_is_a_folder(here, words, value):
    said = call(*words, f"--nice={value}")

    assert (said.status, said.out) == (2, "")
    assert "--nice" in said.err
    assert list(here.iterdir()) == []


def test_nice_is_a_setting_of_the_run_and_wins_over_the_setting_of_its_name():
    assert with_nice(None, None) == []
    assert with_nice(["seed=1"], None) == ["seed=1"]
    assert load_config(None, with_nice(["agents.nice=3"], 0)).agents.nice == 0
    assert load_config(None, with_nice(None, 19)).agents.nice == 19


def test_a_run_starts_its_ray_before_it_loads_torch():
    code = "import sys, social_jepa.runtime.batch_run; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout == "False\n", done.stderr

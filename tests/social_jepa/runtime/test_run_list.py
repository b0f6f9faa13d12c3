import contextlib
import json
import os
import shutil
import sqlite3
from statistics import fmean

import pytest

from alignment.status import Status
from social_jepa.graph.results import load_results
from social_jepa.records import RunRecord, replace
from social_jepa.runtime.membership import record_start
from social_jepa.runtime.run_list import describe_run, list_runs
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, create
from tests.support.command import call


@pytest.fixture
def copy(small_run, tmp_path):
    """A copy of the small run in a folder of runs."""
    return RunFolder.at(shutil.copytree(small_run.folder.path, tmp_path / "runs" / "one"))


def ledger_of(folder):
    return contextlib.closing(Ledger(folder.ledger_file))


def scores_of_the_graph(folder):
    edges = load_results(folder).document.edges
    accepted = [edge.r2_shared for edge in edges if edge.status is Status.ACCEPTED]
    return len(edges), len(accepted), pytest.approx(fmean(accepted)) if accepted else None


def test_edges_of_an_agent_that_provably_lied_count_as_the_graph_counts_them(copy):
    with ledger_of(copy) as ledger:
        checkpoint = ledger.agents()["agent-0"].checkpoint
        details = {"agent": "agent-0", "checkpoint": checkpoint, "tick": 7, "file": "evidence/a", "peers": []}
        ledger.event("equivocation", **details)
    found = describe_run(copy.path)

    assert (found.edges, found.accepted, found.r2_shared) == scores_of_the_graph(copy)
    assert 0 < found.accepted <= 6


def test_a_finished_run_has_the_scores_of_its_graph(copy):
    found = describe_run(copy.path)

    assert (found.name, found.state, found.reason, found.agents) == ("one", "finished", "", 4)
    assert (found.edges, found.accepted, found.r2_shared) == scores_of_the_graph(copy)
    assert found.accepted > 0
    assert found.settings["model.dim"] == 4
    assert "agents.count" not in found.settings  # its value is the default


@pytest.mark.parametrize("change", ["published again", "moved", "left"])
def test_edges_of_an_agent_that_changed_count_as_the_graph_counts_them(copy, change):
    with ledger_of(copy) as ledger:
        agent, member = ledger.agents()["agent-0"], ledger.members()[0]
        if change == "published again":
            ledger.record(agents=[replace(agent, checkpoint="f" * 16)])
        elif change == "moved":
            ledger.change(replace(member, pose_version=1), "moved", [])
        else:
            ended = [
                replace(edge, status=Status.ENDED) for edge, _ in ledger.edges() if edge.source == "agent-0"
            ]
            ledger.change(member, "left", [], ended, departed=True)
    found = describe_run(copy.path)

    assert (found.edges, found.accepted, found.r2_shared) == scores_of_the_graph(copy)
    assert found.accepted == 2
    assert found.agents == (3 if change == "left" else 4)


@pytest.mark.parametrize(
    ("events", "online", "state", "reason"),
    [
        ([], False, "stopped", "killed"),
        ([("stopped", {"reason": "interrupted by SIGINT"})], False, "stopped", "interrupted by SIGINT"),
        ([("finished", {})], False, "finished", ""),
        ([("stopped", {"reason": "requested"})], True, "down", ""),
        ([], True, "down", ""),
    ],
)
def test_the_last_event_says_how_a_run_ended(copy, events, online, state, reason):
    with ledger_of(copy) as ledger:
        record_start(ledger, copy.config(), copy, "resumed", online)
        for event_type, details in events:
            ledger.event(event_type, **details)

    found = describe_run(copy.path)
    assert (found.state, found.reason) == (state, reason)


def test_a_run_whose_lock_is_held_is_training_and_looking_does_not_disturb(copy):
    lock = copy.acquire_lock()
    try:
        assert describe_run(copy.path).state == "training"
    finally:
        lock.release()

    assert describe_run(copy.path).state == "finished"
    with copy.command_lock():
        assert describe_run(copy.path).state == "training"


def no_settings(run):
    (run / "config.toml").unlink()


def unknown_setting(run):
    with (run / "config.toml").open("a") as file:
        file.write("\n[nonsense]\nx = 1\n")


def no_text(run):
    (run / "config.toml").write_bytes(b"\xff\xfe")


def pipe(run):
    (run / "config.toml").unlink()
    os.mkfifo(run / "config.toml")


def no_ledger(run):
    (run / "ledger.sqlite").unlink()


def half_a_ledger(run):
    file = run / "ledger.sqlite"
    file.write_bytes(file.read_bytes()[:1000])


def ledger_of_another_version(run):
    with contextlib.closing(sqlite3.connect(run / "ledger.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")


def torn_record(run):
    with contextlib.closing(sqlite3.connect(run / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE agents SET details = substr(details, 1, 40)")


def ledger_is_a_folder(run):
    no_ledger(run)
    (run / "ledger.sqlite").mkdir()


def damaged_simulation_file(run):
    (run / "simulation.json").write_text("{")


DAMAGES = {
    no_settings: "config.toml is missing",
    unknown_setting: "nonsense",
    no_text: "is not UTF-8",
    pipe: "is no regular file",
    no_ledger: "there is no ledger",
    half_a_ledger: "is damaged",
    ledger_of_another_version: "99",
    torn_record: "malformed JSON",
    ledger_is_a_folder: "is no regular file",
    damaged_simulation_file: "simulation.json cannot be read",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
def test_a_damaged_run_is_a_record_with_its_reason_beside_the_others(copy, damage):
    broken = shutil.copytree(copy.path, copy.path.parent / "broken")
    damage(broken)

    found = {run.name: run for run in list_runs(copy.path.parent)}

    assert found["one"].state == "finished"
    assert found["broken"].state == "damaged"
    assert DAMAGES[damage] in found["broken"].reason


def test_a_writer_that_holds_the_ledger_delays_a_list_by_less_than_a_reader(copy):
    with contextlib.closing(sqlite3.connect(copy.ledger_file)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert describe_run(copy.path).state == "damaged"
        lock = copy.acquire_lock()
        assert describe_run(copy.path).state == "training"
        lock.release()


def test_runs_are_sorted_by_time_and_other_folders_are_left_out(copy, small_run):
    later = create(small_run.config, copy.path.parent / "later")
    with contextlib.closing(Ledger(later.ledger_file, create=True)) as ledger:
        record_start(ledger, small_run.config, later, "started", online=False)
    (copy.path.parent / "notes").mkdir()
    (copy.path.parent / "readme.txt").write_text("not a run")

    assert [run.name for run in list_runs(copy.path.parent)] == ["later", "one"]
    assert [run.name for run in list_runs(copy.path)] == ["one"]


def test_the_command_prints_a_row_for_each_run_or_one_json_document(copy, tmp_path, monkeypatch):
    shutil.copytree(copy.path, copy.path.parent / "broken")
    half_a_ledger(copy.path.parent / "broken")
    monkeypatch.chdir(tmp_path)

    said = call("list")
    rows = {line.split()[0]: line for line in said.out.splitlines()}
    assert (said.status, said.err) == (0, "")
    edges, accepted, _ = scores_of_the_graph(copy)
    assert f"{accepted} of {edges}" in rows["one"]
    assert "peers accept" in rows["run"]  # the graph may accept fewer
    assert "damaged" in rows["broken"]

    document = json.loads(call("list", copy.path.parent, "--json").out)
    assert document["runs"] == [json.loads(json.dumps(as_plain(run))) for run in list_runs(copy.path.parent)]


def as_plain(run: RunRecord):
    return {name: getattr(run, name) for name in run.__struct_fields__}


def test_the_folder_of_a_peer_with_embeddings_is_no_run(copy):
    peer = copy.path.parent / "peer"
    peer.mkdir()
    (peer / "embeddings.json").write_text("{}")
    with contextlib.closing(Ledger(peer / "ledger.sqlite", create=True)) as ledger:
        ledger.event("started", checkpoint="a", incarnation=1)

    assert [run.name for run in list_runs(copy.path.parent)] == ["one"]


def test_a_name_that_is_not_utf8_is_an_escape_in_json_and_hides_no_other_run(copy, monkeypatch):
    shutil.copytree(copy.path, copy.path.parent / os.fsdecode(b"\xffx"))
    monkeypatch.chdir(copy.path.parent.parent)

    said = call("list", "--json")
    assert (said.status, said.err) == (0, "")
    runs = {run["name"]: run["path"] for run in json.loads(said.out)["runs"]}
    assert runs == {"one": str(copy.path), "\\udcffx": f"{copy.path.parent}/\\udcffx"}


def lock_it(folder):
    return folder.acquire_lock().release


def remove_checkpoints(folder):
    for file in folder.path.glob("agents/*/checkpoint.safetensors"):
        file.unlink()


def change_the_settings(folder):
    text = folder.config_file.read_text()
    folder.config_file.write_text(text.replace("steps = 60", "steps = 61"))


@pytest.mark.parametrize("harm", [lock_it, remove_checkpoints, change_the_settings])
def test_a_resume_that_is_refused_leaves_the_ledger_as_it_was(copy, harm):
    with ledger_of(copy) as ledger:
        before = ledger.events()
    undo = harm(copy)
    said = call("resume", "--run", copy.path)
    if undo is not None:
        undo()

    assert said.status == 2, said.err
    with ledger_of(copy) as ledger:
        assert ledger.events() == before
    assert describe_run(copy.path).state == "finished"


def test_no_runs_are_no_mistake_but_no_folder_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert call("list") == (0, "no runs in runs\n", "")
    assert json.loads(call("list", "--json").out)["runs"] == []
    said = call("list", "nowhere")
    assert (said.status, said.err) == (2, "social-jepa: there is no folder nowhere\n")

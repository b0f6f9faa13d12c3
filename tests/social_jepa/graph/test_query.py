import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
import torch
from PIL import Image

from alignment.graph import NoPathError
from alignment.status import Status
from social_jepa.cli.options import CommandError
from social_jepa.cli.query_options import choose_ends
from social_jepa.cli.tables import print_answer
from social_jepa.graph.query import query
from social_jepa.graph.query_errors import (
    EdgeNotAcceptedError,
    SameAgentError,
    TickRangeError,
    VectorAndTickError,
    VectorSizeError,
)
from social_jepa.graph.results import full_document, load_results
from social_jepa.records import replace as replace_record
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder
from tests.support.command import call


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of the small run that a test may damage."""
    return RunFolder(shutil.copytree(small_run.folder.path, tmp_path / "run"))


def change(folder, source, target, **values):
    """Record that an edge was settled with other values."""
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        found = next(edge for edge, _ in ledger.edges() if (edge.source, edge.target) == (source, target))
        ledger.record(edges=[replace_record(found, **values)])


def answer(folder, *words):
    said = call("query", "--run", folder.path, *words, "--json")
    assert said.status == 0, said.err
    return json.loads(said.out)


def test_a_tick_is_translated_by_the_edges_map_and_compared_with_the_targets_heldout_ticks(run):
    results = load_results(run)
    found = answer(run, "--from", "agent-0", "--to", "agent-1", "--tick", "8", "--top", "3")

    heldout = results.pools("agent-0").heldout
    latent = heldout.core()[heldout.ids.index(8)].double()
    expected = results.maps["agent-0/agent-1/shared"](latent)
    distance = (results.pools("agent-1").heldout.core().double() - expected).norm(dim=1)
    assert found["path"] == ["agent-0", "agent-1"]
    assert found["vector"] == pytest.approx(latent.tolist(), abs=1e-5)
    assert found["translated"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert [near["distance"] for near in found["nearest"]] == pytest.approx(
        distance.sort().values[:3].tolist(), abs=1e-5
    )


def test_a_translated_tick_is_near_the_targets_own_latent_of_that_tick(small_run):
    ticks = small_run.pools("agent-1").heldout.ids
    ranks = []
    for tick in ticks[:12]:
        found = query(small_run, "agent-0", "agent-1", tick=tick, top=len(ticks))
        ranks.append([near.tick for near in found.nearest].index(tick))

    assert sorted(ranks)[len(ranks) // 2] < len(ticks) / 4  # by chance it would be a half


def test_a_vector_is_translated_along_the_path_that_via_names(run):
    results = load_results(run)
    path = ["agent-0", "agent-2", "agent-1"]
    vector = ",".join(["-1", "0.5", "2", "0"][: results.pools("agent-0").heldout.core_dim])
    found = answer(run, "--vector", vector, "--via", "agent-2")

    expected = results.graph.compose(path)(torch.tensor(found["vector"], dtype=torch.float64))
    assert (found["path"], found["tick"]) == (path, None)
    assert found["expected_r2"] == pytest.approx(results.graph.quality(path))
    assert found["translated"] == pytest.approx(expected.tolist())


def test_a_picture_is_written_to_the_file_that_the_flag_names(run, tmp_path):
    found = answer(run, "--tick", "3", "--picture", tmp_path / "new" / "see.png")

    assert found["picture"] == str(tmp_path / "new" / "see.png")
    with Image.open(found["picture"]) as picture:
        assert min(picture.size) > 32


def test_the_command_prints_path_scores_and_nearest_ticks_as_lines(run, tmp_path):
    said = call("query", "--run", run.path, "--tick", "3", "--picture", tmp_path / "see.png")

    assert said.err == ""
    lines = said.out.replace("\n", "")
    assert all(text in lines for text in ("agent-0 > agent-1", "expected R2", "nearest held-out", "see.png"))


def files(folder):
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("words", [["--tick", "8"], ["--tick", "3"], ["--via", "universe"]], ids=" ".join)
def test_a_query_writes_no_file_and_opens_the_ledger_read_only(run, monkeypatch, words):
    opened, connect = [], sqlite3.connect

    def connect_and_note(name, **options):
        opened.append(name)
        return connect(name, **options)

    monkeypatch.setattr(sqlite3, "connect", connect_and_note)
    before = files(run.path)
    for path in [*run.path.rglob("*"), run.path]:
        path.chmod(0o555 if path.is_dir() else 0o444)  # no obstacle to root, for whom the comparison counts

    found = answer(run, *words)

    for path in [run.path, *run.path.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert found["picture"] is None
    assert opened == [f"{run.ledger_file.as_uri()}?mode=ro"]
    assert files(run.path) == before


def test_a_vector_is_translated_on_a_machine_without_opengl(run):
    size = load_results(run).agent("agent-0").core_dim
    config = run.config_file.read_text()
    run.config_file.write_text(config.replace('renderer = "toy"', 'renderer = "miniworld"'))
    here = str(Path(__file__).resolve().parents[3])
    env = {**os.environ, "PYTHONPATH": here, "__EGL_VENDOR_LIBRARY_DIRS": "/nowhere"}
    words = ["query", "--run", str(run.path), "--json", "--vector", ",".join(["0.5"] * size)]

    done = subprocess.run(
        [sys.executable, "-m", "social_jepa", *words], capture_output=True, text=True, env=env
    )

    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["nearest"]) == 5


MISTAKES = {
    "an unknown source": (["--from", "agent-O"], "no agent is named 'agent-O'; did you mean 'agent-"),
    "an unknown target": (["--to", "bob"], "no agent is named 'bob'"),
    "an unknown agent on the path": (["--via", "agent-9"], "no agent is named 'agent-9'; did you mean"),
    "the same agent": (
        ["--from", "agent-0", "--to", "agent-0"], "--from and --to are both agent-0: name two agents"
    ),
    "too long a vector": (["--vector", "1,2,3,4,5,6,7,8,9"], "finite numbers"),
    "too large a number": (
        ["--vector", "1e308,0"], "--vector takes finite numbers from -1e+09 to 1e+09, not 1e+308"
    ),
    "no number": (["--vector", "nan,0"], "--vector takes finite numbers from -1e+09 to 1e+09, not nan"),
    "no numbers": (["--vector", "1,x"], "numbers separated by commas, not '1,x'"),
    "an empty vector": (["--vector", ""], "numbers separated by commas, not ''"),
    "a vector and a tick": (["--vector", "1", "--tick", "3"], "--tick or --vector, not both"),
    "a negative tick": (["--tick", "-1"], "--tick -1: choose from 0"),
    "a tick beyond the scene": (["--tick", str(10**20)], "choose from 0"),
    "a refused edge": (["--to", "agent-3"], "the edge agent-0 -> agent-3 was failed"),
    "a path over a refused edge": (["--via", "agent-3"], "agent-3"),
    "a picture below a file": (["--picture", "{run}/graph.json/x.png"], "cannot write --picture"),
    "a picture over a folder": (["--picture", "{run}"], "cannot write --picture"),
    "no nearest tick": (["--top", "0"], "--top"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_query_that_cannot_be_answered_is_one_sentence(run, case):
    words, reason = MISTAKES[case]
    before = {path.name for path in run.path.iterdir()}

    said = call("query", "--run", run.path, *(word.format(run=run.path) for word in words))

    assert (said.status, said.out) == (2, "")
    assert reason in said.err
    assert "Error" not in said.err or "╭" in said.err
    assert {path.name for path in run.path.iterdir()} == before


ERRORS = {
    "the same agent": (("agent-0", "agent-0"), {}, SameAgentError, {"agent": "agent-0"}),
    "a vector and a tick": (("agent-0", "agent-1"), {"vector": [1.0], "tick": 3}, VectorAndTickError, {}),
    "a tick before the first": (("agent-0", "agent-1"), {"tick": -1}, TickRangeError, {"tick": -1}),
    "a vector of another size": (
        ("agent-0", "agent-1"), {"vector": [1.0] * 9}, VectorSizeError, {"agent": "agent-0"}
    ),
    "a failed edge": (
        ("agent-0", "agent-3"), {}, EdgeNotAcceptedError,
        {"source": "agent-0", "target": "agent-3", "status": Status.FAILED, "alternative_path": ()},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_of_a_query_carries_its_facts_as_fields(small_run, case):
    agents, arguments, kind, fields = ERRORS[case]

    with pytest.raises(kind) as refusal:
        query(small_run, *agents, **arguments)

    assert {name: getattr(refusal.value, name) for name in fields} == fields
    assert "--" not in str(refusal.value)  # flags are the words of the command line alone


def test_a_refused_edge_names_its_reason_and_another_path(run):
    change(run, "agent-0", "agent-1", status=Status.REFUSED, reason="the scores are poor")

    said = call("query", "--run", run.path, "--tick", "3", "--from", "agent-0", "--to", "agent-1")

    assert said.status == 2
    assert "agent-0 -> agent-1 was refused: the scores are poor; another path is --via agent-2" in said.err
    assert answer(run, "--tick", "3", "--via", "agent-2")["path"] == ["agent-0", "agent-2", "agent-1"]


def forget(folder, source, target):
    """Remove an edge from the ledger."""
    with contextlib.closing(sqlite3.connect(folder.ledger_file)) as ledger, ledger:
        ledger.execute("DELETE FROM edges WHERE source = ? AND target = ?", (source, target))


def test_agents_that_are_not_named_are_those_of_the_first_accepted_edge(run):
    change(run, "agent-0", "agent-1", status=Status.REFUSED, reason="the scores are poor")

    said = call("query", "--run", run.path, "--tick", "3")

    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(
        "--from and --to not given: agent-0 > agent-2, the first accepted edge\n"
        "agent-0 > agent-2   expected R2"
    )
    assert answer(run, "--to", "agent-0")["path"] == ["agent-1", "agent-0"]
    assert answer(run, "--from", "agent-2")["path"] == ["agent-2", "agent-0"]
    named = call("query", "--run", run.path, "--from", "agent-0", "--to", "agent-2")
    assert "not given" not in named.out


def test_where_no_edge_is_accepted_the_first_agents_are_taken(small_run):
    edges = tuple(replace_record(edge, status=Status.REFUSED) for edge in small_run.document.edges)
    refused = replace(small_run, document=replace_record(small_run.document, edges=edges))
    alone = replace(refused, members=refused.members[:1])

    sentence = "--from and --to not given: agent-0 > agent-1, the first agents"
    assert choose_ends(refused, "", "", None) == ("agent-0", "agent-1", sentence)
    assert choose_ends(small_run, "", "", ["agent-0"])[:2] == ("agent-1", "agent-2")
    with pytest.raises(CommandError, match="too few agents"):
        choose_ends(alone, "", "", None)


def test_a_pair_that_never_negotiated_is_told_the_flag_that_may_help(run):
    forget(run, "agent-0", "agent-1")

    said = call("query", "--run", run.path, "--from", "agent-0", "--to", "agent-1")

    assert (said.status, said.out) == (2, "")
    assert said.err == (
        "social-jepa: no edge from agent-0 to agent-1 was negotiated: "
        "a path may lead there, with --via best\n"
    )


def test_an_answer_in_a_pipe_is_not_wrapped(capsys, small_run):
    found = query(small_run, "agent-0", "agent-1", tick=0)
    print_answer(replace_record(found, vector=[0.5] * 40))

    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "vector     " + " ".join(["  0.500"] * 40)


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
}
FILES = {  # what a query reads, and the remedy
    "ledger.sqlite": "restore it from a copy, or run again|is this a run folder|start a new run",
    "agents/agent-0/published.safetensors": "only held-out ticks can be queried here",
    "agents/agent-1/anchors.safetensors": "resume",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_with_its_remedy(run, name, damage):
    damage(run.path / name)
    (run.agent("agent-0") / "checkpoint.safetensors").unlink()  # it could replace the published model

    said = call("query", "--run", run.path, "--tick", "3")

    assert (said.status, said.out) == (2, "")
    assert name in said.err
    assert re.search(FILES[name], said.err)


@pytest.mark.parametrize("name", ["graph.json", "graph.graphml", "maps.safetensors", "report.html"])
def test_no_query_reads_the_exported_files(run, name):
    (run.path / name).unlink(missing_ok=True)

    assert answer(run, "--tick", "3")["path"] == ["agent-0", "agent-1"]


def test_a_checkpoint_of_another_agent_is_refused(run):
    shutil.copy(run.agent("agent-1") / "published.safetensors", run.agent("agent-0"))
    (run.agent("agent-0") / "checkpoint.safetensors").unlink()

    said = call("query", "--run", run.path, "--tick", "3")

    assert (said.status, said.out) == (2, "")
    assert "agent-0/published.safetensors is of another name" in said.err


def test_the_universe_translates_by_one_map_of_each_agent_and_nearly_as_well_as_edges(run):
    results = load_results(run)
    found = answer(run, "--from", "agent-0", "--to", "agent-1", "--tick", "8", "--via", "universe")
    universe = results.universe()
    maps = [universe.maps[name].weight for name in ("agent-0", "agent-1")]
    direct = query(results, "agent-0", "agent-1", tick=8)

    assert found["path"] == ["agent-0", "universe", "agent-1"]
    assert found["translated"] == pytest.approx(
        (torch.tensor(found["vector"], dtype=torch.float64) @ maps[0] @ maps[1].T).tolist(), abs=1e-6
    )
    assert found["expected_r2"] == found["measured_r2"] == pytest.approx(direct.measured_r2, abs=0.1)


def test_the_universe_is_fitted_on_no_tick_that_scores_it(run):
    results = load_results(run)
    before = {name: found.weight for name, found in results.universe().maps.items()}
    again = load_results(run)
    for name in again.graph.agents:
        pools = again.pools(name)
        spoilt = replace(pools.heldout, vectors=torch.randn_like(pools.heldout.vectors))
        again._pools[name] = replace(pools, heldout=spoilt)

    assert all(torch.equal(found.weight, before[name]) for name, found in again.universe().maps.items())


def test_an_agent_without_an_accepted_edge_is_not_part_of_the_universe(run):
    results = load_results(run)
    for source, target in permutations(results.graph.agents, 2):
        if "agent-0" in (source, target):
            change(run, source, target, status=Status.REFUSED, reason="for this test")

    with pytest.raises(NoPathError, match="agent-0 is not part of the universe"):
        query(load_results(run), "agent-0", "agent-1", tick=8, via="universe")
    assert full_document(load_results(run)).universe.agents == ("agent-1", "agent-2")

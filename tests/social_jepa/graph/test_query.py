import contextlib
import json
import re
import shutil
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from PIL import Image

from alignment.graph import NoPathError
from social_jepa.graph.query import query
from social_jepa.graph.results import full_document, load_results
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder
from tests.support.command import call


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of the small run, to be harmed."""
    return RunFolder(shutil.copytree(small_run.folder.path, tmp_path / "run"))


def change(folder, source, target, **values):
    """Write down that an edge was settled in another way."""
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        found = next(
            edge for edge, _ in ledger.edges() if (edge["source"], edge["target"]) == (source, target)
        )
        ledger.record(edges=[found | values])


def answer(folder, *words):
    said = call("query", folder.path, *words, "--json")
    assert said.status == 0, said.err
    return json.loads(said.out)


def test_a_tick_is_translated_by_the_edges_map_and_found_nearest_in_the_listeners_memory(run):
    results = load_results(run)
    found = answer(run, "--from", "agent-0", "--to", "agent-1", "--tick", "8", "--top", "3")

    memory = results.pools("agent-0").heldout
    code = memory.core()[memory.ids.index(8)].double()
    expected = results.maps["agent-0/agent-1/core"](code)
    distance = (results.pools("agent-1").heldout.core().double() - expected).norm(dim=1)
    assert found["path"] == ["agent-0", "agent-1"]
    assert found["vector"] == pytest.approx(code.tolist(), abs=1e-5)
    assert found["translated"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert [near["distance"] for near in found["nearest"]] == pytest.approx(
        distance.sort().values[:3].tolist(), abs=1e-5
    )


def test_what_the_speaker_sees_is_near_what_the_listener_saw_at_that_tick(small_run):
    ticks = small_run.pools("agent-1").heldout.ids
    ranks = []
    for tick in ticks[:12]:
        found = query(small_run, "agent-0", "agent-1", tick=tick, top=len(ticks))
        ranks.append([near["tick"] for near in found["nearest"]].index(tick))

    assert sorted(ranks)[len(ranks) // 2] < len(ticks) / 4  # by chance it would be a half


def test_a_vector_goes_the_way_that_via_names(run):
    results = load_results(run)
    path = ["agent-0", "agent-2", "agent-1"]
    vector = ",".join(["-1", "0.5", "2", "0"][: results.pools("agent-0").heldout.core_dim])
    found = answer(run, "--vector", vector, "--via", "agent-2")

    expected = results.graph.compose(path)(torch.tensor(found["vector"], dtype=torch.float64))
    assert (found["path"], found["tick"]) == (path, None)
    assert found["expected_r2"] == pytest.approx(results.graph.quality(path))
    assert found["translated"] == pytest.approx(expected.tolist())


def test_a_picture_is_drawn_where_it_is_asked_for(run, tmp_path):
    found = answer(run, "--tick", "3", "--picture", tmp_path / "new" / "see.png")

    assert found["picture"] == str(tmp_path / "new" / "see.png")
    with Image.open(found["picture"]) as picture:
        assert min(picture.size) > 32


def test_people_get_lines_that_hold_the_same(run):
    said = call("query", run.path, "--tick", "3")

    assert said.err == ""
    lines = said.out.replace("\n", "")
    assert all(text in lines for text in ("agent-0 > agent-1", "expected R2", "query-agent-0-agent-1-3.png"))


SLIPS = {
    "an unknown speaker": (["--from", "agent-O"], "no agent is named 'agent-O'; did you mean 'agent-"),
    "an unknown listener": (["--to", "bob"], "no agent is named 'bob'"),
    "an unknown one on the way": (["--via", "agent-9"], "no agent is named 'agent-9'; did you mean"),
    "the same agent": (["--to", "agent-0"], "--from and --to are both agent-0: name two agents"),
    "too long a vector": (["--vector", "1,2,3,4,5,6,7,8,9"], "finite numbers"),
    "no numbers": (["--vector", "1,x"], "numbers with commas between, not '1,x'"),
    "nothing": (["--vector", ""], "numbers with commas between, not ''"),
    "a vector and a tick": (["--vector", "1", "--tick", "3"], "--tick or --vector, not both"),
    "a negative tick": (["--tick", "-1"], "--tick -1: choose from 0"),
    "a tick beyond the scene": (["--tick", str(10**20)], "choose from 0"),
    "a refused edge": (["--to", "agent-3"], "the edge agent-0 -> agent-3 was failed"),
    "a way over a refused edge": (["--via", "agent-3"], "agent-3"),
    "a picture below a file": (["--picture", "{run}/graph.json/x.png"], "cannot write --picture"),
    "a picture over a folder": (["--picture", "{run}"], "cannot write --picture"),
    "none near": (["--top", "0"], "--top"),
}


@pytest.mark.parametrize("case", SLIPS)
def test_a_question_that_cannot_be_answered_is_a_sentence(run, case):
    words, reason = SLIPS[case]
    before = {path.name for path in run.path.iterdir()}

    said = call("query", run.path, *(word.format(run=run.path) for word in words))

    assert (said.status, said.out) == (2, "")
    assert reason in said.err
    assert "Error" not in said.err or "╭" in said.err
    assert {path.name for path in run.path.iterdir()} == before


def test_a_refused_edge_names_its_reason_and_another_way(run):
    change(run, "agent-0", "agent-1", status="refused", reason="the figures are poor")

    said = call("query", run.path, "--tick", "3")

    assert said.status == 2
    assert "agent-0 -> agent-1 was refused: the figures are poor; another way is --via agent-2" in said.err
    assert answer(run, "--tick", "3", "--via", "agent-2")["path"] == ["agent-0", "agent-2", "agent-1"]


HARM = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
}
FILES = {  # what a question needs, and the way to mend it
    "ledger.sqlite": "restore it from a copy, or run again|is this a run folder|start a new run",
    "agents/agent-0/published.safetensors": "resume",
    "agents/agent-1/anchors.safetensors": "resume",
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
@pytest.mark.parametrize("name", FILES)
def test_a_harmed_file_is_named_with_the_way_to_mend_it(run, name, harm):
    harm(run.path / name)

    said = call("query", run.path, "--tick", "3")

    assert (said.status, said.out) == (2, "")
    assert name in said.err
    assert re.search(FILES[name], said.err)


@pytest.mark.parametrize("name", ["graph.json", "graph.graphml", "maps.safetensors", "report.html"])
def test_what_was_exported_is_for_others_and_no_question_needs_it(run, name):
    (run.path / name).unlink(missing_ok=True)

    assert answer(run, "--tick", "3")["path"] == ["agent-0", "agent-1"]


def test_a_checkpoint_of_another_training_is_not_asked(run):
    shutil.copy(run.agent("agent-1") / "published.safetensors", run.agent("agent-0"))

    said = call("query", run.path, "--tick", "3")

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
    assert found["expected_r2"] == found["measured_r2"] == pytest.approx(direct["measured_r2"], abs=0.1)


def test_the_universe_is_fitted_on_no_instant_that_scores_it(run, monkeypatch):
    results = load_results(run)
    before = {name: found.weight for name, found in results.universe().maps.items()}
    again = load_results(run)
    for name in again.graph.agents:
        pools = again.pools(name)
        spoilt = replace(pools.heldout, vectors=torch.randn_like(pools.heldout.vectors))
        again._pools[name] = replace(pools, heldout=spoilt)

    assert all(torch.equal(found.weight, before[name]) for name, found in again.universe().maps.items())


def test_who_understands_nobody_is_not_part_of_the_universe(run):
    results = load_results(run)
    for source, target in permutations(results.graph.agents, 2):
        if "agent-0" in (source, target):
            change(run, source, target, status="refused", reason="for this test")

    with pytest.raises(NoPathError, match="agent-0 is not part of the universe"):
        query(load_results(run), "agent-0", "agent-1", tick=8, via="universe")
    assert full_document(load_results(run))["universe"]["agents"] == ["agent-1", "agent-2"]

import contextlib
import json
import shutil
import time

import networkx
import pytest
import torch
from safetensors.torch import load_file

from agents.protocol.channel import SentMessage
from alignment.graph import NoPathError, UnknownAgentError
from social_jepa.graph.graph_json import map_tensors
from social_jepa.graph.query import load_published, query
from social_jepa.graph.results import export, full_document, load_results
from social_jepa.runtime.registry import Registry
from social_jepa.storage.ledger import Ledger, LedgerError
from social_jepa.storage.run_folder import RunFolder, RunFolderError
from tests.support.command import call


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of the small run, to be harmed."""
    return RunFolder(shutil.copytree(small_run.folder.path, tmp_path / "run"))


@contextlib.contextmanager
def ledger_of(folder):
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        yield ledger


def publish(folder, name, checkpoint="f" * 16):
    """Write down that an agent published another model."""
    with ledger_of(folder) as ledger:
        ledger.record(agents=[ledger.agents()[name] | {"checkpoint": checkpoint}])


def statuses(results):
    return {(edge.source, edge.target): edge.status for edge in results.graph.edges}


def registry_of(folder, ledger):
    return Registry(folder.config(), folder, ledger, online=True)


def settle_again(folder, pair, **versions):
    """Write down that a pair settled its edge for other models, with the same map."""
    with ledger_of(folder) as ledger:
        for entry, maps in ledger.edges():
            if (entry["source"], entry["target"]) == pair:
                ledger.record(edges=[entry | versions], maps={pair: maps})


def test_what_is_read_back_answers_as_the_run_did(small_run):
    edge = small_run.graph.edge("agent-0", "agent-1")
    points = small_run.pools("agent-0").heldout.core().double()

    assert edge.status == "accepted"
    torch.testing.assert_close(edge.map(points), small_run.maps["agent-0/agent-1/core"](points))


def test_pools_are_the_two_stretches_with_the_core_first(small_run):
    pools = small_run.pools("agent-2")
    entry = small_run.agent("agent-2")

    assert not set(pools.anchors.ids) & set(pools.heldout.ids)
    assert pools.anchors.vectors.shape[1] == entry["dim"]
    assert pools.heldout.core().shape[1] == entry["core_dim"]


def test_what_is_exported_is_what_the_ledger_says(run):
    results = load_results(run)
    for file in (run.graph_file, run.maps_file, run.path / "graph.graphml"):
        file.unlink()

    document = export(results)

    assert json.loads(run.graph_file.read_text()) == document == full_document(results)
    maps = load_file(run.maps_file)
    assert all(torch.equal(maps[name], tensor) for name, tensor in map_tensors(results.maps).items())
    network = networkx.read_graphml(run.path / "graph.graphml")
    assert (len(network), network.number_of_edges()) == (4, 12)


def test_graph_json_is_written_last(run, monkeypatch):
    results = load_results(run)
    run.graph_file.unlink()
    monkeypatch.setattr(results.graph.__class__, "to_graphml", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        export(results)

    assert not run.graph_file.exists()


def test_an_agent_that_publishes_again_makes_its_edges_stale_until_they_are_settled_anew(run):
    publish(run, "agent-1")
    results = load_results(run)

    stale = {pair for pair, status in statuses(results).items() if status == "stale"}
    assert stale == {pair for pair in statuses(results) if "agent-1" in pair}
    with pytest.raises(NoPathError, match="is stale: agent-1 has published another model since"):
        query(results, "agent-0", "agent-1")
    settle_again(run, ("agent-0", "agent-1"), target_checkpoint="f" * 16)
    assert statuses(load_results(run))["agent-0", "agent-1"] == "accepted"
    assert statuses(load_results(run))["agent-1", "agent-0"] == "stale"


def test_no_way_leads_over_a_stale_edge_and_the_sentence_names_another(run):
    settle_again(run, ("agent-0", "agent-1"), source_checkpoint="e" * 16)
    results = load_results(run)

    assert results.graph.best_path("agent-0", "agent-1") == ["agent-0", "agent-2", "agent-1"]
    with pytest.raises(NoPathError, match="another way is --via agent-2"):
        query(results, "agent-0", "agent-1", tick=4)


def test_a_camera_that_moved_makes_its_agent_one_that_learns_and_its_edges_stale(run):
    with ledger_of(run) as ledger:
        registry_of(run, ledger).move("agent-1", "-4.8,3.2,0,0,-35", next_tick=100)
    results = load_results(run)

    assert results.document["learning"] == ["agent-1"]
    assert [agent["name"] for agent in results.document["agents"]] == ["agent-0", "agent-2", "agent-3"]
    said = call("query", run.path, "--tick", "4")
    assert (said.status, said.out) == (2, "")
    assert "agent-0 -> agent-1 is stale: agent-1 has moved its camera and learns its new view" in said.err
    for question in (results.agent, results.pools):
        with pytest.raises(RunFolderError, match="agent-1 has not learned its view yet: social-jepa status"):
            question("agent-1")


def test_a_failed_edge_stays_failed_whatever_its_agents_publish(run):
    publish(run, "agent-3")

    assert statuses(load_results(run))["agent-0", "agent-3"] == "failed"


def test_who_left_is_in_no_graph_and_on_no_way(run):
    with ledger_of(run) as ledger:
        before = time.time()
        registry_of(run, ledger).remove("agent-2", next_tick=100)
    results = load_results(run)

    assert results.graph.agents == ("agent-0", "agent-1", "agent-3")
    assert len(results.graph.edges) == 6
    assert results.graph.best_path("agent-0", "agent-1") == ["agent-0", "agent-1"]
    for ask_for in (results.agent, results.pools, results.member):
        with pytest.raises(UnknownAgentError, match="no agent is named 'agent-2'"):
            ask_for("agent-2")
    with pytest.raises(UnknownAgentError):
        query(results, "agent-0", "agent-1", via="agent-2")
    assert "agent-2" in load_results(run, before).graph.agents
    with ledger_of(run) as ledger:
        ended = ledger.history("agent-0", "agent-2")
    assert [edge["status"] for edge in ended] == ["accepted", "ended"]
    assert ended[-1]["reason"] == "agent-2 left"


def test_an_earlier_graph_is_read_as_it_stood(run):
    then, stood = time.time(), load_results(run)
    time.sleep(0.01)
    publish(run, "agent-1")
    settle_again(run, ("agent-0", "agent-1"), target_checkpoint="f" * 16)

    again = load_results(run, then)

    assert again.document | {"as_of": 0} == stood.document | {"as_of": 0}
    assert again.document["as_of"] == then
    assert load_results(run).document["edges"] != stood.document["edges"]


def test_an_earlier_graph_leaves_out_the_cycles_of_anchors_that_are_gone(run):
    then = time.time()
    time.sleep(0.01)
    assert len(full_document(load_results(run, then))["cycles"]) == 2
    publish(run, "agent-1")
    for other in ("agent-0", "agent-2"):
        shutil.copy(run.agent(other) / "anchors.safetensors", run.agent("agent-1"))  # it wrote others

    assert full_document(load_results(run, then))["cycles"] == []
    with pytest.raises(RunFolderError, match="agent-1 has published another version since: ask again"):
        load_results(run, then).pools("agent-1")


def test_before_anybody_was_there_is_no_graph(run):
    with pytest.raises(RunFolderError, match="had no agents at that time"):
        load_results(run, 1.0)


def test_where_nobody_has_published_there_is_a_graph_of_agents_that_learn(run):
    run.ledger_file.unlink()
    with contextlib.closing(Ledger(run.ledger_file, create=True)) as ledger:
        registry_of(run, ledger)
        ledger.record(messages=[SentMessage("agent-0", "agent-1", "agent-0", "agent-1", "Hello", 10)])
    results = load_results(run)

    assert results.document["learning"] == ["agent-0", "agent-1", "agent-2", "agent-3"]
    assert results.document["agents"] == results.document["edges"] == full_document(results)["cycles"] == []
    with pytest.raises(NoPathError, match="no edge from agent-0 to agent-1 was ever tried"):
        query(results, "agent-0", "agent-1")


def test_a_published_model_of_another_version_is_not_asked(run):
    publish(run, "agent-0")

    with pytest.raises(
        ValueError, match=r"published\.safetensors is not the version that the graph was made"
    ):
        load_published(load_results(run), "agent-0")


@pytest.mark.parametrize(
    "name", ["agents/agent-1/anchors.safetensors", "agents/agent-0/checkpoint.safetensors"]
)
def test_tensors_of_something_else_are_no_maps(run, name):
    data = (run.path / name).read_bytes()
    with ledger_of(run) as ledger:
        ledger._connection.execute("UPDATE edges SET maps = ?", [data])
        ledger._connection.commit()

    with pytest.raises(LedgerError, match=r"the ledger .* is damaged .*: restore it from a copy"):
        load_results(run)


@pytest.mark.parametrize("harm", [b"", b"PNG"])
def test_tensors_of_something_else_are_no_pools(run, harm):
    (run.agent("agent-1") / "anchors.safetensors").write_bytes(harm)

    with pytest.raises(RunFolderError, match=r"anchors.safetensors is missing or damaged .*: resume the run"):
        load_results(run).pools("agent-1")


def test_the_maps_of_a_run_are_no_pools(run):
    shutil.copy(run.maps_file, run.agent("agent-1") / "anchors.safetensors")

    with pytest.raises(RunFolderError, match="another version"):
        load_results(run).pools("agent-1")


def test_a_row_of_the_ledger_that_is_no_json_is_damage(run):
    with ledger_of(run) as ledger:
        ledger._connection.execute("UPDATE edges SET details = substr(details, 1, 40)")
        ledger._connection.commit()

    with pytest.raises(LedgerError, match=r"the ledger .* is damaged .*: restore it from a copy"):
        load_results(run)

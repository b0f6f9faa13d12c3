import contextlib
import datetime
import json
import shutil
import time

import networkx
import pytest
import torch
from safetensors.torch import load_file

from agents.protocol.channel import SentMessage
from alignment.graph import NoPathError, UnknownAgentError
from alignment.status import Status
from social_jepa.graph import results
from social_jepa.graph.graph_json import map_tensors
from social_jepa.graph.query import load_published, query
from social_jepa.graph.query_errors import EdgeNotAcceptedError, ModelUnavailableError
from social_jepa.graph.results import export, full_document, load_results
from social_jepa.graph.results_errors import (
    DamagedAnchorsError,
    NoAgentsError,
    NotPublishedError,
    StaleAnchorsError,
)
from social_jepa.records import FullGraphDocument, decode, replace
from social_jepa.report.page import write_report
from social_jepa.runtime.membership import Membership
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import DamagedLedgerError
from social_jepa.storage.run_folder import RunFolder
from tests.support.command import call


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of the small run that a test may damage."""
    return RunFolder(shutil.copytree(small_run.folder.path, tmp_path / "run"))


@contextlib.contextmanager
def ledger_of(folder):
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        yield ledger


def publish(folder, name, checkpoint="f" * 16):
    """Record that an agent published another model."""
    with ledger_of(folder) as ledger:
        ledger.record(agents=[replace(ledger.agents()[name], checkpoint=checkpoint)])


def statuses(results):
    return {(edge.source, edge.target): edge.status for edge in results.graph.edges}


def said_of(folder, then):
    """Return what the command prints of an earlier graph."""
    said = call("graph", "--run", folder.path, "--as-of", datetime.datetime.fromtimestamp(then).isoformat())
    return " ".join(said.out.split())


def membership_of(folder, ledger):
    return Membership(folder.config(), folder, ledger, online=True)


def settle_again(folder, pair, **versions):
    """Record that a pair settled its edge for other models, with the same map."""
    with ledger_of(folder) as ledger:
        for edge, maps in ledger.edges():
            if (edge.source, edge.target) == pair:
                ledger.record(edges=[replace(edge, **versions)], maps={pair: maps})


def test_the_graph_that_is_read_has_the_maps_of_the_run(small_run):
    edge = small_run.graph.edge("agent-0", "agent-1")
    points = small_run.pools("agent-0").heldout.core().double()

    assert edge.status == "accepted"
    torch.testing.assert_close(edge.map(points), small_run.maps["agent-0/agent-1/shared"](points))


def test_pools_are_the_two_sets_of_ticks_with_the_core_first(small_run):
    pools = small_run.pools("agent-2")
    agent = small_run.agent("agent-2")

    assert not set(pools.anchors.ids) & set(pools.heldout.ids)
    assert pools.anchors.vectors.shape[1] == agent.dim
    assert pools.heldout.core().shape[1] == agent.core_dim


def test_the_exported_files_hold_what_the_ledger_holds(run):
    results = load_results(run)
    for file in (run.graph_file, run.maps_file, run.path / "graph.graphml"):
        file.unlink()

    document = export(results)

    assert decode(run.graph_file.read_bytes(), FullGraphDocument) == document == full_document(results)
    assert json.loads(run.graph_file.read_text())["format"] == 3
    maps = load_file(run.maps_file)
    assert all(torch.equal(maps[name], tensor) for name, tensor in map_tensors(results.maps).items())
    network = networkx.read_graphml(run.path / "graph.graphml")
    assert (len(network), network.number_of_edges()) == (4, 12)
    node, record = network.nodes["agent-1"], results.agent("agent-1")
    assert (node["checkpoint"], node["core_dim"]) == (record.checkpoint, record.core_dim)
    edge, expected = network.edges["agent-0", "agent-1"], results.document.edges[0]
    assert (edge["r2_shared"], edge["shared_dim"]) == (expected.r2_shared, expected.shared_dim)
    assert edge["null_correlation"] == expected.null_correlation
    assert edge["source_checkpoint"] == expected.source_checkpoint


def test_graph_json_is_written_last(run, monkeypatch):
    results = load_results(run)
    run.graph_file.unlink()
    monkeypatch.setattr(results.graph.__class__, "to_graphml", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        export(results)

    assert not run.graph_file.exists()


def test_publishing_again_makes_the_edges_of_an_agent_stale_until_they_are_negotiated_again(run):
    publish(run, "agent-1")
    results = load_results(run)

    stale = {pair for pair, status in statuses(results).items() if status == "stale"}
    assert stale == {pair for pair in statuses(results) if "agent-1" in pair}
    with pytest.raises(NoPathError, match="is stale: agent-1 has published another model since"):
        query(results, "agent-0", "agent-1")
    settle_again(run, ("agent-0", "agent-1"), target_checkpoint="f" * 16)
    assert statuses(load_results(run))["agent-0", "agent-1"] == "accepted"
    assert statuses(load_results(run))["agent-1", "agent-0"] == "stale"


def test_no_path_leads_over_a_stale_edge_and_the_error_names_another(run):
    settle_again(run, ("agent-0", "agent-1"), source_checkpoint="e" * 16)
    results = load_results(run)

    assert results.graph.best_path("agent-0", "agent-1") == ["agent-0", "agent-2", "agent-1"]
    with pytest.raises(
        EdgeNotAcceptedError, match="another path is agent-0 -> agent-2 -> agent-1"
    ) as refusal:
        query(results, "agent-0", "agent-1", tick=4)
    assert refusal.value.alternative_path == ("agent-0", "agent-2", "agent-1")
    assert refusal.value.status is Status.STALE


def test_an_agent_whose_camera_moved_is_in_training_and_its_edges_are_stale(run):
    with ledger_of(run) as ledger:
        membership_of(run, ledger).move("agent-1", "-4.8,3.2,0,0,-35", next_tick=100)
    results = load_results(run)

    assert results.document.training == ("agent-1",)
    assert [agent.name for agent in results.document.agents] == ["agent-0", "agent-2", "agent-3"]
    said = call("query", "--run", run.path, "--from", "agent-0", "--to", "agent-1", "--tick", "4")
    assert (said.status, said.out) == (2, "")
    assert (
        "agent-0 -> agent-1 is stale: agent-1 has moved its camera and is training on its new view"
        in said.err
    )
    for lookup in (results.agent, results.pools):
        with pytest.raises(NotPublishedError, match="agent-1 has not published a model of its view yet"):
            lookup("agent-1")


def test_a_failed_edge_stays_failed_whatever_its_agents_publish(run):
    publish(run, "agent-3")

    assert statuses(load_results(run))["agent-0", "agent-3"] == "failed"


def test_an_agent_that_left_is_in_no_graph_and_on_no_path(run):
    with ledger_of(run) as ledger:
        before = time.time()
        membership_of(run, ledger).remove("agent-2", next_tick=100)
    results = load_results(run)

    assert results.graph.agents == ("agent-0", "agent-1", "agent-3")
    assert len(results.graph.edges) == 6
    assert results.graph.best_path("agent-0", "agent-1") == ["agent-0", "agent-1"]
    for lookup in (results.agent, results.pools, results.member):
        with pytest.raises(
            UnknownAgentError, match=r"^agent-2 has left, or had not joined then; the graph has"
        ):
            lookup("agent-2")
    with pytest.raises(UnknownAgentError):
        query(results, "agent-0", "agent-1", via="agent-2")
    assert "agent-2" in load_results(run, before).graph.agents
    with ledger_of(run) as ledger:
        ended = ledger.history("agent-0", "agent-2")
    assert [edge.status for edge in ended] == ["accepted", "ended"]
    assert ended[-1].reason == "agent-2 left"


def test_an_earlier_graph_is_read_as_it_was(run):
    then, stood = time.time(), load_results(run)
    time.sleep(0.01)
    publish(run, "agent-1")
    settle_again(run, ("agent-0", "agent-1"), target_checkpoint="f" * 16)

    again = load_results(run, then)

    assert replace(again.document, as_of=0.0) == replace(stood.document, as_of=0.0)
    assert again.document.as_of == then
    assert load_results(run).document.edges != stood.document.edges


def write_other_anchors(folder, name, like):
    """Publish another model of an agent, and replace its anchors by those of another agent."""
    publish(folder, name)
    shutil.copy(folder.agent(like) / "anchors.safetensors", folder.agent(name))


def test_of_many_cycles_a_sample_is_scored_and_the_others_are_counted(run, monkeypatch):
    monkeypatch.setattr(results, "MAX_CYCLES", 1)
    found = full_document(load_results(run))

    assert (len(found.cycles), found.unscored_cycles, found.unlisted_cycles) == (1, 0, 1)
    assert "1 cycles of three of 2, drawn at random: error" in said_of(run, time.time())


def test_an_earlier_graph_counts_the_cycles_whose_anchors_are_gone(run):
    then = time.time()
    time.sleep(0.01)
    before = full_document(load_results(run, then))
    assert (len(before.cycles), before.unscored_cycles) == (2, 0)
    write_other_anchors(run, "agent-1", like="agent-2")

    without_one = full_document(load_results(run, then))
    assert without_one.cycles == before.cycles  # they are scored on the anchors of agent-0
    assert without_one.universe is None
    write_other_anchors(run, "agent-0", like="agent-2")
    without_both = full_document(load_results(run, then))
    assert (without_both.cycles, without_both.unscored_cycles) == ((), 2)
    assert "2 cycles of three have all their edges accepted, but cannot be scored" in said_of(run, then)
    assert "no cycle" not in said_of(run, then)
    with pytest.raises(StaleAnchorsError, match="agent-1 has published another model since: read") as refusal:
        load_results(run, then).pools("agent-1")
    assert refusal.value.expected == load_results(run, then).agent("agent-1").checkpoint
    assert refusal.value.found != refusal.value.expected


def test_there_is_no_graph_of_a_time_without_agents(run):
    with pytest.raises(NoAgentsError, match=r"had no agents at that time, .*: choose a later one$"):
        load_results(run, 1.0)


def test_a_run_that_no_agent_has_joined_says_so_and_how_to_start_it(run):
    run.ledger_file.unlink()
    Ledger(run.ledger_file, create=True).close()

    said = call("graph", "--run", run.path)
    assert said.status == 2
    assert said.err == (
        f"social-jepa: no agent has joined {run.path} yet, so there is no graph of it: wait until its agents "
        f"have started, or start them with social-jepa resume --run {run.path}\n"
    )


def test_before_any_publication_the_graph_holds_agents_in_training(run):
    run.ledger_file.unlink()
    with contextlib.closing(Ledger(run.ledger_file, create=True)) as ledger:
        membership_of(run, ledger)
        ledger.record(messages=[SentMessage("agent-0", "agent-1", "agent-0", "agent-1", "Hello", 10)])
    results = load_results(run)

    assert results.document.training == ("agent-0", "agent-1", "agent-2", "agent-3")
    assert results.document.agents == results.document.edges == full_document(results).cycles == ()
    with pytest.raises(NoPathError, match="no edge from agent-0 to agent-1 was negotiated"):
        query(results, "agent-0", "agent-1")


def test_a_published_model_that_is_not_the_graphs_is_refused(run):
    publish(run, "agent-0")

    with pytest.raises(ModelUnavailableError, match=r"published\.safetensors is not the model in the graph"):
        load_published(load_results(run), "agent-0")


def test_a_damaged_published_model_is_replaced_by_the_checkpoint_that_it_came_from(run):
    published, checkpoint = (
        run.agent("agent-0") / f"{name}.safetensors" for name in ("published", "checkpoint")
    )
    whole = load_published(load_results(run), "agent-0")
    published.write_bytes(published.read_bytes()[:200])

    model, basis = load_published(load_results(run), "agent-0")

    assert torch.equal(basis.transform, whole[1].transform)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, whole[0].state_dict()[name])
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    with pytest.raises(
        ModelUnavailableError, match=r"published\.safetensors is damaged .*resume .* writes it"
    ):
        load_published(load_results(run), "agent-0")


@pytest.mark.parametrize(
    "name", ["agents/agent-1/anchors.safetensors", "agents/agent-0/checkpoint.safetensors"]
)
def test_other_tensors_are_refused_as_maps(run, name):
    data = (run.path / name).read_bytes()
    with ledger_of(run) as ledger:
        ledger._connection.execute("UPDATE edges SET maps = ?", [data])
        ledger._connection.commit()

    with pytest.raises(DamagedLedgerError, match=r"the ledger .* is damaged .*: restore it from a copy"):
        load_results(run)


@pytest.mark.parametrize("data", [b"", b"PNG"])
def test_other_data_is_refused_as_pools(run, data):
    (run.agent("agent-0") / "anchors.safetensors").write_bytes(data)

    with pytest.raises(
        DamagedAnchorsError, match=r"anchors.safetensors is missing or damaged .*: resume the run"
    ):
        load_results(run).pools("agent-0")
    assert full_document(load_results(run)).unscored_cycles == 2  # the rest of the graph is still read


def test_maps_are_refused_as_pools(run):
    shutil.copy(run.maps_file, run.agent("agent-1") / "anchors.safetensors")

    with pytest.raises(StaleAnchorsError, match="another model"):
        load_results(run).pools("agent-1")


def test_a_ledger_whose_rows_are_no_json_is_damaged(run):
    with ledger_of(run) as ledger:
        ledger._connection.execute("UPDATE edges SET details = substr(details, 1, 40)")
        ledger._connection.commit()

    with pytest.raises(DamagedLedgerError, match=r"the ledger .* is damaged .*: restore it from a copy"):
        load_results(run)


def test_agents_and_edges_are_in_natural_order(run):
    with ledger_of(run) as ledger:
        membership = membership_of(run, ledger)
        for name in ("agent-10", "agent-9"):
            membership.propose(name=name)
            membership.next_incarnation(name)
            membership.admit(name, 100)
        edge = replace(ledger.edges()[0][0], status=Status.FAILED, reason="lost", target="agent-0")
        ledger.record(edges=[replace(edge, source=name) for name in ("agent-10", "agent-9")])
    results = load_results(run)

    assert results.graph.agents[-2:] == ("agent-9", "agent-10")
    sources = list(dict.fromkeys(edge.source for edge in results.document.edges))
    assert sources == ["agent-0", "agent-1", "agent-2", "agent-3", "agent-9", "agent-10"]


def test_the_document_and_the_report_say_of_which_public_scene_anchors_are(run):
    assert load_results(run).document.anchor_seed is None
    run.config_file.write_text(run.config_file.read_text().replace("anchor_seed = -1", "anchor_seed = 77"))
    results = load_results(run)

    assert results.document.anchor_seed == 77
    assert "anchors of the public scene of seed <code>77</code>" in write_report(results).read_text()

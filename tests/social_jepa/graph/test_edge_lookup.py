import contextlib
import time
from dataclasses import replace

import pytest

from agents.protocol.channel import SentMessage
from alignment.graph import UnknownAgentError
from social_jepa.graph.edge_lookup import UnsettledEdgeError, edge_history, find_edge
from social_jepa.graph.query_errors import SameAgentError
from social_jepa.records import replace as replace_record
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder
from tests.support.command import call


@pytest.fixture
def without_edge(small_run, tmp_path):
    """The small run without its edge from agent-0 to agent-1, and with an empty ledger."""
    kept = [edge for edge in small_run.document.edges if (edge.source, edge.target) != ("agent-0", "agent-1")]
    with contextlib.closing(Ledger(tmp_path / "ledger.sqlite", create=True)) as ledger:
        document = replace_record(small_run.document, edges=tuple(kept))
        yield replace(small_run, folder=RunFolder(tmp_path), document=document), ledger


def test_a_settled_edge_is_found(small_run):
    assert find_edge(small_run, "agent-0", "agent-1").source == "agent-0"
    with pytest.raises(UnknownAgentError, match="bob"):
        find_edge(small_run, "agent-0", "bob")


def test_an_edge_without_a_message_was_not_tried(without_edge):
    results, _ = without_edge

    with pytest.raises(UnsettledEdgeError, match=r"^agent-0 and agent-1 have not tried that edge yet$"):
        find_edge(results, "agent-0", "agent-1")


def test_an_edge_whose_messages_found_no_answer_was_tried_since_the_first_of_them(without_edge):
    results, ledger = without_edge
    began = time.time()
    for _ in range(2):
        ledger.record(messages=[SentMessage("agent-0", "agent-1", "agent-0", "agent-1", "Offer", 9)])

    with pytest.raises(UnsettledEdgeError, match=r"since [-0-9]+ [:0-9]+: 2 messages, no answer$") as error:
        find_edge(results, "agent-0", "agent-1")
    assert began <= error.value.since <= time.time()


def test_messages_after_the_time_of_the_graph_do_not_count(without_edge):
    results, ledger = without_edge
    ledger.record(messages=[SentMessage("agent-0", "agent-1", "agent-0", "agent-1", "Offer", 9)])
    (message,) = ledger.messages()
    ledger.record(messages=[SentMessage("agent-0", "agent-1", "agent-0", "agent-1", "Offer", 9)])

    with pytest.raises(UnsettledEdgeError, match=": 1 message, no answer"):
        find_edge(results, "agent-0", "agent-1", message.time)
    with pytest.raises(UnsettledEdgeError, match="have not tried"):
        find_edge(results, "agent-0", "agent-1", message.time - 1)


def test_the_history_is_of_agents_that_there_were(small_run):
    with contextlib.closing(Ledger(small_run.folder.ledger_file, read_only=True)) as ledger:
        assert [edge.target for edge in edge_history(ledger, "agent-0", "agent-1")] == ["agent-1"]
        with pytest.raises(UnknownAgentError, match="no agent has ever been named 'bob'; there were agent-0"):
            edge_history(ledger, "agent-0", "bob")


def test_an_agent_has_no_edge_and_no_history_with_itself(small_run):
    sentence = "^source and target are both agent-0: name two agents$"
    with pytest.raises(SameAgentError, match=sentence):
        find_edge(small_run, "agent-0", "agent-0")
    with (
        contextlib.closing(Ledger(small_run.folder.ledger_file, read_only=True)) as ledger,
        pytest.raises(SameAgentError, match=sentence),
    ):
        edge_history(ledger, "agent-0", "agent-0")
    said = call("edge", "agent-0", "agent-0", "--history", "--run", small_run.folder.path)
    assert (said.status, said.out) == (2, "")
    assert "source and target are both agent-0: name two agents" in said.err


def test_messages_about_earlier_models_do_not_count(without_edge):
    results, ledger = without_edge
    ledger.record(messages=[SentMessage("agent-0", "agent-1", "agent-0", "agent-1", "Offer", 9)])
    agents = tuple(replace_record(agent, published_at=time.time() + 9) for agent in results.document.agents)
    later = replace(results, document=replace_record(results.document, agents=agents))

    with pytest.raises(UnsettledEdgeError, match="have not tried"):
        find_edge(later, "agent-0", "agent-1")

import contextlib
import time
from dataclasses import replace

import pytest

from agents.protocol.channel import SentMessage
from alignment.graph import UnknownAgentError
from social_jepa.graph.edge_lookup import UnsettledEdgeError, find_edge
from social_jepa.records import replace as replace_record
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder


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


def test_messages_about_earlier_models_do_not_count(without_edge):
    results, ledger = without_edge
    ledger.record(messages=[SentMessage("agent-0", "agent-1", "agent-0", "agent-1", "Offer", 9)])
    agents = tuple(replace_record(agent, published_at=time.time() + 9) for agent in results.document.agents)
    later = replace(results, document=replace_record(results.document, agents=agents))

    with pytest.raises(UnsettledEdgeError, match="have not tried"):
        find_edge(later, "agent-0", "agent-1")

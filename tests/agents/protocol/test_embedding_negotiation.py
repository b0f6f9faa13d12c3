"""Peers with embeddings alone: the edge of `align` on the same rows, and sentences for what cannot be."""

import hashlib

import numpy as np
import pytest
import torch

from agents.protocol.embedding_negotiation import (
    MAX_ROWS,
    AnchorTable,
    EmbeddingNegotiation,
    anchor_set_id,
)
from agents.protocol.messages import AnchorReply, AnchorRequest
from agents.protocol.wire import MAX_ENVELOPE_BYTES
from alignment.arrays import AlignmentError
from alignment.embeddings.pairs import AlignSettings
from alignment.embeddings.peer import EmbeddingPeer, align
from alignment.embeddings.storage import edge_tensors
from alignment.embeddings.table import EmbeddingTable
from alignment.status import Status
from tests.support.embedding_tables import planted
from tests.support.keys import identity_of
from tests.support.swarm import (
    connect_protocols,
    negotiate_all,
    negotiation_messages,
    planted_negotiation,
    publish_all,
)

ROWS = 400


def ids_of(count, start=0):
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


def tables(seed=0, rows=ROWS, dims=(7, 9), ids=None, **options):
    """Return two tables in single precision, in different orders of rows."""
    first, second = (np.float32(table) for table in planted(seed, rows, dims, 4, **options))
    ids = np.array(ids_of(rows) if ids is None else ids)
    order = np.random.default_rng(seed).permutation(rows)
    return (
        EmbeddingPeer("agent-0", ids.tolist(), first),
        EmbeddingPeer("agent-1", ids[order].tolist(), second[order]),
    )


DEFAULTS = AlignSettings()


def negotiation(table, settings=DEFAULTS):
    made = AnchorTable.of(table, settings.time_order)
    return EmbeddingNegotiation(made, settings, identity_of(table.name))


def negotiated(first, second, settings=DEFAULTS):
    agents = {table.name: negotiation(table, settings) for table in (first, second)}
    negotiate_all(agents)
    return agents


def digits(edge):
    """Return all that an edge holds, in a form that == compares bit for bit."""
    scalars = {name: value for name, value in vars(edge).items() if name != "map"}
    return scalars, {name: tensor.numpy().tobytes() for name, tensor in edge_tensors(edge).items()}


SETTINGS = {
    "no order": (AlignSettings(), {}),
    "pairs": (AlignSettings(pairs=60, heldout=0.25), {}),
    "time": (AlignSettings(time_order=True), {"ids": range(ROWS), "rate": 0.5}),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_both_edges_equal_those_of_align_on_the_same_rows_to_the_last_digit(case):
    settings, options = SETTINGS[case]
    first, second = tables(**options)
    agents = negotiated(first, second, settings)
    for source, target in ((first, second), (second, first)):
        found = agents[target.name].edges[source.name]
        expected = align(source, target, AlignSettings(**{**vars(settings), "seed": found.seed})).forward
        assert found.status is Status.ACCEPTED
        assert found.alignment.shared_dim == 4
        assert digits(found.alignment) == digits(expected)
        assert agents[source.name].verdicts[target.name].shared_dim == 4


def test_a_callable_is_negotiated_like_its_table():
    first, second = tables()
    row = {each: number for number, each in enumerate(first.ids)}
    callable_ = EmbeddingPeer("agent-0", first.ids, lambda ids: first.vectors[[row[each] for each in ids]])
    one, other = (negotiated(each, second)["agent-1"].edges["agent-0"] for each in (first, callable_))
    assert digits(one.alignment) == digits(other.alignment)


def test_tables_that_share_nothing_are_refused_by_the_null():
    ids, rng = ids_of(ROWS), np.random.default_rng(5)
    made = [EmbeddingPeer(f"agent-{k}", ids, rng.standard_normal((ROWS, 5))) for k in range(2)]
    agents = negotiated(*made)
    edge = agents["agent-1"].edges["agent-0"]
    assert edge.status is Status.REFUSED
    assert "no direction is shared" in edge.reason
    assert agents["agent-0"].verdicts["agent-1"].reason == edge.reason


def test_neither_peer_chooses_the_seed_and_processes_repeat_it():
    first, second = tables()
    seeds = {
        (keys, pair): negotiated(*pair_of)["agent-1"].edges["agent-0"].seed
        for keys, pair_of in (("same", (first, second)), ("again", (first, second)))
        for pair in ("0-1",)
    }
    assert seeds["same", "0-1"] == seeds["again", "0-1"]
    changed = EmbeddingNegotiation(AnchorTable.of(first), AlignSettings(), identity_of("another key"))
    agents = {"agent-0": changed, "agent-1": negotiation(second)}
    negotiate_all(agents)
    assert agents["agent-1"].edges["agent-0"].seed != seeds["same", "0-1"]


def refusal(first, second):
    agents = negotiated(first, second)
    edge = agents["agent-1"].edges["agent-0"]
    assert edge.status is Status.REFUSED
    assert edge.alignment is None
    return edge.reason


def test_another_anchor_set_is_refused_with_a_sentence_that_names_both():
    first, _ = tables()
    _, second = tables(ids=ids_of(ROWS, 1))
    reason = refusal(first, second)
    assert "agent-0 has another anchor set (400 anchors, fingerprint" in reason
    assert "(--anchors)" in reason


def test_rows_in_time_and_rows_without_order_are_not_compared():
    first, second = tables(ids=range(ROWS), rate=0.5)
    agents = {
        "agent-0": negotiation(first, AlignSettings(time_order=True)), "agent-1": negotiation(second),
    }  # fmt: skip
    negotiate_all(agents)
    assert "400 anchors, in the order of time" in agents["agent-1"].edges["agent-0"].reason


def test_an_agent_of_a_scene_is_refused_with_a_sentence_on_both_sides():
    agents = {"agent-0": planted_negotiation(0), "agent-1": negotiation(tables()[1])}
    negotiate_all(agents)
    assert "agent-0 is an agent of a scene" in agents["agent-1"].edges["agent-0"].reason
    assert "the anchors of agent-1 are of another scene" in agents["agent-0"].edges["agent-1"].reason


def test_a_table_of_equal_rows_is_refused():
    ids = ids_of(ROWS)
    assert "all rows of agent-0 are the same" in refusal(
        EmbeddingPeer("agent-0", ids, np.ones((ROWS, 3))), tables()[1]
    )


def test_the_message_holds_as_many_rows_as_fit():
    ids = range(MAX_ROWS + 500)
    wide = EmbeddingTable(
        "agent-0", ids, np.float32(np.random.default_rng(0).standard_normal((len(ids), 600)))
    )
    narrow = EmbeddingTable("agent-1", ids, wide.vectors[:, :3])
    agents = {table.name: negotiation(table) for table in (wide, narrow)}
    messages = negotiation_messages(agents)
    replies = {message.source: message for message in messages if isinstance(message, AnchorReply)}
    assert replies["agent-1"].rows == MAX_ROWS
    assert MAX_ENVELOPE_BYTES - 10_000 < len(replies["agent-0"].data) < MAX_ENVELOPE_BYTES
    edge = agents["agent-1"].edges["agent-0"]
    assert len(edge.rows) == replies["agent-0"].rows == len(edge.received)
    assert agents["agent-0"].verdicts["agent-1"].status is Status.ACCEPTED


def test_a_request_for_more_rows_than_there_are_is_refused():
    first, second = tables()
    agents = {table.name: negotiation(table) for table in (first, second)}
    (offer,) = agents["agent-0"].make_offers(["agent-1"])
    (request,) = agents["agent-1"].receive(offer)
    greedy = AnchorRequest(**{**{name: getattr(request, name) for name in request.__struct_fields__},
                              "anchors": ROWS + 1})  # fmt: skip
    with pytest.raises(ValueError, match="requests"):
        agents["agent-0"].receive(greedy)


def test_peers_negotiate_through_the_protocol_whoever_comes_first():
    first, second = tables()
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    publish_all(protocols, {table.name: negotiation(table) for table in (first, second)})
    transport.run()
    (edge,) = protocols["agent-1"].events(1, 0).edges
    assert edge.bytes > first.vectors.nbytes
    assert edge.alignment.shared_dim == 4


BROKEN = {
    "name": (lambda v: EmbeddingTable("a b", ids_of(ROWS), v), "'a b' cannot be the name of a peer"),
    "no ids": (lambda v: EmbeddingTable("a", None, v), "has no anchor ids"),
    "few": (lambda v: EmbeddingTable("a", ids_of(9), v[:9]), "9 anchors, and at least 32"),
    "wide": (lambda v: EmbeddingTable("a", ids_of(ROWS), np.ones((ROWS, 5000))), "5000 dimensions"),
    "large": (lambda v: EmbeddingTable("a", ids_of(ROWS), v * 1e7), "exceeds 1,000,000"),
    "nan": (lambda v: EmbeddingTable("a", ids_of(ROWS), v * np.nan), "not finite"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_table_that_cannot_be_sent_says_why(case):
    make, sentence = BROKEN[case]
    with pytest.raises(AlignmentError, match=sentence):
        AnchorTable.of(make(np.asarray(tables()[0].vectors)))


def test_an_anchor_set_is_named_by_its_ids_in_any_order_and_by_their_kind():
    ids = ids_of(50)
    assert anchor_set_id(ids, False) == anchor_set_id(ids[::-1], False)
    names = {
        anchor_set_id(ids, False), anchor_set_id(ids, True), anchor_set_id(ids[1:], False),
        anchor_set_id(["12", "3"], False), anchor_set_id(["1", "23"], False), anchor_set_id([12, 3], False),
    }  # fmt: skip
    assert len(names) == 6


def test_double_precision_is_rounded_before_anything_is_fitted_or_sent():
    first, second = tables()
    wide = [
        EmbeddingPeer(table.name, table.ids, np.float64(table.vectors) + 1e-12) for table in (first, second)
    ]
    one, other = (negotiated(*pair)["agent-1"].edges["agent-0"] for pair in ((first, second), wide))
    assert digits(one.alignment) == digits(other.alignment)
    assert torch.equal(one.received, AnchorTable.of(first).vectors)

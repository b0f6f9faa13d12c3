"""What a negotiation refuses: edges, by a verdict with a reason, and messages, by a MessageError."""

import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.edge import AnchorPools
from agents.protocol.messages import AnchorRequest, Verdict, decode, encode
from agents.protocol.wire import MessageError, StaleReplyError
from alignment.anchors import AnchorSet
from alignment.status import Status
from tests.support.swarm import (
    CORE,
    DIM,
    example_offer,
    negotiate_all,
    planted_embeddings,
    planted_negotiation,
)

change = msgspec.structs.replace
quick = settings(derandomize=True, database=None, max_examples=60)


def negotiated_pair(**changes):
    """Return both edges of two agents; `changes` replace fields of the second one's PeerInfo, or its core."""
    agents = {"agent-0": planted_negotiation(0), "agent-1": planted_negotiation(1, **changes)}
    negotiate_all(agents)
    return agents["agent-1"].edges["agent-0"], agents["agent-0"].edges["agent-1"]


def open_round():
    """Return a source, a target that has requested anchors, the request, and the source's reply."""
    source, target = planted_negotiation(0), planted_negotiation(1)
    (request,) = target.receive(source.make_offers(["agent-1"])[0])
    return source, target, request, source.receive(request)[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scene": "e15e"}, ["another scene", "5ce9e", "e15e"]),
        ({"collapsed": True}, ["agent-1", "collapsed"]),
        ({"core_dim": 0}, ["agent-1", "collapsed"]),
        ({"dim": 1025}, ["the model of agent-1 has 1025 dimensions; at most 1024 are compared"]),
    ],
)
def test_peers_with_nothing_to_compare_refuse_each_other_before_any_anchor_is_sent(changes, words):
    edges = negotiated_pair(**changes)
    for edge in edges[1:] if "dim" in changes else edges:
        assert edge.status is Status.REFUSED
        assert all(word in edge.reason for word in words)
        assert (edge.map, edge.shared_map, edge.score) == (None, None, None)
        assert (edge.anchors, edge.heldout) == (0, 0)


@pytest.mark.parametrize(
    ("ticks", "words"),
    [(range(0, 60), "60 ticks, 1 apart"), (range(0, 96, 2), "48 ticks, 2 apart")],
    ids=["pool_ticks", "pool_stride"],
)
def test_peers_with_other_pools_refuse_each_other_and_name_the_settings(ticks, words):
    first, second = planted_negotiation(0), planted_negotiation(1)
    pool = AnchorSet(tuple(ticks), planted_embeddings(1, ticks), CORE)
    second.pools = AnchorPools(pool, pool)
    agents = {"agent-0": first, "agent-1": second}
    negotiate_all(agents)

    ours, theirs = agents["agent-0"].edges["agent-1"], agents["agent-1"].edges["agent-0"]
    assert ours.reason == (
        f"agent-1 compares {words}, and agent-0 48, 1 apart: give both the same negotiation.pool_ticks and "
        "negotiation.pool_stride"
    )
    assert theirs.status is ours.status is Status.REFUSED
    assert first.verdicts["agent-1"].reason == theirs.reason


@pytest.mark.parametrize("seed", range(5))
def test_unrelated_spaces_are_refused_with_the_scores_in_the_reason(seed):
    _, target, _, anchors = open_round()
    noise = np.random.default_rng(seed).normal(size=(48, DIM)).astype("<f4")
    (verdict,) = target.receive(change(anchors, data=noise.tobytes()))
    edge = target.edges["agent-0"]

    assert verdict.status is edge.status is Status.REFUSED
    shown = [float(number) for number in re.findall(r"-?\d+\.\d\d", verdict.reason)]
    assert "time shifts" in verdict.reason
    assert shown == [round(value, 2) for value in (edge.score.correlations[0], edge.score.null_correlation)]
    assert (verdict.shared_dim, edge.score.shared_dim, edge.score.r2_shared) == (0, 0, 0.0)


@pytest.mark.parametrize("scale", [3.0, 100.0])
def test_embeddings_of_another_scale_are_refused_with_a_sentence(scale):
    _, target, _, anchors = open_round()
    (verdict,) = target.receive(change(anchors, data=(scale * anchors.embeddings()).tobytes()))

    assert verdict.status is Status.REFUSED
    assert "not white" in verdict.reason


def test_constant_embeddings_are_refused_with_finite_scores():
    _, target, _, anchors = open_round()
    (verdict,) = target.receive(change(anchors, data=np.full((48, DIM), 0.5, dtype="<f4").tobytes()))

    assert verdict.status is Status.REFUSED
    assert "no direction of the two cores is shared" in verdict.reason
    assert np.isfinite([verdict.r2_shared, verdict.null_correlation]).all()


def test_cores_of_different_size_are_accepted_and_the_reason_states_what_is_private():
    for edge, sizes in zip(negotiated_pair(core=CORE - 1), [(3, 2), (2, 3)], strict=True):
        assert edge.status is Status.ACCEPTED
        assert edge.core_dims == tuple(edge.shared_map.weight.shape) == sizes
        assert edge.score.shared_dim == 2
        wide = edge.source if sizes[0] == 3 else edge.target
        assert edge.reason == f"2 directions are shared, private are 1 of 3 of {wide}"


def test_spaces_of_different_size_get_rectangular_maps():
    wide, narrow = planted_negotiation(0), planted_negotiation(1)
    pools = narrow.pools
    for name in ("anchors", "heldout"):
        pool = getattr(pools, name)
        object.__setattr__(pool, "vectors", pool.vectors[:, : CORE + 1])
    object.__setattr__(narrow.peer_info, "dim", CORE + 1)
    agents = {"agent-0": wide, "agent-1": narrow}
    negotiate_all(agents)

    assert narrow.edges["agent-0"].map.weight.shape == (DIM, CORE + 1)
    assert wide.edges["agent-1"].map.weight.shape == (CORE + 1, DIM)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"target": "agent-2"}, "a message to agent-2 was delivered to agent-1"),
        ({"source": "agent-1"}, "source and target are both agent-1"),
        ({"core_dim": DIM + 1}, "agent-0 offers a core of 6 in 5 dimensions"),
    ],
)
def test_a_contradictory_offer_raises_a_message_error_and_changes_nothing(fields, sentence):
    target = planted_negotiation(1)
    with pytest.raises(MessageError, match=sentence):
        target.receive(example_offer(**fields))
    assert target.edges == {}


@pytest.mark.parametrize("settled", [False, True])
def test_an_offer_of_an_earlier_round_is_refused_whether_the_later_one_is_settled_or_open(settled):
    source, target = planted_negotiation(0), planted_negotiation(1)
    pending = source.make_offers(["agent-1"], 2)
    if settled:
        while pending:
            message = pending.pop()
            pending += (source if message.receiver == "agent-0" else target).receive(message)
    else:
        target.receive(pending.pop())
    with pytest.raises(MessageError, match="agent-0 offers round 1 after round 2"):
        target.receive(example_offer(round=1))


def test_anchors_of_an_earlier_round_do_not_undo_a_later_refusal():
    _, target, _, anchors = open_round()
    target.receive(example_offer(round=1, collapsed=True))
    with pytest.raises(
        StaleReplyError, match="AnchorReply of round 0, which no open offer or request"
    ) as caught:
        target.receive(anchors)
    assert (caught.value.peer, caught.value.round, caught.value.reply) == ("agent-0", 0, "AnchorReply")
    assert (target.edges["agent-0"].round, target.edges["agent-0"].status) == (1, Status.REFUSED)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"round": 1}, "of round 1, which no open offer or request called for"),
        ({"source": "agent-9"}, "agent-9 sent AnchorReply of round 0, which no open"),
        ({"digest": bytes(16)}, "other ticks"),
        ({"rows": 47, "data": bytes(4 * 47 * DIM)}, "other ticks"),
        (
            {"dim": DIM + 1, "data": bytes(4 * 48 * (DIM + 1))},
            "6 dimensions in float32, more than",
        ),
        ({"data": bytes(4)}, "take 960 bytes in float32, not 4"),
        ({"data": np.full((48, DIM), np.nan, "<f4").tobytes()}, "not finite"),
    ],
)
def test_anchors_that_do_not_match_the_request_raise_a_message_error_and_settle_nothing(fields, sentence):
    _, target, _, anchors = open_round()
    with pytest.raises(MessageError, match=sentence):
        target.receive(change(anchors, **fields))
    assert target.edges == {}
    assert target.receive(anchors)[0].status is Status.ACCEPTED  # valid ones are still accepted


def test_a_reply_about_a_settled_edge_is_compared_by_its_digest_and_not_read():
    """Reading one may take a second, and a source may repeat it as often as it likes."""
    _, target, _, anchors = open_round()
    (verdict,) = target.receive(anchors)

    assert target.receive(change(anchors, data=b"", metric=b"no triangle")) == [verdict]
    with pytest.raises(MessageError, match="other ticks"):
        target.receive(change(anchors, digest=bytes(16)))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"anchors": 49}, "agent-1 requests 49 anchors and 32 held-out ticks, and the pools hold 48 and 48"),
        ({"heldout": 65536}, "requests 16 anchors and 65536 held-out ticks, and the pools hold 48"),
        ({"round": 1}, "agent-1 sent AnchorRequest of round 1, which no open offer"),
        ({"target": "agent-2"}, "agent-2 sent AnchorRequest of round 0, which no open offer"),
    ],
)
def test_a_request_that_does_not_match_the_offer_raises_a_message_error(fields, sentence):
    source, _, request, _ = open_round()
    with pytest.raises(MessageError, match=sentence):
        source.receive(change(request, **fields))


@pytest.mark.parametrize("fields", [{"round": 1}, {"target": "agent-2"}])
def test_a_verdict_on_no_open_offer_raises_a_stale_reply_error(fields):
    source, *_ = open_round()
    verdict = Verdict(
        source="agent-0",
        target="agent-1",
        round=0,
        status=Status.ACCEPTED,
        reason="",
        shared_dim=0,
        r2_shared=1.0,
        null_correlation=0.0,
    )
    with pytest.raises(StaleReplyError, match=r"sent Verdict of round \d, which no open offer"):
        source.receive(change(verdict, **fields))
    assert source.verdicts == {}


def test_an_agent_that_made_no_offer_sends_no_anchors():
    request = AnchorRequest(
        source="agent-0", target="agent-1", round=0, anchors=4, heldout=4, offer_nonce=0, nonce=0, chosen=b"",
        dims=1, precision="float32",
    )  # fmt: skip
    with pytest.raises(StaleReplyError, match="agent-1 sent AnchorRequest of round 0, which no open offer"):
        planted_negotiation(0).receive(request)


NOISE = np.random.default_rng(0).normal(size=(48, DIM)).clip(-1, 1)
HOSTILE = {
    "constant": np.ones((48, DIM)),
    "zero": np.zeros((48, DIM)),
    "one line": np.arange(48)[:, None] * np.ones(DIM),
    "huge where it is scored": NOISE * np.where(np.arange(48) < 16, 1e-3, 9e5)[:, None],
    "columns of every size": NOISE * np.logspace(-38, 5, DIM),
    "denormal": np.full((48, DIM), 1e-44),
    "one row": np.eye(48, DIM) * 9e5,
}


@pytest.mark.parametrize("rows", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_anchors_are_refused_by_a_verdict_that_can_be_encoded(rows):
    _, target, _, anchors = open_round()
    (verdict,) = target.receive(change(anchors, data=rows.astype("<f4").tobytes()))

    assert verdict.status is Status.REFUSED
    assert decode(encode(verdict)) == verdict


@quick
@given(st.binary(min_size=4 * DIM, max_size=4 * DIM), st.integers(0, 47))
def test_any_row_of_bytes_gets_a_verdict_or_raises_a_message_error(row, place):
    _, target, _, anchors = open_round()
    data = bytearray(anchors.data)
    data[4 * DIM * place : 4 * DIM * (place + 1)] = row
    try:
        (verdict,) = target.receive(change(anchors, data=bytes(data)))
    except MessageError:
        assert target.edges == {}
    else:
        assert isinstance(decode(encode(verdict)), Verdict)

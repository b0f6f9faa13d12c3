"""What a negotiation turns down: edges, by a verdict with a reason, and messages, by a MessageError."""

import re
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.messages import AnchorRequest, Verdict, decode, encode
from agents.protocol.wire import MessageError
from alignment.status import Status
from tests.support.swarm import CONFIG, CORE, DIM, agent, negotiate, offer

change = msgspec.structs.replace
quick = settings(derandomize=True, database=None, deadline=None, max_examples=60)


def pair(**second):
    """Two agents after they talked; the second one's card or core changed. Returns both edges."""
    agents = {"agent-0": agent(0), "agent-1": agent(1, **second)}
    negotiate(agents)
    return agents["agent-1"].edges["agent-0"], agents["agent-0"].edges["agent-1"]


def called():
    """A source, a target that called for anchors, and the anchors."""
    source, target = agent(0), agent(1)
    (call,) = target.receive(source.make_offers(["agent-1"])[0])
    return source, target, call, source.receive(call)[0]


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"scene": "e15e"}, ["another scene", "5ce9e", "e15e"]),
        ({"collapsed": True}, ["agent-1", "collapsed"]),
        ({"core_dim": 0}, ["agent-1", "collapsed"]),
    ],
)
def test_peers_with_nothing_to_compare_refuse_each_other_before_anything_is_shown(card, words):
    for edge in pair(**card):
        assert edge.status is Status.REFUSED
        assert all(word in edge.reason for word in words)
        assert (edge.map, edge.core_map, edge.score) == (None, None, None)
        assert (edge.anchors, edge.heldout) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_unrelated_spaces_are_refused_with_the_figures_that_say_so(seed):
    _, target, _, anchors = called()
    noise = np.random.default_rng(seed).normal(size=(48, DIM)).astype("<f4")
    (verdict,) = target.receive(change(anchors, data=noise.tobytes()))
    edge = target.edges["agent-0"]

    assert verdict.status is edge.status is Status.REFUSED
    shown = [float(number) for number in re.findall(r"-?\d+\.\d\d", verdict.reason)]
    figures = {
        round(value, 2)
        for value in (
            edge.score.r2_core,
            edge.score.null_r2,
            edge.score.spectrum[0],
            edge.score.null_spectrum[0],
        )
    }
    assert "shuffled pairs" in verdict.reason
    assert set(shown[:2]) <= figures  # a third one is the margin


def test_a_map_that_beats_chance_by_less_than_the_margin_is_refused():
    strict = replace(CONFIG, min_r2_margin=1.5)
    agents = {f"agent-{index}": agent(index, strict) for index in range(2)}
    negotiate(agents)
    edge = agents["agent-1"].edges["agent-0"]

    assert edge.status is Status.REFUSED
    assert "by 1.5" in edge.reason
    assert edge.score.r2_core > 0.9


def test_cores_of_different_size_are_accepted_and_the_difference_is_named():
    for edge, sizes in zip(pair(core=CORE - 1), [(3, 2), (2, 3)], strict=True):
        assert edge.status is Status.ACCEPTED
        assert edge.core_dims == tuple(edge.core_map.weight.shape) == sizes
        assert (
            edge.reason == f"the cores differ: {sizes[0]} dimensions at the source, {sizes[1]} at the target"
        )


def test_spaces_of_different_size_translate():
    wide, narrow = agent(0), agent(1)
    pools = narrow.pools
    for name in ("anchors", "heldout"):
        known = getattr(pools, name)
        object.__setattr__(known, "vectors", known.vectors[:, : CORE + 1])
    object.__setattr__(narrow.peer_info, "dim", CORE + 1)
    agents = {"agent-0": wide, "agent-1": narrow}
    negotiate(agents)

    assert narrow.edges["agent-0"].map.weight.shape == (DIM, CORE + 1)
    assert wide.edges["agent-1"].map.weight.shape == (CORE + 1, DIM)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"target": "agent-2"}, "a message for agent-2 reached agent-1"),
        ({"source": "agent-1"}, "no need of a map to itself"),
        ({"core_dim": DIM + 1}, "core of 6 in 5 dimensions"),
    ],
)
def test_an_offer_that_makes_no_sense_is_a_message_error_and_leaves_no_trace(fields, sentence):
    target = agent(1)
    with pytest.raises(MessageError, match=sentence):
        target.receive(offer(**fields))
    assert target.edges == {}


@pytest.mark.parametrize("number", [0, 1])
def test_a_stale_offer_is_refused_whether_the_later_one_is_settled_or_still_open(number):
    source, target = agent(0), agent(1)
    bag = source.make_offers(["agent-1"], 2)
    if number:
        while bag:
            message = bag.pop()
            bag += (source if message.receiver == "agent-0" else target).receive(message)
    else:
        target.receive(bag.pop())
    with pytest.raises(MessageError, match="already closed"):
        target.receive(offer(round=1))


def test_anchors_of_an_earlier_round_do_not_undo_a_later_refusal():
    _, target, _, anchors = called()
    target.receive(offer(round=1, collapsed=True))
    with pytest.raises(MessageError, match="not called for"):
        target.receive(anchors)
    assert (target.edges["agent-0"].round, target.edges["agent-0"].status) == (1, Status.REFUSED)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"round": 1}, "not called for"),
        ({"source": "agent-9"}, "not called for"),
        ({"digest": bytes(8)}, "other ticks"),
        ({"rows": 47, "data": bytes(4 * 47 * DIM)}, "other ticks"),
        ({"dim": DIM - 1, "data": bytes(4 * 48 * (DIM - 1))}, "offered 5 dimensions and sends 4"),
        ({"data": bytes(4)}, "take 960 bytes, not 4"),
        ({"data": np.full((48, DIM), np.nan, "<f4").tobytes()}, "not finite"),
    ],
)
def test_anchors_that_do_not_follow_from_the_call_are_message_errors_and_settle_nothing(fields, sentence):
    _, target, _, anchors = called()
    with pytest.raises(MessageError, match=sentence):
        target.receive(change(anchors, **fields))
    assert target.edges == {}
    assert target.receive(anchors)[0].status is Status.ACCEPTED  # and the true ones are still welcome


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"anchors": 49}, "more anchors than ticks: 49 asked of 48"),
        ({"heldout": 65536}, "more anchors than ticks: 65536 asked of 48"),
        ({"round": 1}, "was not made"),
        ({"target": "agent-2"}, "was not made"),
    ],
)
def test_a_call_that_does_not_follow_from_the_offer_is_a_message_error(fields, sentence):
    source, _, call, _ = called()
    with pytest.raises(MessageError, match=sentence):
        source.receive(change(call, **fields))


@pytest.mark.parametrize("fields", [{"round": 1}, {"target": "agent-2"}])
def test_a_verdict_on_what_was_never_offered_is_a_message_error(fields):
    source, *_ = called()
    verdict = Verdict(
        source="agent-0",
        target="agent-1",
        round=0,
        status=Status.ACCEPTED,
        reason="",
        r2_core=1.0,
        null_r2=0.0,
    )
    with pytest.raises(MessageError, match="was not made"):
        source.receive(change(verdict, **fields))
    assert source.verdicts == {}


def test_an_agent_that_never_opened_shows_nothing():
    call = AnchorRequest(source="agent-0", target="agent-1", round=0, anchors=4, heldout=4, nonce=0)
    with pytest.raises(MessageError, match="was not made"):
        agent(0).receive(call)


NOISE = np.random.default_rng(0).normal(size=(48, DIM)).clip(-1, 1)
SPOILT = {
    "constant": np.ones((48, DIM)),
    "zero": np.zeros((48, DIM)),
    "one line": np.arange(48)[:, None] * np.ones(DIM),
    "huge where it is scored": NOISE * np.where(np.arange(48) < 16, 1e-3, 9e5)[:, None],
    "columns of every size": NOISE * np.logspace(-38, 5, DIM),
    "denormal": np.full((48, DIM), 1e-44),
    "one row": np.eye(48, DIM) * 9e5,
}


@pytest.mark.parametrize("rows", SPOILT.values(), ids=SPOILT.keys())
def test_hostile_anchors_are_refused_by_a_verdict_that_the_peer_can_read(rows):
    _, target, _, anchors = called()
    (verdict,) = target.receive(change(anchors, data=rows.astype("<f4").tobytes()))

    assert verdict.status is Status.REFUSED
    assert decode(encode(verdict)) == verdict


@quick
@given(st.binary(min_size=4 * DIM, max_size=4 * DIM), st.integers(0, 47))
def test_any_row_of_bytes_is_judged_or_refused(row, place):
    _, target, _, anchors = called()
    data = bytearray(anchors.data)
    data[4 * DIM * place : 4 * DIM * (place + 1)] = row
    try:
        (verdict,) = target.receive(change(anchors, data=bytes(data)))
    except MessageError:
        assert target.edges == {}
    else:
        assert isinstance(decode(encode(verdict)), Verdict)

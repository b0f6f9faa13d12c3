"""Evidence that a peer embedded a tick in two ways, and that no honest peer can be accused."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from agents.protocol.edge import EdgeResult
from agents.protocol.evidence import (
    FORMAT,
    Evidence,
    EvidenceError,
    KeptReply,
    ReplyHistory,
    SignedReply,
    check,
    verify,
)
from agents.protocol.messages import AnchorReply
from agents.protocol.precision import pack_embeddings
from alignment.anchors import digest_ids
from alignment.status import Status
from tests.support.keys import identity_of, signed
from tests.support.swarm import connect_protocols, planted_negotiation, planted_negotiations, publish_all

LIAR, KEY = "agent-0", identity_of("agent-0").public_key
POOL = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
FIRST, SECOND = tuple(range(0, 60)), tuple(range(40, 100))


def reply(target, ticks, rows, precision="float32", **changes):
    fields = {
        "source": LIAR, "target": target, "round": 0, "digest": digest_ids(ticks, "c0de"), "rows": len(rows),
        "dim": rows.shape[1], "precision": precision, "noise": 0, "data": pack_embeddings(rows, precision),
        "metric": b"",
    }  # fmt: skip
    return AnchorReply(**fields | changes)


def statement(target, ticks, rows, precision="float32", signer=None, **envelope):
    return SignedReply(signed(reply(target, ticks, rows, precision), signer, **envelope), ticks)


def evidence(first, second, key=KEY, checkpoint="c0de"):
    return Evidence(FORMAT, key, checkpoint, (first, second)).encode()


HONEST = statement("agent-1", FIRST, POOL[list(FIRST)])
LIE = statement("agent-2", SECOND, -POOL[list(SECOND)])


def test_two_signed_replies_that_contradict_each_other_are_proof():
    found = verify(evidence(HONEST, LIE))

    assert (found.sender, found.public_key, found.recipients) == (LIAR, KEY, ("agent-1", "agent-2"))
    assert (found.ticks, found.contradictions) == (20, 20)
    assert found.tick in range(40, 60)
    assert found.difference == 2 * np.abs(POOL[found.tick]).max()


def test_one_changed_row_is_found():
    rows = POOL[list(SECOND)].copy()
    rows[5, 3] += 0.01
    found = verify(evidence(HONEST, statement("agent-2", SECOND, rows)))

    assert (found.contradictions, found.tick) == (1, 45)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("other", ["float32", "float16", "int8"])
@pytest.mark.parametrize("dims", [4, 2])
def test_an_honest_peer_cannot_be_accused_in_any_precision(precision, other, dims):
    first = statement("agent-1", FIRST, POOL[list(FIRST)] * 1e3, precision)
    second = statement("agent-2", SECOND, POOL[list(SECOND), :dims] * 1e3, other)

    with pytest.raises(EvidenceError, match="agree in all 20 ticks"):
        verify(evidence(first, second))


def permuted(number):
    return SignedReply(number.envelope, number.ticks[::-1])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "no evidence file"),
        (b"\x93\x01\x02\x03", "no evidence file"),
        (evidence(HONEST, LIE, key=bytes(32)), "reply 1 was not signed by the key"),
        (evidence(HONEST, LIE, key=identity_of("agent-1").public_key), "reply 1 was not signed by the key"),
        (evidence(HONEST, LIE, checkpoint="other"), "not about the checkpoint and the ticks"),
        (evidence(permuted(HONEST), LIE), "not about the checkpoint and the ticks"),
        (evidence(HONEST, SignedReply(LIE.envelope, FIRST)), "not about the checkpoint"),
        (
            evidence(HONEST, statement("agent-2", SECOND, -POOL[list(SECOND)], signer="agent-1")),
            "reply 2 was not",
        ),
        (evidence(HONEST, statement("agent-2", SECOND, -POOL[list(SECOND)], incarnation=2)), "incarnation"),
        (evidence(HONEST, statement("agent-2", SECOND, -POOL[list(SECOND)], session=bytes(16))), "session"),
        (evidence(HONEST, statement("agent-2", tuple(range(60, 100)), -POOL[60:])), "no tick in common"),
        (evidence(HONEST, HONEST), "agree in all 60 ticks"),
        (evidence(HONEST, SignedReply(LIE.envelope[:-1], SECOND)), "reply 2 is no envelope"),
    ],
)
def test_what_proves_nothing_is_refused_with_a_sentence(data, sentence):
    with pytest.raises(EvidenceError, match=sentence):
        verify(data)


def test_every_flipped_bit_of_a_lie_destroys_the_proof_or_leaves_the_liar_guilty():
    """Nobody can turn evidence against another agent."""
    data = evidence(HONEST, LIE)
    for place in range(0, len(data), 7):
        changed = data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]
        try:
            found = verify(changed)
        except EvidenceError:
            continue
        assert (found.sender, found.public_key) == (LIAR, KEY)


def edge(signed_reply, **changes):
    result = EdgeResult(LIAR, "agent-1", 0, Status.ACCEPTED, "", "c0de", "c0de1", incarnations=(1, 1))
    return replace(result, reply=signed_reply.envelope, ticks=signed_reply.ticks, source_key=KEY, **changes)


def test_a_history_of_replies_proves_what_differs_and_nothing_across_models_or_processes():
    history = ReplyHistory()

    assert history.compare(edge(HONEST)) is None
    assert history.compare(edge(HONEST)) is None
    assert verify(history.compare(edge(LIE)).encode()).sender == LIAR
    assert verify(history.compare(edge(LIE)).encode()).sender == LIAR  # a ledger may have been busy
    assert history.compare(edge(LIE, incarnations=(2, 1))) is None
    assert history.compare(edge(HONEST, source_checkpoint="c0de2")) is None


def test_edges_of_a_run_carry_their_envelopes_and_honest_agents_are_never_proved_guilty():
    protocols, transport = connect_protocols(["agent-0", "agent-1", "agent-2"])
    publish_all(protocols, planted_negotiations())
    transport.run()
    edges = [found for protocol in protocols.values() for found in protocol.events(1, 0).edges]
    history = ReplyHistory()

    assert len(edges) == 6
    assert all(found.reply and found.source_key == identity_of(found.source).public_key for found in edges)
    assert [history.compare(found) for found in edges] == [None] * 6


def test_an_agent_that_shows_two_peers_different_embeddings_is_proved_guilty():
    protocols, transport = connect_protocols(["agent-0", "agent-1", "agent-2"])
    agents = planted_negotiations()
    publish_all(protocols, agents)
    honest = agents["agent-0"]
    pools = honest.pools
    other = planted_negotiation(5).pools

    def receive(message, process=honest.receive):
        honest.pools = other if message.sender == "agent-2" else pools
        return process(message)

    honest.receive = receive
    transport.run()
    history = ReplyHistory()
    edges = [found for protocol in protocols.values() for found in protocol.events(1, 0).edges]
    proofs = [proof for found in edges if (proof := history.compare(found))]

    assert [verify(proof.encode()).sender for proof in proofs] == ["agent-0"]


def test_an_evidence_file_is_a_msgpack_map_as_documented():
    found = msgspec.msgpack.decode(evidence(HONEST, LIE))

    assert found.keys() == {"format", "public_key", "checkpoint", "replies"}
    assert found["format"] == "social-jepa evidence 1"
    assert [set(each) for each in found["replies"]] == [{"envelope", "ticks"}] * 2


def kept(target, ticks, rows, incarnation=1):
    return KeptReply(KEY, "c0de", incarnation, statement(target, ticks, rows))


def test_kept_replies_of_one_process_and_checkpoint_are_compared_and_others_are_not():
    first = kept("agent-1", FIRST, POOL[list(FIRST)])
    lie = kept("agent-2", SECOND, -POOL[list(SECOND)])

    assert KeptReply.decode(first.encode()) == first
    assert check(first.contradicts(lie)).contradictions == 20
    assert first.contradicts(kept("agent-2", SECOND, POOL[list(SECOND)])) is None
    assert first.contradicts(kept("agent-2", SECOND, -POOL[list(SECOND)], incarnation=2)) is None
    with pytest.raises(EvidenceError, match="holds no reply"):
        KeptReply.decode(first.encode()[:-1])


def test_a_history_goes_on_with_the_replies_that_an_earlier_process_kept():
    history = ReplyHistory({LIAR: kept("agent-1", FIRST, POOL[list(FIRST)])})

    assert history.compare(edge(HONEST)) is None
    assert verify(history.compare(edge(LIE)).encode()).sender == LIAR

"""Signed addresses: the newest of each owner counts, and nothing that others make up is kept."""

from dataclasses import replace as replaced

import msgspec
import pytest

from agents.protocol.envelope import MAX_SMALL_BODY, session_id
from agents.protocol.inspection import inspect
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.address_book import (
    MAX_AGENTS,
    RENEW_SECONDS,
    SENT_STATEMENTS,
    STATEMENTS,
    VALID_SECONDS,
    AddressBook,
    AddressStatement,
    Refusal,
    pack_statements,
    unpack_statements,
)
from agents.protocol.trust import KeyRevocation, TrustStore
from agents.protocol.verifier import LocalPeer
from agents.protocol.wire import MessageError
from tests.support.keys import identity_of, local_peer

NOW = 1_800_000_000.0
HOME = "10.0.0.1:7000"


class Clock:
    """A clock that stands still."""

    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def trust(tmp_path):
    return TrustStore(tmp_path / "trust.toml", first_use=True)


@pytest.fixture
def book(trust, clock):
    return AddressBook(local_peer("me"), trust, lambda name: name != "outsider", clock)


def statement(name="b", seconds=0.0, addresses=(HOME,), local=None):
    return AddressStatement.make(local or local_peer(name), int((NOW + seconds) * 1e6), addresses)


def changed(made, **fields):
    return msgspec.structs.replace(made, **fields)


FORGED = {
    "another group": (
        statement(local=replaced(local_peer("b"), session=session_id("x"))), Refusal.SESSION,
    ),
    "about this agent": (statement("me"), Refusal.OWN),
    "an agent that does not belong here": (statement("outsider"), Refusal.NAME),
    "from the future": (statement(seconds=1e4), Refusal.TIME),
    "ended": (statement(seconds=-VALID_SECONDS - 1), Refusal.TIME),
    "an address changed on the way": (changed(statement(), addresses=["6.6.6.6:6"]), Refusal.SIGNATURE),
    "one more address": (changed(statement(), addresses=[HOME, HOME]), Refusal.SIGNATURE),
    "two addresses made one": (
        changed(statement(addresses=("a:1", "b:2")), addresses=["a:1b:2"]), Refusal.SIGNATURE,
    ),
    "a newer time": (changed(statement(), time=int(NOW * 1e6) + 1), Refusal.SIGNATURE),
    "another name": (changed(statement(), name="c"), Refusal.SIGNATURE),
    "the key of another": (changed(statement(), key=identity_of("c").public_key), Refusal.SIGNATURE),
    "no address": (statement(addresses=("nowhere",)), Refusal.ADDRESS),
    "a host name without a label": (statement(addresses=(HOME, "host..example:1")), Refusal.ADDRESS),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_statement_is_refused_counted_and_leaves_no_trace(book, case):
    made, reason = FORGED[case]
    assert book.receive([made]) == []
    assert (book.addresses(), dict(book.refusals)) == ({}, {reason: 1})


def test_of_one_owner_the_newest_counts_and_an_older_one_is_refused(book):
    old, new = statement(), statement(seconds=1, addresses=("[::1]:7", "host:8"))
    assert book.receive([old]) == [old]
    assert book.receive([new]) == [new]
    assert book.receive([new]) == []  # gossip repeats itself: that is no replay
    assert not book.refusals
    assert book.receive([old]) == []
    assert book.refusals == {Refusal.OLD: 1}
    assert book.addresses() == {"b": (PeerAddress("::1", 7), PeerAddress("host", 8))}


def test_a_name_with_a_trusted_key_is_announced_by_that_key_alone(book, trust):
    eve = LocalPeer("b", identity_of("eve"), 1, local_peer("b").session)
    squatted = statement(local=eve, seconds=9)
    assert book.receive([squatted]) == [squatted]  # no other key is known yet
    assert book.receive([statement()]) == []
    trust.accept("b", identity_of("b").public_key)
    assert book.receive([statement()]) == [statement()]
    assert book.receive([statement(local=eve, seconds=20)]) == []
    assert book.refusals == {Refusal.KEY: 2}
    trust.revoke(KeyRevocation.make("b", identity_of("b")))
    assert book.receive([statement(seconds=30)]) == []
    assert book.refusals[Refusal.REVOKED] == 1


def test_an_allow_list_admits_no_other_names(tmp_path, clock):
    (tmp_path / "list.toml").write_text(f'[b]\nkey = "{identity_of("b").public_key.hex()}"\n')
    book = AddressBook(local_peer("me"), TrustStore(tmp_path / "list.toml", first_use=False), clock=clock)
    assert book.receive([statement("b"), statement("c")]) == [statement("b")]
    assert book.refusals == {Refusal.KEY: 1}


def test_a_flood_of_names_is_bounded_and_takes_no_place_from_trusted_agents(book, trust):
    flood = [statement(f"sybil-{number}") for number in range(MAX_AGENTS + 40)]
    assert len(book.receive(flood)) == MAX_AGENTS
    assert book.refusals == {Refusal.FULL: 40}
    trust.accept("b", identity_of("b").public_key)
    assert book.receive([statement("b")]) == [statement("b")]
    assert len(book.addresses()) == MAX_AGENTS


def test_of_one_agent_so_many_statements_are_taken_whatever_they_say_and_others_lose_nothing(book, clock):
    same = [statement(seconds=number) for number in range(100)]
    other = [statement(seconds=100 + number, addresses=(f"10.0.0.{number}:1",)) for number in range(100)]
    assert book.receive([*same, *other]) == same[: STATEMENTS.burst]
    assert book.refusals == {Refusal.SOON: 200 - STATEMENTS.burst}
    assert book.receive([statement("c")]) == [statement("c")]

    clock.now += 1 / STATEMENTS.per_second
    assert book.receive(other) == other[:1]
    assert book.addresses()["b"] == (PeerAddress("10.0.0.0", 1),)


def test_a_forged_statement_spends_nothing_of_the_agent_that_it_names(book):
    book.receive([statement()])
    forged = [changed(statement(seconds=1), addresses=[f"6.6.6.6:{port}"]) for port in range(100)]
    assert book.receive(forged) == []
    assert book.receive([statement(seconds=2)]) == [statement(seconds=2)]


def test_who_had_a_name_before_has_spent_nothing_of_its_owner(book, trust):
    eve = LocalPeer("b", identity_of("eve"), 1, local_peer("b").session)
    book.receive([statement(local=eve, seconds=number) for number in range(100)])
    trust.accept("b", identity_of("b").public_key)
    own = [statement(seconds=number) for number in range(100)]
    assert book.receive(own) == own[: STATEMENTS.burst]


def test_an_agent_signs_no_more_statements_than_others_take(book, clock):
    signed = [book.announce([f"10.0.0.{number}:1"]) for number in range(100)]
    assert signed == [True] * STATEMENTS.burst + [False] * (100 - STATEMENTS.burst)
    clock.now += 1 / STATEMENTS.per_second
    assert book.announce(["10.0.0.99:1"])


def test_a_peer_may_send_so_many_statements_and_takes_nothing_from_other_senders(book, clock):
    list_ = [statement(f"agent-{number}") for number in range(64)]
    for _ in range(SENT_STATEMENTS.burst // 64):
        book.receive(list_, "mallory")
    assert book.receive([statement("b")], "mallory") == []
    assert book.refusals == {Refusal.BUDGET: 1}
    assert book.receive([statement("b")], "c") == [statement("b")]
    clock.now += 1
    assert book.receive([statement("d")], "mallory") == [statement("d")]


def test_statements_that_end_soon_let_no_further_names_in(book, clock):
    ending = -VALID_SECONDS + 1
    assert len(book.receive([statement(f"x-{k}", seconds=ending) for k in range(MAX_AGENTS)])) == MAX_AGENTS
    clock.now += 2
    assert book.addresses() == {}
    assert book.receive([statement("y")]) == []
    assert book.refusals == {Refusal.FULL: 1}
    assert book.receive([statement("x-0")]) == [statement("x-0")]
    clock.now += 1 / STATEMENTS.per_second
    assert book.receive([statement("y")]) == [statement("y")]


def test_a_statement_ends_by_itself_and_its_owner_renews_it_before(book, clock):
    assert book.announce([HOME])
    assert not book.announce([HOME])
    assert book.announce(["other:1"])
    first = book.own()[0]
    book.receive([statement()])
    clock.now += RENEW_SECONDS + 1
    assert book.announce(["other:1"])
    assert book.own()[0].time > first.time
    assert RENEW_SECONDS < VALID_SECONDS
    clock.now = NOW + VALID_SECONDS + 1
    assert book.addresses() == {}


def test_a_clock_that_is_set_back_does_not_make_an_own_statement_older(book, clock):
    book.announce([HOME])
    first = book.own()[0].time
    clock.now -= 3600
    assert book.announce(["other:1"])
    assert book.own()[0].time > first


def test_statements_travel_in_envelopes_of_limited_size_and_come_back_as_they_were():
    made = [statement(f"agent-{number}", addresses=("x" * 250 + ":1",) * 4) for number in range(30)]
    bodies = pack_statements(made)
    assert max(map(len, bodies)) <= MAX_SMALL_BODY
    assert [each for body in bodies for each in unpack_statements(body)] == made
    assert pack_statements([]) == []


@pytest.mark.parametrize("body", [b"", b"\x80", b"\xc1", b"\x91" * 3000, b"\x81\xaastatements\x91\x01"])
def test_a_body_that_is_no_list_of_statements_is_refused(body):
    with pytest.raises(MessageError, match="not a list of signed addresses"):
        unpack_statements(body)


def test_a_captured_envelope_of_addresses_is_printed_by_the_second_decoder():
    from agents.protocol.envelope import Envelope, Kind, seal

    local = local_peer("me")
    (body,) = pack_statements([statement()])
    envelope = Envelope(Kind.ADDRESSES, "me", "b", local.session, 1, 1, 1, 1, local.identity.key_id, body)
    found = inspect(seal(envelope, local.identity))
    assert found["kind"] == "addresses"
    assert found["message"]["statements"][0]["addresses"] == [HOME]

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.budget import Allowance, PeerLimits
from agents.protocol.envelope import Kind, is_sealed_by, parse, seal, session_id
from agents.protocol.identity import Identity
from agents.protocol.settings import MAX_PEERS
from agents.protocol.verifier import (
    MAX_CLOCK_DIFFERENCE,
    REPLAY_WINDOW,
    EnvelopeVerifier,
    KnownPeer,
    ReplayWindow,
)
from agents.protocol.wire import EnvelopeRejected, Reason
from tests.support.frames import FRAMES
from tests.support.keys import envelope_of, identity_of, known_peers, local_peer, signed
from tests.support.swarm import example_offer

OFFER = example_offer()  # from agent-0 to agent-1
MANY = FRAMES // 100  # 10,000 under `make fuzz`
UNLIMITED = PeerLimits(*[Allowance(1e12, 1e12)] * 4)
quick = settings(derandomize=True, database=None, max_examples=200)


def receiver(incarnation=1, limits=UNLIMITED, **options):
    """Return the verifier of agent-1, whose peers are agent-0 and agent-2."""
    verifier = EnvelopeVerifier(local_peer("agent-1", incarnation), limits, **options)
    verifier.set_peers(known_peers({"agent-0": 1, "agent-2": 1}))
    return verifier


def reason_of(verifier, data):
    """Return why an envelope is refused; None if it is accepted."""
    try:
        verifier.admit(data)
    except EnvelopeRejected as error:
        return error.reason
    return None


CASES = {
    "another recipient": ({"recipient": "agent-2"}, Reason.RECIPIENT),
    "another session": ({"session": session_id("another")}, Reason.SESSION),
    "a former process of the recipient": ({"recipient_incarnation": 0}, Reason.RECIPIENT_INCARNATION),
    "a later process of the recipient": ({"recipient_incarnation": 2}, Reason.RECIPIENT_INCARNATION),
    "no peer": ({"sender": "eve", "key_id": identity_of("eve").key_id}, Reason.SENDER),
    "the recipient itself": ({"sender": "agent-1"}, Reason.SENDER),
    "another key": ({"key_id": identity_of("eve").key_id}, Reason.KEY),
    "an introduction": ({"kind": Kind.INTRODUCTION}, Reason.FORMAT),
    "a former process of the sender": ({"incarnation": 0}, Reason.INCARNATION),
    "number 0": ({"sequence": 0}, Reason.REPLAY),
    "the future": ({"time": 2 * MAX_CLOCK_DIFFERENCE}, Reason.TIME),
    "the past": ({"time": -2 * MAX_CLOCK_DIFFERENCE}, Reason.TIME),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_signed_envelope_that_is_not_for_here_and_now_is_refused_with_its_reason(case):
    changes, reason = CASES[case]
    if "time" in changes:  # seconds from now
        changes = changes | {"time": int(1e6 * (time.time() + changes["time"]))}
    verifier = receiver()
    signer = "eve" if changes.get("sender") == "eve" else "agent-0"
    assert reason_of(verifier, signed(OFFER, signer, **changes)) is reason
    assert sum(verifier.refusals.values()) == 1
    assert reason_of(verifier, signed(OFFER)) is None


def test_each_envelope_is_accepted_once():
    verifier = receiver()
    for sequence in range(1, MANY + 1):
        data = signed(OFFER, sequence=sequence)
        assert reason_of(verifier, data) is None
        assert reason_of(verifier, data) is Reason.REPLAY
    assert verifier.refusals == {("agent-0", Reason.REPLAY): MANY}
    assert reason_of(verifier, signed(OFFER, sequence=MANY + 1)) is None


def test_envelopes_for_others_and_from_impostors_are_refused_and_silence_no_peer():
    verifier, rng = receiver(), np.random.default_rng(0)
    eve = identity_of("eve")
    for number in range(MANY):
        sequence, incarnation = int(rng.integers(1, 2**62)), int(rng.integers(1, 2**32))
        to_another = signed(OFFER, sequence=sequence, recipient="agent-2", incarnation=incarnation)
        in_another = signed(
            OFFER, sequence=sequence, session=session_id(str(number)), incarnation=incarnation
        )
        forged = seal(envelope_of(OFFER, sequence=sequence, incarnation=incarnation), eve)
        stale = signed(OFFER, sequence=sequence, incarnation=0)
        unknown = seal(envelope_of(OFFER, sender=f"eve-{number}"), eve)
        found = [reason_of(verifier, data) for data in (to_another, in_another, forged, stale, unknown)]
        assert found == [
            Reason.RECIPIENT, Reason.SESSION, Reason.SIGNATURE, Reason.INCARNATION, Reason.SENDER
        ]  # fmt: skip
    for name in ("agent-0", "agent-2"):
        assert verifier.incarnation_of(name) == 1
        assert reason_of(verifier, signed(example_offer(source=name))) is None
    assert len(verifier.refusals) == 5
    assert verifier.refusals["agent-0", Reason.SIGNATURE] == MANY


def test_an_incarnation_counts_only_if_the_key_of_the_peer_signed_it():
    verifier = receiver()
    assert reason_of(verifier, signed(OFFER, "eve", incarnation=7)) is Reason.SIGNATURE
    assert verifier.incarnation_of("agent-0") == 1
    assert reason_of(verifier, signed(OFFER, incarnation=7)) is None
    assert verifier.incarnation_of("agent-0") == 7
    assert reason_of(verifier, signed(OFFER, sequence=2)) is Reason.INCARNATION
    assert reason_of(verifier, signed(OFFER, incarnation=7)) is Reason.REPLAY


def test_no_envelope_is_accepted_again_after_its_sender_left_and_came_back():
    verifier = receiver()
    assert reason_of(verifier, signed(OFFER)) is None
    verifier.set_peers(known_peers({"agent-2": 1}))
    assert reason_of(verifier, signed(OFFER, sequence=2)) is Reason.SENDER
    verifier.set_peers(known_peers({"agent-0": 1, "agent-2": 1}))
    assert reason_of(verifier, signed(OFFER)) is Reason.REPLAY
    assert reason_of(verifier, signed(OFFER, sequence=2)) is None


def test_a_restarted_recipient_accepts_nothing_that_was_sent_to_its_former_process():
    first, second = receiver(), receiver(2)
    data = signed(OFFER)
    assert reason_of(first, data) is None
    assert reason_of(second, data) is Reason.RECIPIENT_INCARNATION


def test_a_revoked_peer_is_refused_until_it_has_another_key():
    verifier, another = receiver(), Identity.generate()
    verifier.set_peers({"agent-0": KnownPeer(identity_of("agent-0").public_key, 1, revoked=True)})
    assert reason_of(verifier, signed(OFFER)) is Reason.REVOKED
    verifier.set_peers({"agent-0": KnownPeer(another.public_key, 1)})
    assert reason_of(verifier, signed(OFFER)) is Reason.KEY
    envelope = envelope_of(OFFER, key_id=another.key_id)
    assert reason_of(verifier, seal(envelope, another)) is None


def test_a_peer_with_a_new_key_may_count_its_incarnations_anew_and_one_with_the_same_key_may_not():
    verifier, another = receiver(), Identity.generate()
    assert reason_of(verifier, signed(OFFER, incarnation=7)) is None
    verifier.set_peers(known_peers({"agent-0": 2}))
    assert verifier.incarnation_of("agent-0") == 7
    verifier.set_peers({"agent-0": KnownPeer(another.public_key, 2)})
    assert verifier.incarnation_of("agent-0") == 2


def test_a_budget_is_spent_by_the_peer_alone_and_filled_again_by_time():
    now = [0.0]
    limits = PeerLimits(envelopes=Allowance(10, 2))
    verifier = receiver(limits=limits, monotonic=lambda: now[0])
    for _ in range(50):
        assert reason_of(verifier, signed(OFFER, "eve")) is Reason.SIGNATURE
    found = Counter(reason_of(verifier, signed(OFFER, sequence=k)) for k in range(1, 31))
    assert found == {None: 10, Reason.BUDGET: 20}
    assert reason_of(verifier, signed(example_offer(source="agent-2"))) is None
    now[0] += 3.0
    found = Counter(reason_of(verifier, signed(OFFER, sequence=k)) for k in range(31, 61))
    assert found == {None: 6, Reason.BUDGET: 24}
    now[0] += 1e6
    found = Counter(reason_of(verifier, signed(OFFER, sequence=k)) for k in range(61, 91))
    assert found == {None: 10, Reason.BUDGET: 20}


def test_what_is_sent_is_accepted_by_its_recipient_alone():
    sender, limits = EnvelopeVerifier(local_peer("agent-0", 3)), UNLIMITED
    sender.set_peers(known_peers({"agent-1": 1, "agent-2": 1}))
    data = seal(sender.next_envelope("agent-1", b"\x80"), identity_of("agent-0"))
    assert reason_of(receiver(limits=limits), data) is None
    other = EnvelopeVerifier(local_peer("agent-2"), limits)
    other.set_peers(known_peers({"agent-0": 3}))
    assert reason_of(other, data) is Reason.RECIPIENT
    assert parse(seal(sender.next_envelope("agent-2", b"\x80"), identity_of("agent-0"))).sequence == 1


def test_more_peers_than_the_limit_are_refused():
    verifier = receiver()
    with pytest.raises(ValueError, match="more than"):
        verifier.set_peers({f"peer-{k}": KnownPeer(bytes(32)) for k in range(MAX_PEERS + 1)})


def test_former_peers_are_bounded():
    verifier = receiver()
    for start in range(0, 5 * MAX_PEERS, MAX_PEERS):
        verifier.set_peers({f"peer-{start + k}": KnownPeer(bytes(32)) for k in range(MAX_PEERS)})
    assert len(verifier._former) <= MAX_PEERS
    assert len(verifier._peers) == MAX_PEERS


@quick
@given(st.lists(st.integers(1, 3 * REPLAY_WINDOW), max_size=60))
def test_the_replay_window_is_the_set_of_seen_numbers_above_an_age(numbers):
    window, seen = ReplayWindow(), set()
    for number in numbers:
        newest = max(seen, default=0)
        expected = number not in seen and number > newest - REPLAY_WINDOW
        assert window.is_new(number) == expected
        if expected:
            window.add(number)
            seen.add(number)


@quick
@given(st.permutations(range(1, 60)))
def test_any_order_within_the_window_is_accepted_once(order):
    window = ReplayWindow()
    for number in order:
        assert window.is_new(number)
        window.add(number)
        assert not window.is_new(number)


def test_a_mutated_envelope_changes_no_state():
    verifier = receiver()
    data = bytearray(signed(OFFER))
    for place in range(len(data)):
        data[place] ^= 0x21
        assert reason_of(verifier, bytes(data)) is not None
        data[place] ^= 0x21
    assert is_sealed_by(identity_of("agent-0").public_key, bytes(data))
    assert reason_of(verifier, bytes(data)) is None

"""Which envelopes an agent accepts: checks from the cheapest to the most expensive, and what they remember.

State grows for peers alone, never for a name in an envelope. An envelope changes it only after its signature
was found valid, so that no agent can move a counter of another one.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agents.protocol.budget import PeerBudget, PeerLimits
from agents.protocol.envelope import Envelope, Kind, is_sealed_by, parse
from agents.protocol.identity import Identity, fingerprint, key_id_of
from agents.protocol.settings import MAX_PEERS
from agents.protocol.wire import EnvelopeRejected, Reason

REPLAY_WINDOW = 1024  # envelopes of a peer that may overtake each other
MAX_CLOCK_DIFFERENCE = 600.0  # seconds between the time in an envelope and this machine's clock
MAX_LOGGED = 20  # refusals of one peer for one reason that are reported each; then every power of two


@dataclass(frozen=True)
class LocalPeer:
    """The agent of this process, as its envelopes name it.

    Attributes:
        name: Its name.
        identity: Its signing key.
        incarnation: Number of this process among all that the agent has had, from 1.
        session: 16 bytes of the run or group, see `agents.protocol.envelope.session_id`.
    """

    name: str
    identity: Identity
    incarnation: int
    session: bytes


@dataclass(frozen=True)
class KnownPeer:
    """A peer whose envelopes are accepted.

    Attributes:
        public_key: Key that must have signed them.
        incarnation: Newest incarnation that is known; its own envelopes may carry a newer one.
        revoked: Whether its key must not be trusted any more.
    """

    public_key: bytes
    incarnation: int = 0
    revoked: bool = False


class ReplayWindow:
    """Which sequence numbers of one incarnation have arrived (the sliding window of RFC 4303 and 6479)."""

    def __init__(self) -> None:
        """Start with none."""
        self._newest = 0
        self._seen = 0  # bit k: number newest - k

    def is_new(self, number: int) -> bool:
        """Return whether a number has not arrived and is not older than the window."""
        age = self._newest - number
        return number > 0 and (age < 0 or (age < REPLAY_WINDOW and not self._seen >> age & 1))

    def add(self, number: int) -> None:
        """Note that a number has arrived."""
        if number > self._newest:
            shift = number - self._newest
            kept = self._seen << shift if shift < REPLAY_WINDOW else 0
            self._seen = kept & ((1 << REPLAY_WINDOW) - 1) | 1
            self._newest = number
        else:
            self._seen |= 1 << (self._newest - number)


@dataclass
class _PeerState:
    public_key: bytes
    incarnation: int
    revoked: bool
    budget: PeerBudget
    window: ReplayWindow = field(default_factory=ReplayWindow)
    sent: int = 0  # envelopes to it


class EnvelopeVerifier:
    """Checks what arrives for one agent.

    Attributes:
        local: The agent.
        refusals: Number of refused envelopes by peer and reason. An envelope whose signature was not found
            valid counts under the peer that it names, though anyone may have sent it.
    """

    def __init__(
        self, local: LocalPeer, limits: PeerLimits | None = None, clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Start without peers.

        Args:
            local: The agent.
            limits: What one peer may send.
            clock: Returns seconds since the epoch.
            monotonic: Returns seconds on a clock that is never set back.
        """
        self.local = local
        self.refusals: Counter[tuple[str, Reason]] = Counter()
        self._limits, self._clock, self._monotonic = limits or PeerLimits(), clock, monotonic
        self._peers: dict[str, _PeerState] = {}
        self._former: OrderedDict[str, _PeerState] = OrderedDict()  # peers that left, oldest first

    def set_peers(self, peers: Mapping[str, KnownPeer]) -> None:
        """Replace the peers; one that comes back continues with the replay window that it left with.

        Raises:
            ValueError: There are more than MAX_PEERS.
        """
        if len(peers) > MAX_PEERS:
            raise ValueError(f"{len(peers)} peers are more than {MAX_PEERS}")
        for name in self._peers.keys() - peers.keys():
            self._former[name] = self._peers.pop(name)
            while len(self._former) > MAX_PEERS:
                self._former.popitem(last=False)
        for name, peer in peers.items():
            if name != self.local.name:
                self._set_peer(name, peer)
        for name, reason in list(self.refusals):
            if name and name not in self._peers:
                self.refusals["", reason] += self.refusals.pop((name, reason))

    def _set_peer(self, name: str, peer: KnownPeer) -> None:
        state = self._peers.get(name) or self._former.pop(name, None)
        if state is None:
            state = _PeerState(b"", peer.incarnation, False, PeerBudget(self._limits, self._monotonic()))
        # another key, which only the owner of the list can set, may count its incarnations anew
        another = state.public_key != peer.public_key and peer.incarnation != state.incarnation
        if another or peer.incarnation > state.incarnation:
            state.incarnation, state.window = peer.incarnation, ReplayWindow()
        state.public_key, state.revoked = peer.public_key, peer.revoked
        self._peers[name] = state

    def incarnation_of(self, name: str) -> int:
        """Return the newest incarnation of a peer that is known; 0 for an agent that is no peer."""
        return self._peers[name].incarnation if name in self._peers else 0

    def has_left(self, name: str) -> bool:
        """Return whether an agent is no peer now and was one."""
        return name in self._former

    def key_of(self, name: str) -> bytes:
        """Return the public key of a peer; empty for an agent that is no peer."""
        return self._peers[name].public_key if name in self._peers else b""

    def next_envelope(self, recipient: str, body: bytes, kind: Kind = Kind.MESSAGE) -> Envelope:
        """Return the next envelope to a peer, not signed yet; the peer need not be known."""
        state, local = self._peers.get(recipient), self.local
        if state is not None:
            state.sent += 1
        return Envelope(
            kind, local.name, recipient, local.session, local.incarnation,
            self.incarnation_of(recipient), state.sent if state else 1, int(self._clock() * 1e6),
            local.identity.key_id, body,
        )  # fmt: skip

    def admit(self, data: bytes) -> Envelope:
        """Return the envelope in these bytes if all checks pass, and note that it has arrived.

        Raises:
            EnvelopeRejected: A check fails; it is counted, and nothing else changes.
        """
        try:
            envelope = parse(data)
        except EnvelopeRejected as error:
            self.refusals["", error.reason] += 1
            raise
        state = self._check_header(envelope)
        if not is_sealed_by(state.public_key, data):
            raise self.refuse(Reason.SIGNATURE, envelope.sender, f"{envelope.sender} did not sign this")
        if excess := state.budget.take_envelope(len(data), self._monotonic()):
            raise self.refuse(Reason.BUDGET, envelope.sender, f"{envelope.sender} sends {excess}")
        if envelope.incarnation > state.incarnation:
            state.incarnation, state.window = envelope.incarnation, ReplayWindow()
        state.window.add(envelope.sequence)
        return envelope

    def charge(self, name: str, anchors: int, negotiations: int) -> None:
        """Count what a message of a peer asks for.

        Raises:
            EnvelopeRejected: It exceeds the budget of the peer.
        """
        state = self._peers.get(name)
        if state and (excess := state.budget.take_message(anchors, negotiations, self._monotonic())):
            raise self.refuse(Reason.BUDGET, name, f"{name} asks for {excess}")

    def refuse(self, reason: Reason, name: str, sentence: str) -> EnvelopeRejected:
        """Return the refusal of an envelope, and count it under the peer that it names."""
        peer = name if name in self._peers else ""
        self.refusals[peer, reason] += 1
        return EnvelopeRejected(reason, peer, sentence)

    def is_worth_reporting(self, peer: str, reason: Reason) -> bool:
        """Return whether the newest refusal of a peer should be logged: a flood must not fill the disk."""
        count = self.refusals[peer, reason]
        return count <= MAX_LOGGED or count & (count - 1) == 0

    def _check_header(self, envelope: Envelope) -> _PeerState:
        """Return the state of the sender if everything but the signature is as it should be."""
        local, sender = self.local, envelope.sender
        if envelope.kind is Kind.INTRODUCTION:
            raise self.refuse(Reason.FORMAT, sender, f"{sender} sent an introduction where none is expected")
        if envelope.recipient != local.name:
            raise self.refuse(
                Reason.RECIPIENT, sender, f"a message to {envelope.recipient} was delivered to {local.name}"
            )
        if envelope.session != local.session:
            raise self.refuse(Reason.SESSION, sender, f"{sender} sent a message of another run or group")
        state = self._peers.get(sender)
        if state is None:
            raise self.refuse(Reason.SENDER, sender, f"{sender} is not a peer of {local.name}")
        if state.revoked:
            raise self.refuse(Reason.REVOKED, sender, f"the key of {sender} was revoked")
        if envelope.key_id != key_id_of(state.public_key):
            raise self.refuse(
                Reason.KEY, sender, f"{sender} signs with another key than {fingerprint(state.public_key)}, "
                "which this agent trusts: it is an impostor, or has changed its key",
            )  # fmt: skip
        self._check_freshness(envelope, state)
        return state

    def _check_freshness(self, envelope: Envelope, state: _PeerState) -> None:
        """Raise EnvelopeRejected for an envelope of another time, process or place in the sequence."""
        local, sender = self.local, envelope.sender
        if envelope.recipient_incarnation != local.incarnation:
            raise self.refuse(
                Reason.RECIPIENT_INCARNATION, sender, f"{sender} sent this to incarnation "
                f"{envelope.recipient_incarnation} of {local.name}, and this is {local.incarnation}",
            )  # fmt: skip
        difference = envelope.time / 1e6 - self._clock()
        if abs(difference) > MAX_CLOCK_DIFFERENCE:
            raise self.refuse(
                Reason.TIME, sender, f"{sender} signed this {abs(difference):.0f} s in the "
                f"{'future' if difference > 0 else 'past'}: set the clocks of both machines",
            )  # fmt: skip
        if envelope.incarnation < state.incarnation:
            raise self.refuse(
                Reason.INCARNATION, sender,
                f"{sender} sent this as incarnation {envelope.incarnation}; its newest one is "
                f"{state.incarnation}",
            )  # fmt: skip
        if envelope.incarnation == state.incarnation and not state.window.is_new(envelope.sequence):
            raise self.refuse(
                Reason.REPLAY, sender, f"envelope {envelope.sequence} of {sender} has arrived before"
            )
        if not envelope.sequence:
            raise self.refuse(Reason.REPLAY, sender, f"{sender} numbers an envelope 0: the first one is 1")

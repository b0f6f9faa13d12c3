"""Where agents are reached: addresses that their owners signed, passed on by any agent.

An agent signs the addresses that it listens at, and any agent may pass the statement on. So no agent can move
another one to a wrong address, and an agent that knows one of a group learns of all. The number of
a statement is the time at which it was signed: of one agent the newest counts, and an old one ends by itself.

Every statement that is taken is passed on and dialed. So one agent may make only so many of them, and one
that passes them on may send only so many: or else it would make its peers flood each other.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from agents.protocol.budget import Allowance, Bucket
from agents.protocol.envelope import MAX_SMALL_BODY, SESSION_BYTES
from agents.protocol.identity import is_signed
from agents.protocol.messages import Name
from agents.protocol.transports.address import PeerAddress, PeerAddressError
from agents.protocol.trust import PublicKey, Signature, TrustStore
from agents.protocol.verifier import MAX_CLOCK_DIFFERENCE, LocalPeer
from agents.protocol.wire import MessageError

PURPOSE: Final = b"social-jepa addresses\0"
MAX_AGENTS: Final = 256  # that a book holds
MAX_ADDRESSES: Final = 4  # of one agent
MAX_LENGTH: Final = 262  # letters of an address: a host name of 255, a colon, a port
VALID_SECONDS: Final = 24 * 3600.0  # after which a statement has ended
RENEW_SECONDS: Final = 6 * 3600.0  # after which its owner signs a new one
STATEMENTS: Final = Allowance(8, 0.1)  # of one agent, taken at once and each second
SENT_STATEMENTS: Final = Allowance(1024, 64.0)  # that one peer may send at once and each second

AddressText = Annotated[str, Meta(min_length=3, max_length=MAX_LENGTH, pattern=r"^[!-~]*\Z")]


class Refusal(StrEnum):
    """Why a statement is refused, in the order of the checks."""

    BUDGET = "budget"  # one of more than the peer that sends them may send
    SESSION = "session"  # of another group
    OWN = "own"  # about this agent, which knows better
    NAME = "name"  # an agent that does not belong to the group
    TIME = "time"  # it has ended, or lies in the future
    OLD = "old"  # a newer one is known: a replay
    SOON = "soon"  # its agent has made others shortly before
    REVOKED = "revoked"  # of a key that was revoked
    KEY = "key"  # of another key than the one that is trusted or known for the name
    SIGNATURE = "signature"  # the key did not sign it
    ADDRESS = "address"  # it names something that is no address
    FULL = "full"  # the book holds as many agents as it may


class AddressStatement(Struct, frozen=True, forbid_unknown_fields=True):
    """An agent's statement of the addresses at which it is reached.

    Attributes:
        name: Name of the agent.
        key: Its public key.
        session: Its group.
        time: When it was signed, in microseconds since the epoch; the newest counts.
        addresses: HOST:PORT; none: it is reached only over the connections that it opens itself.
        signature: By the key.
    """

    name: Name
    key: PublicKey
    session: Annotated[bytes, Meta(min_length=SESSION_BYTES, max_length=SESSION_BYTES)]
    time: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    addresses: Annotated[list[AddressText], Meta(max_length=MAX_ADDRESSES)]
    signature: Signature

    @classmethod
    def make(cls, local: LocalPeer, when: int, addresses: Sequence[str]) -> "AddressStatement":
        """Return the statement of an agent about itself."""
        text = _signed_text(local.name, local.session, when, addresses)
        key = local.identity
        return cls(local.name, key.public_key, local.session, when, list(addresses), key.sign(text))

    def holds(self) -> bool:
        """Return whether the signature is valid."""
        text = _signed_text(self.name, self.session, self.time, self.addresses)
        return is_signed(self.key, text, self.signature)


class AddressList(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of an envelope of addresses."""

    statements: Annotated[list[AddressStatement], Meta(max_length=64)]


def _signed_text(name: str, session: bytes, when: int, addresses: Sequence[str]) -> bytes:
    texts = b"".join(address.encode() + b"\0" for address in addresses)
    return PURPOSE + name.encode() + b"\0" + session + when.to_bytes(8, "big") + texts


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AddressList)


def pack_statements(statements: Iterable[AddressStatement]) -> list[bytes]:
    """Return statements as bodies of envelopes, as many in each as fit."""
    bodies: list[bytes] = []
    waiting: list[AddressStatement] = []
    for statement in statements:
        body = _encoder.encode(AddressList([*waiting, statement]))
        if waiting and (len(body) > MAX_SMALL_BODY or len(waiting) == 64):
            bodies.append(_encoder.encode(AddressList(waiting)))
            waiting = []
        waiting.append(statement)
    return [*bodies, _encoder.encode(AddressList(waiting))] if waiting else bodies


def unpack_statements(body: bytes) -> list[AddressStatement]:
    """Return the statements in the body of an envelope; their signatures are not checked.

    Raises:
        MessageError: It is no list of them.
    """
    try:
        return _decoder.decode(body).statements
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError("not a list of signed addresses") from error


@dataclass
class _Pace:
    """How many further statements of an agent may be taken, as long as it keeps its key."""

    key: bytes
    left: Bucket


class AddressBook:
    """The newest statement of every agent of a group.

    Attributes:
        refusals: Number of refused statements by reason. One that is known already is not refused.
    """

    def __init__(
        self, local: LocalPeer, trust: TrustStore, belongs: Callable[[str], bool] = lambda name: True,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """Start empty.

        Args:
            local: This agent.
            trust: Whose key is whose; a name that it does not hold may come with any key.
            belongs: Whether an agent of a name belongs to the group.
            clock: Returns seconds since the epoch.
        """
        self.refusals: Counter[Refusal] = Counter()
        self._local, self._trust, self._belongs, self._clock = local, trust, belongs, clock
        self._known: dict[str, AddressStatement] = {}
        self._paces: dict[str, _Pace] = {}  # of all known names, and of those that were known shortly before
        self._budgets: dict[str, Bucket] = {}  # of the peers that send statements
        self._own: AddressStatement | None = None
        self._own_pace = Bucket(STATEMENTS, clock())

    def announce(self, addresses: Sequence[str]) -> bool:
        """Sign a statement of this agent's addresses where they have changed or the last one has aged.

        Returns:
            Whether there is a new one, to be passed on. Where others would not take one yet, there is none.
        """
        wanted, now = list(addresses)[:MAX_ADDRESSES], int(self._clock() * 1e6)
        if self._own and self._own.addresses == wanted and now - self._own.time < RENEW_SECONDS * 1e6:
            return False
        if not self._own_pace.take(1, self._clock()):
            return False
        when = max(now, self._own.time + 1 if self._own else 0)
        self._own = AddressStatement.make(self._local, when, wanted)
        return True

    def own(self) -> list[AddressStatement]:
        """Return this agent's statement, or none."""
        return [self._own] if self._own else []

    def statements(self) -> list[AddressStatement]:
        """Return all statements that have not ended, this agent's first."""
        self._drop_ended()
        return [*self.own(), *self._known.values()]

    def addresses(self) -> dict[str, tuple[PeerAddress, ...]]:
        """Return the addresses of every other agent: name to addresses."""
        return {
            each.name: tuple(map(PeerAddress.parse, each.addresses))
            for each in self.statements()
            if each is not self._own
        }

    def receive(self, statements: Sequence[AddressStatement], sender: str = "") -> list[AddressStatement]:
        """Keep statements that are newer than what is known, and return them, to be passed on.

        Args:
            statements: What has arrived.
            sender: Peer that may send only so many; empty: they count for none.
        """
        if sender and not self._budget_of(sender).take(len(statements), self._clock()):
            self.refusals[Refusal.BUDGET] += len(statements)
            return []
        new = []
        for statement in statements:
            if statement == self._known.get(statement.name) or statement == self._own:
                continue
            reason = self._reason_against(statement)
            if reason is None:
                self._take(statement)
                new.append(statement)
            else:
                self.refusals[reason] += 1
        return new

    def _budget_of(self, sender: str) -> Bucket:
        return self._budgets.setdefault(sender, Bucket(SENT_STATEMENTS, self._clock()))

    def _take(self, statement: AddressStatement) -> None:
        name, now = statement.name, self._clock()
        self._known[name] = statement
        pace = self._paces.get(name)
        if pace is None or pace.key != statement.key:  # who had the name before has not spent this one's
            pace = self._paces[name] = _Pace(statement.key, Bucket(STATEMENTS, now))
        pace.left.take(1, now)

    def _is_too_soon(self, statement: AddressStatement) -> bool:
        pace = self._paces.get(statement.name)
        if pace is None or pace.key != statement.key:
            return False
        pace.left.take(0, self._clock())
        return pace.left.seconds_until(1) > 0

    def _reason_against(self, statement: AddressStatement) -> Refusal | None:
        """Return why a statement is refused, None if it is not; the cheapest checks run first."""
        name, known = statement.name, self._known.get(statement.name)
        if statement.session != self._local.session:
            return Refusal.SESSION
        if name == self._local.name:
            return Refusal.OWN
        if not self._belongs(name):
            return Refusal.NAME
        ahead = statement.time / 1e6 - self._clock()
        if ahead > MAX_CLOCK_DIFFERENCE or self._has_ended(statement):
            return Refusal.TIME
        if known and statement.time <= known.time and statement.key == known.key:
            return Refusal.OLD
        if self._is_too_soon(statement):
            return Refusal.SOON
        return self._reason_against_key(statement, known)

    def _reason_against_key(
        self, statement: AddressStatement, known: AddressStatement | None
    ) -> Refusal | None:
        trusted = self._trust.get(statement.name)
        if trusted is not None and trusted.revoked:
            return Refusal.REVOKED
        expected = trusted.public_key if trusted else known.key if known else statement.key
        if statement.key != expected or (trusted is None and not self._trust.first_use):
            return Refusal.KEY
        if not statement.holds():
            return Refusal.SIGNATURE
        try:
            list(map(PeerAddress.parse, statement.addresses))
        except PeerAddressError:
            return Refusal.ADDRESS
        return None if known or self._has_room(statement.name, trusted is not None) else Refusal.FULL

    def _has_room(self, name: str, trusted: bool) -> bool:
        """Return whether one more agent fits in; one with a trusted key takes the place of one without.

        A name keeps its place for a while when its statement has ended: or else statements that end soon
        would let ever new names in.
        """
        self._drop_ended()
        if name in self._paces or len(self._paces) < MAX_AGENTS:
            return True
        untrusted = [name for name in self._paces if self._trust.get(name) is None] if trusted else []
        if untrusted:
            self._known.pop(untrusted[0], None)
            del self._paces[untrusted[0]]
        return bool(untrusted)

    def _drop_ended(self) -> None:
        for name in [name for name, each in self._known.items() if self._has_ended(each)]:
            del self._known[name]
        now = self._clock()
        for name in self._paces.keys() - self._known.keys():
            left = self._paces[name].left
            left.take(0, now)
            if not left.seconds_until(STATEMENTS.burst):  # as much as a name that was never known
                del self._paces[name]

    def _has_ended(self, statement: AddressStatement) -> bool:
        return self._clock() - statement.time / 1e6 > VALID_SECONDS

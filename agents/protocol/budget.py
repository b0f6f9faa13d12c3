"""Budgets: how much one peer may send, and how many anchors and negotiations it may ask for."""

from dataclasses import dataclass, field

DIMS_OF_ONE_OFFER = 64  # an offer of so many more dimensions counts as one more: a larger map costs more


@dataclass(frozen=True)
class Allowance:
    """A token bucket: what may come at once, and what is added each second.

    Attributes:
        burst: Largest amount at once.
        per_second: Amount that is added each second, up to `burst`.
    """

    burst: float
    per_second: float


@dataclass(frozen=True)
class PeerLimits:
    """What one peer may send; a default negotiation takes 10 envelopes, 50 kB, 768 anchors and one offer.

    Attributes:
        bytes: Of envelopes with a valid signature.
        envelopes: Their number.
        anchors: Ticks that it requests or sends embeddings of.
        negotiations: Offers, each of which makes this agent fit a map; one of many dimensions counts as
            several. Of one peer at most one negotiation is open in each direction: a later offer replaces an
            earlier one.
    """

    bytes: Allowance = field(default_factory=lambda: Allowance(64 * 2**20, 16 * 2**20))
    envelopes: Allowance = field(default_factory=lambda: Allowance(2048, 200))
    anchors: Allowance = field(default_factory=lambda: Allowance(2**19, 2**14))
    negotiations: Allowance = field(default_factory=lambda: Allowance(128, 2))


class Bucket:
    """What is left of one allowance."""

    def __init__(self, allowance: Allowance, now: float) -> None:
        """Start full.

        Args:
            allowance: Size and rate.
            now: Time on a monotonic clock, seconds.
        """
        self._allowance, self._left, self._at = allowance, allowance.burst, now

    def take(self, amount: float, now: float) -> bool:
        """Take an amount if so much is left, and return whether it was."""
        added = max(0.0, now - self._at) * self._allowance.per_second
        self._left = min(self._allowance.burst, self._left + added)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def seconds_until(self, amount: float) -> float:
        """Return seconds after the last `take` until an amount, at most the burst, is left."""
        return max(0.0, min(amount, self._allowance.burst) - self._left) / self._allowance.per_second


class PeerBudget:
    """What one peer has left of its limits."""

    def __init__(self, limits: PeerLimits, now: float) -> None:
        """Start with every bucket full."""
        self._bytes, self._envelopes = Bucket(limits.bytes, now), Bucket(limits.envelopes, now)
        self._anchors, self._negotiations = Bucket(limits.anchors, now), Bucket(limits.negotiations, now)

    def take_envelope(self, size: int, now: float) -> str:
        """Count an envelope; return what it exceeds, as words, or ""."""
        if not self._envelopes.take(1, now):
            return "more envelopes a second than a peer may send"
        return "" if self._bytes.take(size, now) else "more bytes a second than a peer may send"

    def take_message(self, anchors: int, negotiations: int, now: float) -> str:
        """Count the anchors and offers of a message; return what it exceeds, as words, or ""."""
        if not self._negotiations.take(negotiations, now):
            return "more offers a second than a peer may make"
        return "" if self._anchors.take(anchors, now) else "more anchors a second than a peer may exchange"

"""Status of an edge between two agents, as the wire, the ledger, the graph and its readers name it."""

from enum import StrEnum


class Status(StrEnum):
    """Outcome of one attempt to map one agent's space into another's."""

    ACCEPTED = "accepted"  # a direction is shared: it beats all time shifts on held-out anchors
    REFUSED = "refused"  # it does not, or the two agents have nothing to compare
    FAILED = "failed"  # the two agents never finished negotiating
    STALE = "stale"  # one of the two agents has published another model since
    ENDED = "ended"  # one of the two agents left: the tombstone that the ledger keeps

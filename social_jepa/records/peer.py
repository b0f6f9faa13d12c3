"""Records of an agent that runs without Ray: its state and what it knows of its peers."""

from typing import Annotated, Literal

from msgspec import Meta

from social_jepa.records.base import Count, Name, NonNegative, Record


class PeerRecord(Record, frozen=True, kw_only=True):
    """What an agent knows of one peer."""

    name: Annotated[Name, Meta(description="Name of the peer.")]
    fingerprint: Annotated[str, Meta(description="Of its trusted key; empty: none is known yet.")]
    addresses: Annotated[
        tuple[str, ...], Meta(description="Where it says that it is reached; empty: it dials others itself.")
    ]
    connected: Annotated[bool, Meta(description="Whether there is a connection to it.")]
    unreachable_since: Annotated[
        NonNegative | None, Meta(description="Since when there is none, in seconds since 1970; null: it is.")
    ]
    unanswered_since: Annotated[
        NonNegative | None,
        Meta(description="Since when it has not answered, in seconds since 1970; null: nothing is open."),
    ]
    refused: Annotated[Count, Meta(description="Envelopes in its name that were refused.")]
    edge: Annotated[str, Meta(description="Verdict on the edge from it; empty: not settled yet.")] = ""


class PeerStatus(Record, frozen=True, kw_only=True):
    """State of one agent that runs without Ray: the content of status.json in its folder."""

    name: Annotated[Name, Meta(description="Name of the agent.")]
    kind: Annotated[Literal["agent", "embeddings"], Meta(description="Whether it trains, or has a table.")]
    fingerprint: Annotated[str, Meta(description="Of its own key.")]
    incarnation: Annotated[Count, Meta(description="Number of its process, from 1.")]
    pid: Annotated[Count, Meta(description="Id of its process.")]
    host: Annotated[str, Meta(description="Name of its machine.")]
    listens: Annotated[tuple[str, ...], Meta(description="Where it listens.")]
    phase: Annotated[str, Meta(description="What it does: training, negotiating, settled, down and so on.")]
    note: Annotated[str, Meta(description="A remark; may be empty.")]
    checkpoint: Annotated[str, Meta(description="Version of its model or table; empty: none yet.")]
    peers: Annotated[tuple[PeerRecord, ...], Meta(description="Its peers, by name.")]
    refused_addresses: Annotated[
        dict[str, Count], Meta(description="Signed addresses that were refused, by reason.")
    ]
    updated_at: Annotated[NonNegative, Meta(description="Time of this state, in seconds since 1970.")]

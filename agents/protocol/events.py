"""Events that an agent reports to its supervisor."""

from dataclasses import dataclass

from agents.protocol.channel import SentMessage
from agents.protocol.edge import EdgeResult


@dataclass(frozen=True)
class AgentEvents:
    """Events of one agent since the last acknowledged one.

    Attributes:
        incarnation: Incarnation that numbers the events; numbers of another one mean nothing here.
        last_number: Number of the last event here; requesting later ones acknowledges all up to it.
        edges: Settled edges into this agent.
        sent: Messages that it sent.
        refused: Why messages were refused or could not be sent, one sentence each.
        more: Whether later events wait for the next request.
    """

    incarnation: int
    last_number: int
    edges: tuple[EdgeResult, ...] = ()
    sent: tuple[SentMessage, ...] = ()
    refused: tuple[str, ...] = ()
    more: bool = False

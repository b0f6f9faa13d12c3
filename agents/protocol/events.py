"""What an agent has to tell the person who watches."""

from dataclasses import dataclass

from agents.protocol.channel import SentMessage
from agents.protocol.edge import EdgeResult


@dataclass(frozen=True)
class AgentEvents:
    """What an agent has to tell the person who watches, since it was last asked.

    Attributes:
        incarnation: The life that tells it; the numbers of another life mean something else.
        upto: Number of the last piece of news; asking for what came after it says that all before arrived.
        edges: Edges into this agent that were settled.
        posted: Messages that it sent.
        refused: What it refused to read, one sentence each.
    """

    incarnation: int
    last_number: int
    edges: tuple[EdgeResult, ...] = ()
    sent: tuple[SentMessage, ...] = ()
    refused: tuple[str, ...] = ()

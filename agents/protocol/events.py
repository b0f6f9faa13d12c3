"""What an agent has to tell the person who watches."""

from dataclasses import dataclass

from agents.protocol.channel import Posted
from agents.protocol.edge import SettledEdge


@dataclass(frozen=True)
class News:
    """What an agent has to tell the person who watches, since it was last asked.

    Attributes:
        incarnation: The life that tells it; the numbers of another life mean something else.
        upto: Number of the last piece of news; asking for what came after it says that all before arrived.
        edges: Edges into this agent that were settled.
        posted: Messages that it sent.
        refused: What it refused to read, one sentence each.
    """

    incarnation: int
    upto: int
    edges: tuple[SettledEdge, ...] = ()
    posted: tuple[Posted, ...] = ()
    refused: tuple[str, ...] = ()

"""What the registry tells an agent, and what an agent tells who watches; without torch, to be quick."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.spec import Progress
from env.scene import BodyEvent

if TYPE_CHECKING:
    from agents.protocol.events import AgentEvents
    from agents.snapshot import AgentSnapshot


@dataclass(frozen=True)
class PeerList:
    """Who is there, as the registry tells it: how to reach each, which life it is in, and the bodies.

    Attributes:
        number: Goes up with every change; an older roll that arrives late is dropped.
    """

    version: int
    handles: Mapping[str, Any]
    incarnations: Mapping[str, int]
    body_events: tuple[BodyEvent, ...]


@dataclass(frozen=True)
class AgentReport:
    """What an agent tells who watches.

    Attributes:
        memory: What it has published, when the one who asks does not know that version yet.
        checkpoint: Version that is published; empty while none is.
        settled: Whether both edges with every peer that it knows are settled.
        failure: What ended its life; empty while it lives.
        note: Something that whoever watches should know.
    """

    events: "AgentEvents"
    progress: Progress | None
    snapshot: "AgentSnapshot | None"
    checkpoint: str
    settled: bool
    failure: str
    note: str
    node: str
    device: str
    pid: int

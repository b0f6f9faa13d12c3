"""The report that an agent's process sends to its supervisor; importing this loads no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.common.files import UnsavedFile
from agents.spec import Progress

if TYPE_CHECKING:
    from agents.activity import Activity
    from agents.failure import Failure
    from agents.protocol.events import AgentEvents
    from agents.snapshot import AgentSnapshot


@dataclass(frozen=True, kw_only=True)
class AgentReport:
    """State of one agent at the time of a poll.

    Attributes:
        events: Edges, messages and refusals since the last acknowledged event.
        progress: None until the agent is built.
        snapshot: Its published state; None when the supervisor already has that checkpoint.
        checkpoint: Hash of the published checkpoint; empty while none is published.
        settled: Whether both edges with every known peer are settled.
        failure: Error that ended its thread; None while it runs.
        note: Remark for the operator; empty when there is none.
        node: Ray's id of the machine that it runs on.
        pose_version: How many times its camera had moved when `settled` was read.
        unsaved: Its files that could not be written yet.
        host: Name of that machine.
        activity: What its thread is doing; None before it has one.
        unanswered: Since when peers have not answered, in seconds since the epoch, by name; see
            `PeerProtocol.unanswered`.
    """

    events: "AgentEvents"
    progress: Progress | None
    snapshot: "AgentSnapshot | None"
    checkpoint: str
    settled: bool
    failure: "Failure | None"
    note: str
    node: str
    host: str
    device: str
    pid: int
    activity: "Activity | None"
    unanswered: Mapping[str, float]
    pose_version: int = 0
    unsaved: tuple[UnsavedFile, ...] = ()

"""The report that an agent's process sends to its supervisor; importing this loads no torch."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.common.files import UnsavedFile
from agents.spec import Progress

if TYPE_CHECKING:
    from agents.activity import Activity
    from agents.agent import Agent
    from agents.failure import Failure
    from agents.protocol.events import AgentEvents
    from agents.protocol.peer_protocol import PeerProtocol
    from agents.runner import AgentRunner
    from agents.snapshot import AgentSnapshot


# Phases that are news of an agent that has published: between the others it changes while it trains online
LASTING_PHASES = ("paused", "ready", "stopped")
NEWS_TICKS = 1024  # rendered ticks of which the supervisor hears at once: it places bodies at later ones


@dataclass(frozen=True, kw_only=True)
class AgentReport:
    """State of one agent at the time of a request.

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


def news_of(
    runner: "AgentRunner",
    protocol: "PeerProtocol",
    arrived: bool = True,
    unsaved: tuple[UnsavedFile, ...] = (),
) -> tuple[Any, ...]:
    """Return values of an agent that a supervisor should hear of as soon as one of them changes.

    Steps and losses, which change all the time, are not among it. For the arguments see `report_of`.
    """
    agent, snapshot = runner.agent, runner.snapshot
    files = (*agent.files.unsaved.values(), *unsaved) if agent else unsaved
    checkpoint = snapshot.peer_info.checkpoint if snapshot else ""
    return (
        protocol.newest_event, _news_of_agent(agent) if agent else (), checkpoint,
        protocol.settled() and arrived, runner.failure, runner.note, tuple(file.path for file in files),
    )  # fmt: skip


def _news_of_agent(agent: "Agent") -> tuple[Any, ...]:
    phase = agent.phase if agent.published is None or agent.phase in LASTING_PHASES else ""
    return phase, agent.trainer.replay_buffer.ticks.stop // NEWS_TICKS, agent.spec.pose_version


def report_of(
    runner: "AgentRunner", protocol: "PeerProtocol", incarnation: int, since: int, known_checkpoint: str,
    *, node: str, device: str, arrived: bool = True, unsaved: tuple[UnsavedFile, ...] = (),
) -> AgentReport:  # fmt: skip
    """Return the report of a running agent.

    Args:
        runner: Its loop.
        protocol: Its exchange with peers.
        incarnation: Incarnation of the last report that the caller has.
        since: Number of the last event in that report; events up to it are dropped.
        known_checkpoint: Published checkpoint that the caller has; its snapshot is left out.
        node: Ray's id of this machine; "" without Ray.
        device: torch device.
        arrived: Whether the newest published model is in the run folder.
        unsaved: Files that could not be sent to the supervisor.
    """
    agent, snapshot = runner.agent, runner.snapshot
    # read before `settled`: a move in between leaves the older number, so that edges count as not settled
    pose_version = agent.spec.pose_version if agent else 0
    checkpoint = snapshot.peer_info.checkpoint if snapshot else ""
    return AgentReport(
        events=protocol.events(incarnation, since),
        progress=agent.progress() if agent else None,
        snapshot=snapshot if checkpoint != known_checkpoint else None,
        checkpoint=checkpoint,
        settled=protocol.settled() and arrived,
        failure=runner.failure,
        note=runner.note,
        node=node,
        host=socket.gethostname(),
        device=device,
        pid=os.getpid(),
        activity=runner.activity,
        unanswered=protocol.unanswered(),
        pose_version=pose_version,
        unsaved=(*agent.files.unsaved.values(), *unsaved) if agent else unsaved,
    )

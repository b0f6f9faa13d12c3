"""Moves of a camera and pauses that an agent has not followed: they are sent again.

A call to an actor may be lost with its connection, and no caller waits for the answer of these: an agent
follows them between two steps of its training.
"""

import time
from typing import Any

from agents.report import AgentReport
from env.camera import Pose
from social_jepa.records import MemberRecord

REPEAT_SECONDS = 10.0  # for which an agent may report that it has not followed yet


class Orders:
    """When each agent began to report something else than what the simulation wants of it."""

    def __init__(self) -> None:
        """Know of none."""
        self._since: dict[str, float] = {}  # by time.monotonic, by name

    def check(
        self, member: MemberRecord, paused: bool, report: AgentReport, handle: Any, now: float | None = None
    ) -> None:
        """Send an agent its pose or its pause again if it has not followed for `REPEAT_SECONDS`.

        Args:
            member: Where the agent's camera ought to stand.
            paused: Whether its training ought to wait.
            report: What it reports.
            handle: Of the actor that it lives in.
            now: By time.monotonic, which is the default.
        """
        now, name, progress = time.monotonic() if now is None else now, member.name, report.progress
        # without progress it is still being built, from a specification that says both
        moved = progress is None or report.pose_version >= member.pose_version
        waits = paused if progress is None else progress.phase == "paused"
        if report.failure is not None or (moved and waits is paused):
            self._since.pop(name, None)
            return
        if now - self._since.setdefault(name, now) < REPEAT_SECONDS:
            return
        self._since[name] = now
        if not moved:
            handle.move.remote(name, Pose.parse(member.pose), member.pose_version)
        if waits is not paused:
            handle.pause.remote(name, paused)

    def forget(self, name: str) -> None:
        """Drop what is known of an agent that left."""
        self._since.pop(name, None)

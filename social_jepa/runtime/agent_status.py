"""The status of one agent, from what its supervisor knows of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.activity import Activity
from agents.common.files import UnsavedFile
from agents.common.versions import differences, process_versions
from agents.report import AgentReport
from social_jepa.records import AgentStatus, FailureRecord, MemberRecord, ProgressRecord, UnsavedRecord
from social_jepa.runtime.unrecorded import note_unrecorded
from social_jepa.storage.ledger_errors import LedgerUnavailableError

ANSWER_SECONDS = 20.0  # that a peer may take to answer; fitting many maps keeps it busy


@dataclass
class Observations:
    """What a supervisor has seen of all agents, by name.

    Attributes:
        reports: Newest report of each agent.
        failures: Why agents ended for good.
        versions: What the process of each agent runs, see `agents.common.versions`.
        published_at: When each agent's newest model was first seen, in seconds since the epoch.
        outages: Since when an agent does not answer its supervisor, in seconds since the epoch.
        unrecorded: What of an agent could not be recorded yet.
    """

    reports: dict[str, AgentReport] = field(default_factory=dict)
    failures: dict[str, FailureRecord] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    published_at: dict[str, float] = field(default_factory=dict)
    outages: dict[str, float] = field(default_factory=dict)
    unrecorded: dict[str, UnsavedFile] = field(default_factory=dict)

    def receive(self, name: str, report: AgentReport) -> None:
        """Keep the newest report of an agent."""
        earlier = self.reports.get(name)
        if earlier is None or earlier.checkpoint != report.checkpoint:
            self.published_at[name] = time.time()
        self.reports[name] = report
        self.outages.pop(name, None)

    def note_unrecorded(self, name: str, folder: Path, error: LedgerUnavailableError | OSError) -> None:
        """Note what of an agent cannot be recorded now; it is tried again, and the agent goes on.

        Args:
            name: The agent.
            folder: Its folder.
            error: Why.
        """
        earlier = self.unrecorded.get(name)
        self.unrecorded[name] = note_unrecorded(earlier, f"the report of {name}", folder, error)

    def phase_and_step(self, name: str) -> tuple[str, int]:
        """Return the phase of an agent at its newest report, and the steps that it had done."""
        report = self.reports.get(name)
        progress = report.progress if report else None
        return (progress.phase, progress.step) if progress else ("starting", 0)

    def forget(self, name: str) -> None:
        """Drop what is known of an agent that left."""
        for known in (self.reports, self.failures, self.versions, self.published_at, self.outages):
            known.pop(name, None)
        self.unrecorded.pop(name, None)

    def status(self, member: MemberRecord, incarnation: int, waiting_for: str, remark: str) -> AgentStatus:
        """Return the status of an agent, its progress without loss curves: of many they take long to send.

        Args:
            member: The agent.
            incarnation: Number of its newest process; 0: none.
            waiting_for: What its process waits for; empty: nothing.
            remark: Remark about its process; may be empty.
        """
        name, report = member.name, self.reports.get(member.name)
        progress = report.progress if report else None
        current = report if report is not None and report.events.incarnation == incarnation else None
        phase = progress.phase if progress else "starting"
        if waiting_for:
            phase = "waiting"
        elif incarnation > 1 and not current:
            phase = "returning"
        shown = ProgressRecord.without_curves(progress) if progress else None
        activity = current.activity if current and current.activity else Activity()
        return AgentStatus(
            name=name, kind=member.kind, pose=member.pose, teacher=member.teacher, incarnation=incarnation,
            phase=phase, waiting_for=waiting_for, failure=self.failures.get(name),
            note=self._note(name, remark), progress=shown,
            settled=bool(
                current and current.settled and current.pose_version == member.pose_version
                and name not in self.unrecorded
            ),
            checkpoint=report.checkpoint if report else "", node=report.node if report else "",
            host=report.host if report else "", device=report.device if report else "",
            pid=report.pid if report else 0, idle_seconds=activity.idle_seconds,
            idle_place=f"{activity.file} line {activity.line}" if activity.file else "",
            cpu_wait=activity.cpu_wait, versions=self.versions.get(name, {}),
            unanswered=self._unanswered(current.unanswered) if current else {}, unsaved=self.unsaved(name),
            silent_since=self.outages.get(name),
        )  # fmt: skip

    def unsaved(self, name: str) -> tuple[UnsavedRecord, ...]:
        """Return the files of an agent that it, or its supervisor, could not write yet."""
        report, unrecorded = self.reports.get(name), self.unrecorded.get(name)
        found = (*(report.unsaved if report else ()), *([unrecorded] if unrecorded else ()))
        return tuple(UnsavedRecord(path=each.path, reason=each.reason, since=each.since) for each in found)

    def _unanswered(self, tried: Mapping[str, float]) -> dict[str, float]:
        """Return since when peers have not answered an agent though they have published a model."""
        since = {
            peer: max(when, self.published_at.get(peer, 0.0))
            for peer, when in tried.items()
            if peer in self.reports and self.reports[peer].checkpoint
        }
        return {peer: when for peer, when in since.items() if time.time() - when > ANSWER_SECONDS}

    def _note(self, name: str, remark: str) -> str:
        report = self.reports.get(name)
        unequal = differences(process_versions(), self.versions.get(name, process_versions()))
        versions = f"runs other versions than its supervisor: {unequal}" if unequal else ""
        return "; ".join(filter(None, (report.note if report else "", versions, remark)))

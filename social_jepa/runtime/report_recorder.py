"""Record reports of many agents in the ledger on a thread, those that wait together in one transaction."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from agents.report import AgentReport
from social_jepa.records import MemberRecord

if TYPE_CHECKING:
    from social_jepa.runtime.ledger_writer import LedgerWriter  # imports torch

BATCH = 32  # reports in one transaction: a change of members waits for it


class ReportRecorder:
    """Records reports without holding the event loop, which answers commands meanwhile.

    A transaction waits for the disk, about 20 ms, whether it holds one report or many. Each agent has at most
    one report here: it is asked for the next one when this one is recorded.
    """

    def __init__(self, writer: "LedgerWriter", members: Callable[[], Mapping[str, MemberRecord]]) -> None:
        """Record nothing yet.

        Args:
            writer: Writes to the ledger.
            members: Returns the present members; called on a thread.
        """
        self._writer, self._members = writer, members
        self._waiting: dict[str, tuple[AgentReport, asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def record(self, name: str, report: AgentReport) -> None:
        """Return once a report is recorded; nothing is recorded of an agent that has left.

        Raises:
            LedgerUnavailableError, OSError: See `LedgerWriter.write`.
        """
        if not self._writer.is_worth_writing(report):
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[name] = report, done
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write_all())
        await done

    async def _write_all(self) -> None:
        while self._waiting:
            batch = {name: self._waiting.pop(name) for name in list(self._waiting)[:BATCH]}
            reports = {name: report for name, (report, _) in batch.items()}
            try:
                failed = await asyncio.to_thread(self._writer.write_all, reports, self._members)
            except Exception as error:  # none of them may wait for ever
                failed = dict.fromkeys(batch, error)
            for name, (_, done) in batch.items():
                if done.cancelled():
                    continue
                if name in failed:
                    done.set_exception(failed[name])
                else:
                    done.set_result(None)

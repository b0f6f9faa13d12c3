"""What the supervisors of simulations and of runs with turns have in common: folder, files, and an end."""

import agents.common.ray_environment  # noqa: F401

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from agents.common.niceness import raise_niceness
from agents.file_transfer import AgentFiles, FileChunk
from agents.logs import append_lines
from social_jepa.records import ProgressRecord
from social_jepa.runtime.agent_status import Observations
from social_jepa.runtime.cluster import SUPERVISOR
from social_jepa.runtime.control import ControlServer
from social_jepa.runtime.logs import log_path, log_to_file
from social_jepa.runtime.membership import Membership
from social_jepa.storage.agent_files import AgentFileStore
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)

BEGIN_RETRY_SECONDS = 1.0  # seconds between two tries to begin after a restart


class SupervisorBase:
    """Base of the actors that supervise one run folder; a subclass says what they watch."""

    def __init__(self, folder: str, namespace: str, online: bool) -> None:
        """Take the folder's lock and read the ledger; a subclass then calls `_serve`.

        Args:
            folder: Path of the run folder.
            namespace: Ray namespace of the run.
            online: Whether agents keep training after their schedule.

        Raises:
            RunFolderInUseError: Another process runs in the folder.
        """
        from social_jepa.runtime.ledger_writer import (
            LedgerWriter,  # it imports torch, which callers do without
        )

        self._folder = RunFolder.at(folder)
        self._lock = self._folder.acquire_lock()  # until this process ends
        log_to_file(self._folder.path, "supervisor")
        self._namespace = namespace
        self._config = self._folder.config()
        raise_niceness(self._config.agents.nice)
        self._ledger = Ledger(self._folder.ledger_file, create=True)
        self._membership = Membership(self._config, self._folder, self._ledger, online)
        self._ledger_writer = LedgerWriter(self._config, self._folder, self._ledger)
        self._files = AgentFileStore(self._folder)
        self._stopping: asyncio.Task[list[str]] | None = None

    def _serve(self, control: str, methods: Sequence[str]) -> None:
        """Prepare the control socket, and call `begin`: after a death Ray runs only the constructor again."""
        self._control = ControlServer(Path(control), {name: getattr(self, name) for name in methods})
        logger.info("supervisor of %s started, namespace %s", self._folder.path, self._namespace)
        threading.Thread(target=self._call_begin, daemon=True).start()

    def _call_begin(self) -> None:
        while True:
            try:
                supervisor: Any = ray.get_actor(SUPERVISOR, self._namespace)
                ray.get(supervisor.begin.remote())
                return
            except Exception:  # this thread has no caller; without it nothing is polled
                logger.exception("the agents cannot be started or found yet")
                time.sleep(BEGIN_RETRY_SECONDS)

    @property
    def _seen(self) -> Observations:
        """What has been seen of the agents."""
        raise NotImplementedError

    async def progress(self, name: str) -> ProgressRecord | None:
        """Return the newest progress of an agent with its loss curves, which `status` leaves out.

        None: no agent of that name has reported any.
        """
        report = self._seen.reports.get(name)
        return ProgressRecord.of(report.progress) if report and report.progress else None

    async def _save_all(self) -> list[str]:
        """Have all agents save their checkpoints; return what could not be saved, one sentence each."""
        raise NotImplementedError

    def _release_all(self) -> None:
        """End all processes of agents."""
        raise NotImplementedError

    async def locate_files(self, name: str) -> AgentFiles:
        """Return the path and the id of the run folder, and the files of an agent in it."""
        return await asyncio.to_thread(self._files.locate, name)

    async def read_file(self, name: str, file: str, offset: int) -> bytes:
        """Return a part of a file of an agent, see `AgentFileStore.read`."""
        return await asyncio.to_thread(self._files.read, name, file, offset)

    async def store_file(self, name: str, incarnation: int, chunk: FileChunk) -> bool:
        """Write a part of a file of an agent; return false to an incarnation that is not its newest."""
        if incarnation != self._membership.incarnations.get(name):
            logger.warning("refused %s of incarnation %d of %s", chunk.file, incarnation, name)
            return False
        await asyncio.to_thread(self._files.write, name, chunk)
        return True

    async def append_log(self, name: str, lines: Sequence[str]) -> None:
        """Append lines to the log file of an agent that does not see the run folder."""
        await asyncio.to_thread(append_lines, log_path(self._folder.path, name), lines)

    async def stop(self, reason: str) -> list[str]:
        """Have all agents save their checkpoints, end their processes and return.

        Args:
            reason: Why, for the ledger.

        Returns:
            What could not be saved, one sentence each.
        """
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(reason))
        return await asyncio.shield(self._stopping)

    async def _stop(self, reason: str) -> list[str]:
        unsaved = await self._save_all()
        self._release_all()
        if not self._ledger_writer.event("stopped", reason=reason):
            unsaved.append(f"{self._ledger.path} does not say that the simulation has stopped")
        for sentence in unsaved:
            logger.warning("%s", sentence)
        logger.info("stopped: %s", reason)
        return unsaved

    async def end(self) -> None:
        """End all processes of agents, and this one without restart once the reply has been sent."""
        if self._stopping is not None:  # agents are saving
            with contextlib.suppress(Exception):  # `stop` raises it
                await asyncio.shield(self._stopping)
        self._release_all()
        await self._control.close()
        self._lock.release()
        supervisor = ray.get_actor(SUPERVISOR, self._namespace)
        asyncio.get_running_loop().call_later(0.1, lambda: ray.kill(supervisor))

    async def _end_without_owner(self) -> None:
        try:
            await self.stop("the command that ran it has ended")
        finally:
            await self.end()

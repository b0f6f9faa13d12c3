"""The supervisor of a batch run whose agents take turns on workers.

Commands talk to it as to the supervisor of agents with one process each. After a death Ray starts
it again; it then starts new workers, and agents continue from their checkpoints.
"""

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

from agents.file_transfer import AgentFiles, FileChunk
from agents.logs import append_lines
from social_jepa.records import AgentStatus
from social_jepa.runtime.cluster import SUPERVISOR, ResourceShare, names_in
from social_jepa.runtime.control import ControlServer
from social_jepa.runtime.logs import log_path, log_to_file
from social_jepa.runtime.membership import Membership
from social_jepa.runtime.turns import Turns
from social_jepa.storage.agent_files import AgentFileStore
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)

BEGIN_RETRY_SECONDS = 1.0  # seconds between two tries to begin after a restart


@ray.remote
class TurnSupervisor:
    """Supervisor of one batch run whose agents take turns."""

    def __init__(
        self, folder: str, namespace: str, online: bool, resources: ResourceShare, control: str
    ) -> None:
        """Take the folder's lock, read the ledger, and call `begin`: after a death Ray runs only this again.

        Args:
            folder: Path of the run folder.
            namespace: Ray namespace of the run.
            online: False: agents that take turns do not train on.
            resources: Resources of each worker.
            control: Path of the control socket.

        Raises:
            RunFolderInUseError: Another process runs in the folder.
        """
        from social_jepa.runtime.ledger_writer import (
            LedgerWriter,
        )  # it imports torch, which callers do without

        assert not online
        self._folder = RunFolder.at(folder)
        self._lock = self._folder.acquire_lock()  # until this process ends
        log_to_file(self._folder.path, "supervisor")
        self._namespace = namespace
        self._ledger = Ledger(self._folder.ledger_file, create=True)
        config = self._folder.config()
        self._membership = Membership(config, self._folder, self._ledger, online)
        self._writer = LedgerWriter(config, self._folder, self._ledger)
        self._files = AgentFileStore(self._folder)
        self._turns = Turns(self._membership, self._ledger, self._writer, resources)
        self._stopping: asyncio.Task[list[str]] | None = None
        methods = ("end", "status", "stop")
        self._control = ControlServer(Path(control), {name: getattr(self, name) for name in methods})
        logger.info("supervisor of %s started, namespace %s", self._folder.path, namespace)
        threading.Thread(target=self._call_begin, daemon=True).start()

    def _call_begin(self) -> None:
        while True:
            try:
                supervisor: Any = ray.get_actor(SUPERVISOR, self._namespace)
                ray.get(supervisor.begin.remote())
                return
            except Exception:  # this thread has no caller; without it nothing runs
                logger.exception("the turns cannot begin yet")
                time.sleep(BEGIN_RETRY_SECONDS)

    async def begin(self) -> None:
        """End workers of a supervisor that died, and begin; without effect the second time."""
        if self._turns.begun:
            return
        await self._control.start(self._end_without_owner)
        for name in set(names_in(self._namespace)) - {SUPERVISOR}:
            logger.warning("%s ended: its supervisor has restarted", name)
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(name, self._namespace))
        self._turns.begin()

    async def locate_files(self, name: str) -> AgentFiles:
        """Return the path and the id of the run folder, and the files of an agent in it."""
        return await asyncio.to_thread(self._files.locate, name)

    async def read_file(self, name: str, file: str, offset: int) -> bytes:
        """Return a part of a file of an agent, see `AgentFileStore.read`."""
        return await asyncio.to_thread(self._files.read, name, file, offset)

    async def store_file(self, name: str, incarnation: int, chunk: FileChunk) -> bool:
        """Write a part of a file of an agent; return false to a turn that is not its newest."""
        if incarnation != self._membership.incarnations.get(name):
            logger.warning("refused %s of turn %d of %s", chunk.file, incarnation, name)
            return False
        await asyncio.to_thread(self._files.write, name, chunk)
        return True

    async def append_log(self, name: str, lines: Sequence[str]) -> None:
        """Append lines to the log file of an agent whose worker does not see the run folder."""
        await asyncio.to_thread(append_lines, log_path(self._folder.path, name), lines)

    async def status(self) -> list[AgentStatus]:
        """Return the status of all agents."""
        return [self._turns.status(name) for name in self._membership.members]

    async def stop(self, reason: str) -> list[str]:
        """Have the agents that have their turn save their checkpoints, end all workers and return.

        Args:
            reason: Why, for the ledger.

        Returns:
            What could not be saved, one sentence each.
        """
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(reason))
        return await asyncio.shield(self._stopping)

    async def _stop(self, reason: str) -> list[str]:
        unsaved = await self._turns.stop()
        if not self._writer.event("stopped", reason=reason):
            unsaved.append(f"{self._ledger.path} does not say that the run has stopped")
        for sentence in unsaved:
            logger.warning("%s", sentence)
        logger.info("stopped: %s", reason)
        return unsaved

    async def end(self) -> None:
        """End all workers, and this process without restart once the reply has been sent."""
        if self._stopping is not None:  # agents are saving
            with contextlib.suppress(Exception):  # `stop` raises it
                await asyncio.shield(self._stopping)
        self._turns.release()
        await self._control.close()
        self._lock.release()
        supervisor = ray.get_actor(SUPERVISOR, self._namespace)
        asyncio.get_running_loop().call_later(0.1, lambda: ray.kill(supervisor))

    async def _end_without_owner(self) -> None:
        try:
            await self.stop("the command that ran it has ended")
        finally:
            await self.end()

"""A supervisor for tests: it answers at the control socket of a run folder, and can be made to hang."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence

from social_jepa.records import AgentStatus
from social_jepa.runtime.control import ControlServer, socket_path
from social_jepa.storage import simulation_file
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.simulation_file import SimulationFile
from social_jepa.system.process_identity import MachineIdentity
from tests.support.coroutines import run_coroutine


class Supervisor:
    """Reports agents, as a supervisor does.

    Attributes:
        statuses: Their statuses.
        hangs: While it is set, requests get no reply.
    """

    def __init__(self, folder: RunFolder, statuses: Sequence[AgentStatus]) -> None:
        self.statuses, self.hangs = statuses, threading.Event()
        self._path, self._over, self.ready = socket_path(folder.path), threading.Event(), threading.Event()

    async def status(self) -> list[AgentStatus]:
        await self._reply()
        return list(self.statuses)

    async def progress(self, name: str) -> object:
        await self._reply()
        return next(status.progress for status in self.statuses if status.name == name)

    async def _reply(self) -> None:
        while self.hangs.is_set():
            await asyncio.sleep(0.01)

    async def serve(self) -> None:
        server = ControlServer(self._path, {"status": self.status, "progress": self.progress})
        await server.start()
        self.ready.set()
        await asyncio.to_thread(self._over.wait)
        await server.close()

    def end(self) -> None:
        self._over.set()


@contextlib.contextmanager
def supervised(folder: RunFolder, statuses: Sequence[AgentStatus]) -> Iterator[Supervisor]:
    """Have a supervisor in this process report agents of a run folder, whose simulation is up meanwhile."""
    place = folder.path.stat()
    content = SimulationFile(
        folder=str(folder.path), control=str(socket_path(folder.path)), address="127.0.0.1:1",
        machine=MachineIdentity.current(), device=place.st_dev, inode=place.st_ino,
    )  # fmt: skip
    supervisor = Supervisor(folder, statuses)
    thread = threading.Thread(target=lambda: run_coroutine(supervisor.serve()))
    thread.start()
    try:
        assert supervisor.ready.wait(20)
        simulation_file.write(folder.path, content)
        yield supervisor
    finally:
        supervisor.end()
        thread.join()
        folder.simulation_file.unlink(missing_ok=True)

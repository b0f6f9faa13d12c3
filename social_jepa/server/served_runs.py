"""The runs of one server: where their folders are, and the service of each."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from agents.common.config_error import ConfigError
from social_jepa.records import RunRecord
from social_jepa.runtime.run_list import changed, is_run, list_runs
from social_jepa.server.client import SimulationClient
from social_jepa.server.metrics import Metrics, RequestMetrics
from social_jepa.server.problems import CONFLICT, NOT_FOUND, UNREACHABLE, ProblemError
from social_jepa.server.render_thread import RenderThread, RunRenderer
from social_jepa.server.service import Service
from social_jepa.server.snapshots import SnapshotCache
from social_jepa.server.sse import EventBroadcaster
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.run_folder_errors import (
    NotARunFolderError,
    RunFolderError,
    RunFolderNameError,
)

logger = logging.getLogger(__name__)

SCAN_SECONDS = 1.0  # for which the folders of runs are not looked through again


class ServedRuns:
    """The runs that a server shows, by name; each has a service of its own from its first request on.

    Attributes:
        default: Name of the run whose routes have no run in their path.
        requests: Counts the requests of all runs.
        closing: Returns whether the server is about to end; see `EventBroadcaster`.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        """Find the runs.

        Args:
            places: Run folders, and folders of runs, in which a new run is found while the server runs.

        Raises:
            NotARunFolderError: There is no run in any of them.
            RunFolderNameError: The name of the first run cannot be part of an address.
        """
        self._places = [place.resolve() for place in places]
        self._lock = threading.Lock()
        self._folders: dict[str, RunFolder] = {}
        self._scanned_at = -SCAN_SECONDS
        self._services: dict[str, Service] = {}
        self._broadcasts: dict[str, asyncio.Task[None]] = {}
        self._thread = RenderThread()
        self.requests = RequestMetrics()
        self.closing: Callable[[], bool] = lambda: False
        self.default = self._choose_default()

    def _choose_default(self) -> str:
        """Return the first run that was given; of a folder the newest that is up, or the newest."""
        self._scanned_at = -SCAN_SECONDS  # what was found before may be gone
        names = {folder.path: name for name, folder in self.folders().items()}
        for place in self._places:
            if is_run(place) and place in names:
                return names[place]
            with contextlib.suppress(OSError):
                runs = [run for run in list_runs(place) if run.state != "damaged" and Path(run.path) in names]
                if runs:
                    return names[Path(next(filter(_is_up, runs), runs[0]).path)]
        for path in self._runs():
            if not _has_address(path):
                raise RunFolderNameError(path)
        raise NotARunFolderError(self._places[0])

    def folders(self) -> dict[str, RunFolder]:
        """Return the run folders by name; a name that two folders have gets a number the second time."""
        with self._lock:
            if time.monotonic() - self._scanned_at >= SCAN_SECONDS:
                self._folders = {}
                for path in dict.fromkeys(filter(_has_address, self._runs())):
                    self._folders[_free_name(path.name, self._folders)] = RunFolder.at(path)
                self._scanned_at = time.monotonic()
            return self._folders

    def _runs(self) -> Iterator[Path]:
        """Yield the paths of runs: in the order given, those of a folder newest first."""
        for place in self._places:
            if is_run(place):
                yield place
                continue
            with contextlib.suppress(OSError):  # it may be gone by now
                found = filter(is_run, place.iterdir())
                yield from sorted(found, key=lambda path: changed(path / "config.toml"), reverse=True)

    def check(self, name: str) -> RunFolder:
        """Return the folder of a run, or raise ProblemError if there is none of that name, or no more.

        A run that was opened keeps its name.
        """
        service = self._services.get(name)
        folder = service.snapshots.folder if service is not None else self.folders().get(name)
        if folder is None or not is_run(folder.path):
            raise ProblemError(NOT_FOUND, f"no run is named {name}: /api/runs lists all runs")
        return folder

    def open(self, name: str) -> Service:
        """Return the service of a run, which blocks the first time.

        Raises:
            ProblemError: There is no such run.
            ConfigError: Its settings cannot be read.
        """
        folder = self.check(name)
        with self._lock:
            if name not in self._services:
                self._services[name] = self._make(folder)
            return self._services[name]

    def _make(self, folder: RunFolder) -> Service:
        snapshots = SnapshotCache(folder)
        broadcaster = EventBroadcaster(snapshots)
        broadcaster.closing = lambda: self.closing()
        metrics = Metrics(lambda: service.state(), self.requests)
        service = Service(
            snapshots, SimulationClient(folder), RunRenderer(self._thread), broadcaster, metrics
        )
        return service

    async def service(self, name: str | None = None) -> Service:
        """Return the service of a run, with its events being read.

        Args:
            name: The run; None: the default one, which is chosen again once its folder is gone.

        Raises:
            ProblemError: There is no such run, or its settings cannot be read.
        """
        wanted = self.default if name is None else name
        found = self._services.get(wanted)
        if found is not None and (found.snapshots.is_replaced() or not is_run(found.snapshots.folder.path)):
            await self._drop(wanted, found)
            found = None
        if found is None:
            wanted = await self._present_default() if name is None else name
            found = await self._open(wanted)
        if wanted not in self._broadcasts:
            self._broadcasts[wanted] = asyncio.create_task(self._broadcast(wanted, found))
        return found

    async def _open(self, name: str) -> Service:
        try:
            return await run_in_threadpool(self.open, name)
        except ConfigError as error:  # of the run, not of the request
            raise ProblemError(CONFLICT, str(error)) from error

    async def _broadcast(self, name: str, service: Service) -> None:
        """Read the events of a run until it is deleted; then forget its service."""
        await service.broadcaster.run()
        await self._drop(name, service)

    async def _present_default(self) -> str:
        """Return the name of the default run; of those that are left if its folder is gone."""
        try:
            await run_in_threadpool(self.check, self.default)
        except ProblemError:
            try:
                self.default = await run_in_threadpool(self._choose_default)
            except RunFolderError as error:
                raise ProblemError(UNREACHABLE, f"the run was deleted, and none is left: {error}") from error
            logger.info("serving %s at the address without the name of a run", self.default)
        return self.default

    async def _drop(self, name: str, service: Service) -> None:
        """Forget the service of a run, and end what it has begun."""
        with self._lock:
            if self._services.get(name) is not service:
                return  # that has been done already
            del self._services[name]
            task = self._broadcasts.pop(name, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        service.broadcaster.closing = lambda: True  # clients that connect again are told of the other run
        await asyncio.to_thread(service.snapshots.close)

    async def close(self) -> None:
        """End all services."""
        for task in self._broadcasts.values():
            task.cancel()
        await asyncio.gather(*self._broadcasts.values(), return_exceptions=True)
        await asyncio.to_thread(self._thread.close)
        for service in self._services.values():
            await asyncio.to_thread(service.snapshots.close)


def _is_up(run: RunRecord) -> bool:
    return run.state in ("up", "training")


def _has_address(path: Path) -> bool:
    """Return whether a path can be part of a URL and of JSON: a file system takes any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _free_name(name: str, taken: dict[str, RunFolder]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


async def get_runs(request: Request) -> ServedRuns:
    """Return the runs of the app that received a request; async, so that no thread is used."""
    runs: ServedRuns = request.app.state.runs
    return runs


async def get_service(request: Request) -> Service:
    """Return the service of the run that the path of a request names, or of the default one."""
    runs: ServedRuns = request.app.state.runs
    return await runs.service(request.path_params.get("run"))


async def check_run(request: Request) -> None:
    """Refuse a path that names no run."""
    runs: ServedRuns = request.app.state.runs
    await run_in_threadpool(runs.check, request.path_params["run"])


RunsDep = Annotated[ServedRuns, Depends(get_runs)]
ServiceDep = Annotated[Service, Depends(get_service)]

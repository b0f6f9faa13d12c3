"""The runs of one server: where their folders are, and the service of each."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from social_jepa.records import RunRecord
from social_jepa.runtime.run_list import changed, is_run, list_runs
from social_jepa.server.client import SimulationClient
from social_jepa.server.metrics import Metrics, RequestMetrics
from social_jepa.server.problems import NOT_FOUND, ProblemError
from social_jepa.server.render_thread import RenderThread, RunRenderer
from social_jepa.server.service import Service
from social_jepa.server.snapshots import SnapshotCache
from social_jepa.server.sse import EventBroadcaster
from social_jepa.storage.run_folder import NotARunFolderError, RunFolder

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
            NotARunFolderError: The first of them is neither.
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
        place = self._places[0]
        with contextlib.suppress(OSError):
            candidates = [run for run in list_runs(place) if run.state != "damaged"]
            if is_run(place):
                return place.name
            if candidates:
                return next(filter(_is_up, candidates), candidates[0]).name
        raise NotARunFolderError(place)

    def folders(self) -> dict[str, RunFolder]:
        """Return the run folders by name; a name that two folders have gets a number the second time."""
        with self._lock:
            if time.monotonic() - self._scanned_at >= SCAN_SECONDS:
                self._folders = {}
                for path in dict.fromkeys(self._scan()):
                    self._folders[_free_name(path.name, self._folders)] = RunFolder.at(path)
                self._scanned_at = time.monotonic()
            return self._folders

    def _scan(self) -> Iterator[Path]:
        """Yield the paths of runs: in the order given, those of a folder newest first."""
        for place in self._places:
            if is_run(place):
                yield place
                continue
            with contextlib.suppress(OSError):  # it may be gone by now
                found = [entry for entry in place.iterdir() if is_run(entry) and _has_address(entry)]
                yield from sorted(found, key=lambda path: changed(path / "config.toml"), reverse=True)

    def check(self, name: str) -> None:
        """Raise ProblemError if no run has a name; a run that was opened keeps its name."""
        if name not in self._services and name not in self.folders():
            raise ProblemError(NOT_FOUND, f"no run is named {name}: /api/runs lists all runs")

    def open(self, name: str) -> Service:
        """Return the service of a run, which blocks the first time.

        Raises:
            ProblemError: There is no such run.
            ConfigError: Its settings cannot be read.
        """
        self.check(name)
        folders = self.folders()
        with self._lock:
            if name not in self._services:
                self._services[name] = self._make(folders[name])
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

    async def service(self, name: str) -> Service:
        """Return the service of a run, with its events being read; for errors see `open`."""
        found = self._services.get(name)
        if found is None:
            found = await run_in_threadpool(self.open, name)
        if name not in self._broadcasts:
            self._broadcasts[name] = asyncio.create_task(found.broadcaster.run())
        return found

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
    """Return whether the name of a folder can be part of a URL: a file system takes any bytes."""
    try:
        path.name.encode()
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
    return await runs.service(request.path_params.get("run", runs.default))


async def check_run(request: Request) -> None:
    """Refuse a path that names no run."""
    runs: ServedRuns = request.app.state.runs
    await run_in_threadpool(runs.check, request.path_params["run"])


RunsDep = Annotated[ServedRuns, Depends(get_runs)]
ServiceDep = Annotated[Service, Depends(get_service)]

"""Servers for tests: a client in this process, or a server at a port."""

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from social_jepa.server.app import make_app, make_server, open_port
from social_jepa.server.auth import Access
from social_jepa.server.served_runs import ServedRuns
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

LOCALHOST = "http://127.0.0.1"


def copy_run(folder: RunFolder, to: Path) -> RunFolder:
    """Return a copy of a run that a test may write to."""
    return RunFolder.at(shutil.copytree(folder.path, to / "run"))


def add_event(folder: RunFolder, event_type: str, **details: object) -> None:
    """Record an event in the ledger of a run."""
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        ledger.event(event_type, **details)


def app_of(folder: RunFolder | Path, access: Access | None) -> FastAPI:
    return make_app(ServedRuns([folder if isinstance(folder, Path) else folder.path]), access)


@contextlib.contextmanager
def client_of(folder: RunFolder | Path, access: Access | None = None, **options) -> Iterator[TestClient]:
    """Yield a client of the app of a run folder, or of a folder of runs."""
    app = app_of(folder, access)
    settings = {"base_url": LOCALHOST, "raise_server_exceptions": False, **options}
    with TestClient(app, **settings) as client:
        yield client


@contextlib.contextmanager
def running(folder: RunFolder | Path, access: Access | None = None) -> Iterator[str]:
    """Serve a run folder, or a folder of runs, at a free port, and yield its URL."""
    with running_server(make_server(app_of(folder, access))) as address:
        yield address


@contextlib.contextmanager
def running_server(server: uvicorn.Server, bound: socket.socket | None = None) -> Iterator[str]:
    """Run a server on a thread, at a free port or a bound socket, and yield its URL."""
    bound = bound or open_port("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"{LOCALHOST}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        bound.close()
        assert not thread.is_alive()

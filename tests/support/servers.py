"""The server as tests meet it: a client in this process, or a real one on a port of its own."""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from fastapi.testclient import TestClient

from social_jepa.server.app import make_app, make_server, open_port
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

HERE = "http://127.0.0.1"


def copy_run(folder: RunFolder, to: Path) -> RunFolder:
    """A run that a test may write to."""
    return RunFolder.at(shutil.copytree(folder.path, to / "run"))


def note(folder: RunFolder, what: str, **details: object) -> None:
    """Let something happen in a run."""
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        ledger.event(what, **details)


@contextlib.contextmanager
def client_of(folder: RunFolder, token: str | None = None, **options) -> Iterator[TestClient]:
    app = make_app(folder, token)
    settings = {"base_url": HERE, "raise_server_exceptions": False, **options}
    with TestClient(app, **settings) as client:
        yield client


@contextlib.contextmanager
def running(folder: RunFolder, token: str | None = None) -> Iterator[str]:
    """Serve on a free port of this machine, and give the address."""
    listening = open_port("127.0.0.1", 0)
    server = make_server(make_app(folder, token))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        until = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < until
            time.sleep(0.01)
        yield f"{HERE}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive()

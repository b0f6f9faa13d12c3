import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agents.common.config_error import ConfigError
from social_jepa.runtime import control
from social_jepa.runtime.control import ControlClient, ControlServer, is_listening, socket_path
from social_jepa.runtime.control_errors import from_remote, to_remote
from social_jepa.runtime.errors import (
    AgentLostError,
    NotUpError,
    StartFailedError,
    SupervisorFailedError,
    SupervisorLostError,
    SupervisorUnavailableError,
)
from social_jepa.runtime.member_errors import UnknownMemberError
from social_jepa.runtime.resource_errors import NoRoomError, NotEnoughDiskError, NotEnoughMemoryError
from social_jepa.storage.run_folder_errors import RunFolderInUseError
from tests.support.coroutines import run_coroutine
from tests.support.statuses import FAILURE


class Target:
    """What a supervisor offers, for these tests."""

    def __init__(self):
        self.owner_left = threading.Event()

    async def add(self, numbers, text):
        return {text: sum(numbers)}

    async def refuse(self):
        raise UnknownMemberError("bob", ("agent-0",))

    async def fail(self):
        raise RuntimeError("the disk is full")

    async def hang(self):
        await asyncio.sleep(60)

    async def leave(self):
        self.owner_left.set()


async def serve(server, target, ready, over):
    """Serve until a thread says that it is over."""
    await server.start(target.leave)
    ready.set()
    await asyncio.to_thread(over.wait)
    await server.close()


@pytest.fixture
def served(tmp_path):
    """Serve a target on the event loop of another thread; yield it and a client."""
    target, path = Target(), socket_path(tmp_path)
    server = ControlServer(path, {name: getattr(target, name) for name in ("add", "refuse", "fail", "hang")})
    ready, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: run_coroutine(serve(server, target, ready, over)))
    thread.start()
    assert ready.wait(20)
    yield target, ControlClient(path)
    over.set()
    thread.join()
    assert not path.exists()


def test_a_call_returns_what_the_method_returned(served):
    _, client = served

    assert client.call("add", [1, 2], "sum", kind=dict[str, int]) == {"sum": 3}
    assert is_listening(client.path)
    assert client.path.parent.stat().st_mode & 0o777 == 0o700


def test_an_error_arrives_with_its_class_and_fields(served):
    _, client = served

    with pytest.raises(UnknownMemberError) as refusal:
        client.call("refuse")
    assert (refusal.value.name, refusal.value.present) == ("bob", ("agent-0",))
    with pytest.raises(SupervisorFailedError, match="failed: the disk is full"):
        client.call("fail")
    with pytest.raises(LookupError, match="no method _private"):
        client.call("_private")


ERRORS = [
    ConfigError("at least 1", "training.steps", 0),
    ConfigError("is not TOML", suggestion="write it again"),
    NotUpError(Path("runs/a"), True),
    SupervisorLostError(Path("runs/a"), "its process was killed for memory"),
    RunFolderInUseError(Path("runs/a"), "process 7 on host"),
    AgentLostError(FAILURE),
    StartFailedError(FAILURE),
    NotEnoughMemoryError(4, 10, 20),
    NotEnoughDiskError(4, 10, 20, "/var/tmp"),
    NoRoomError("agent-1", "1 GPU"),
    ValueError("sees nothing"),
    LookupError("nobody"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_survives_the_socket_with_its_fields(error):
    found = from_remote(to_remote(error))

    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))


def test_a_subclass_that_is_not_known_arrives_as_its_base():
    assert type(from_remote(to_remote(UnicodeError("x")))) is ValueError
    assert type(from_remote(to_remote(KeyError("x")))) is LookupError
    assert type(from_remote(to_remote(ZeroDivisionError()))) is SupervisorFailedError


def test_a_supervisor_that_does_not_reply_is_given_up_in_time(served):
    _, client = served
    began = time.monotonic()

    with pytest.raises(SupervisorUnavailableError, match=r"no reply within 0.2 s") as error:
        client.call("hang", timeout=0.2)
    assert error.value.timed_out
    assert time.monotonic() - began < 30


FROZEN = """
import socket, sys, os, signal
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen(1)
print("listening", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_frozen_supervisor_with_a_full_backlog_is_given_up_in_time(tmp_path):
    path = tmp_path / "s"
    with subprocess.Popen([sys.executable, "-c", FROZEN, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"listening\n"
        waiting = []
        for _ in range(3):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(str(path))
        with pytest.raises(SupervisorUnavailableError):
            ControlClient(path).call("status", timeout=0.2)
        process.send_signal(signal.SIGKILL)
        for each in waiting:
            each.close()


@pytest.mark.parametrize("exists", [True, False])
def test_a_supervisor_that_has_ended_is_said_to_be_unavailable(tmp_path, exists):
    path = tmp_path / "s"
    if exists:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))

    assert not is_listening(path)
    with pytest.raises(SupervisorUnavailableError) as error:
        ControlClient(path).call("status")
    assert not error.value.timed_out


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\xff" * 64, (4).to_bytes(8, "big") + b"\xc1\xc1\xc1\xc1"])
def test_malformed_requests_end_their_connection_and_nothing_else(served, data):
    _, client = served
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(client.path))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(10)
        assert connection.recv(1) == b""

    assert client.call("add", [2], "n", kind=dict[str, int]) == {"n": 2}


@pytest.mark.parametrize("turns", range(6))
def test_a_connection_that_arrives_while_the_server_closes_is_closed(tmp_path, turns):
    """`turns` of the event loop after it arrived: one that is left open would never end for its caller."""

    async def connect_and_close():
        server = ControlServer(socket_path(tmp_path), {})
        await server.start()
        connection.connect(str(server.path))
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.close()

    with socket.socket(socket.AF_UNIX) as connection:
        run_coroutine(connect_and_close())
        connection.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert not is_listening(socket_path(tmp_path))


OWNER = """
import sys, time
from pathlib import Path
from social_jepa.runtime import control
from social_jepa.runtime.control import ControlClient
client = ControlClient(Path(sys.argv[1]))
client.own()
print("owns", flush=True)
time.sleep(60)
"""


def test_the_end_of_the_owner_is_noticed_however_it_ends(served):
    target, client = served
    with subprocess.Popen([sys.executable, "-c", OWNER, str(client.path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout.readline() == b"owns\n"
        client.call("add", [], "the end of another connection is no such event")
        assert not target.owner_left.is_set()
        owner.send_signal(signal.SIGKILL)

    assert target.owner_left.wait(20)


def test_a_folder_that_other_users_may_enter_is_refused(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)  # mkdir obeys the umask

    with pytest.raises(PermissionError, match="must be a folder that only this user may enter"):
        run_coroutine(ControlServer(tmp_path / "open" / "s", {}).start())


def test_folders_have_sockets_of_their_own_with_short_paths(tmp_path):
    deep = tmp_path / ("x" * 200) / "run"

    assert socket_path(deep) != socket_path(tmp_path) == socket_path(tmp_path)
    assert len(os.fsencode(socket_path(deep))) < 104


def test_a_run_without_an_owner_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "OWNER_TIMEOUT", 0.05)
    target = Target()

    async def wait_for_the_end():
        server = ControlServer(socket_path(tmp_path), {})
        await server.start(target.leave)
        await asyncio.to_thread(target.owner_left.wait, 20)
        await server.close()

    run_coroutine(wait_for_the_end())
    assert target.owner_left.is_set()


def test_an_owner_that_looks_whether_its_supervisor_restarted_stays_its_owner(served):
    target, client = served
    client.own()
    owned = client._owned

    began = time.monotonic()
    for _ in range(3):
        client.own_again()
        assert client.call("add", [1], "n", kind=dict[str, int]) == {"n": 1}

    assert time.monotonic() - began < 5
    assert client._owned is owned
    assert not target.owner_left.is_set()
    client.disown()
    assert target.owner_left.wait(20)


def test_a_client_owns_the_run_of_a_supervisor_that_restarted(tmp_path):
    path, target = socket_path(tmp_path), Target()

    async def restart():
        client = ControlClient(path)
        for _ in range(2):
            server = ControlServer(path, {})
            await server.start(target.leave)
            await asyncio.to_thread(client.own_again)
            if not client._owns:
                await asyncio.to_thread(client.own)
            assert server._owners == 1
            await server.close()
        client.disown()
        await asyncio.to_thread(client.own_again)  # without effect

    run_coroutine(restart())
    assert not target.owner_left.is_set()

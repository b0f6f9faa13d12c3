"""The control socket of a supervisor: commands, servers and notebooks call it without joining its Ray.

A process that joins a Ray ends with that Ray. So callers connect to a Unix socket instead, which the
supervisor listens at on its own machine, in a folder that only its user may enter. Requests and replies are
msgpack with a length in front; an error travels as the name of its class and its fields (`control_errors`).
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from agents.common.files import make_private_folder
from social_jepa.runtime.control_errors import RemoteError, from_remote, to_remote
from social_jepa.runtime.errors import SupervisorUnavailableError
from social_jepa.system.process_identity import MachineIdentity

logger = logging.getLogger(__name__)

T = TypeVar("T")

BACKLOG = 128  # connections that wait to be accepted while the supervisor is busy
LENGTH_BYTES = 8
MAX_REQUEST_BYTES = 1 << 20
ACCEPT_RETRY_SECONDS = 1.0  # seconds until the next try when this process has no file descriptor left
OWNER_TIMEOUT = 120.0  # seconds in which the command that started a run should call ``own``
OWN_TIMEOUT = 10.0  # seconds for the reply to ``own``
RESTART_TIMEOUT = 60.0  # seconds that a supervisor may take to restart, on a crowded machine
CONNECT_TIMEOUT = 2.0  # seconds; a Unix socket accepts at once unless `BACKLOG` connections wait


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """A call of a method of the supervisor."""

    method: str
    arguments: list[Any]


class Reply(Struct, frozen=True, forbid_unknown_fields=True):
    """What the method returned, or the error that it raised."""

    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: RemoteError | None = None


def socket_path(folder: Path) -> Path:
    """Return the path of the control socket of a run folder's supervisor.

    It is not in the run folder, because the path of a Unix socket may have 107 bytes at most. Containers that
    share /tmp have different ones.
    """
    place = f"{folder} {MachineIdentity.current().pid_namespace}"
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    return Path("/tmp") / f"social-jepa-{os.getuid()}" / name


class ControlServer:
    """Serves the methods of an object at a Unix socket, on the running event loop."""

    def __init__(self, path: Path, methods: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
        """Prepare; `start` listens.

        Args:
            path: Path of the socket.
            methods: Coroutine functions that may be called, by name.
        """
        self.path = path
        self._methods = methods
        self._listener: socket.socket | None = None
        self._owner_left: Callable[[], Awaitable[Any]] | None = None
        self._connections: set[asyncio.Task[Any]] = set()
        self._closed = self._started = False
        self._owners = 0

    async def start(self, owner_left: Callable[[], Awaitable[Any]] | None = None) -> None:
        """Listen, in place of an earlier process of this supervisor.

        Args:
            owner_left: Called when the connection of a process that called ``own`` ends, or when no process
                has called it within `OWNER_TIMEOUT`.
        """
        if self._started:
            return
        self._started = True
        self._owner_left = owner_left
        if owner_left is not None:
            asyncio.get_running_loop().call_later(OWNER_TIMEOUT, self._check_owner)
        make_private_folder(self.path.parent)
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(str(self.path))
        self._listener.listen(BACKLOG)
        self._accept_next()

    def _accept_next(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Accept a connection and serve it.

        An `asyncio.Server` accepts in several turns of the event loop, and leaves open what it has accepted
        when it is closed between two of them.
        """
        loop = asyncio.get_running_loop()
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # the caller has left
        except OSError as error:
            logger.warning("no connection can be accepted at the control socket: %s", error)
            loop.remove_reader(self._listener)
            loop.call_later(ACCEPT_RETRY_SECONDS, self._accept_next)
            return
        connection.setblocking(False)
        task = loop.create_task(self._serve(connection))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: connection.close())  # also if it is cancelled before it begins

    def _check_owner(self) -> None:
        if not self._owners and not self._closed and self._owner_left is not None:
            logger.warning("no process owns this run")
            self._ending = asyncio.ensure_future(self._owner_left())

    async def close(self) -> None:
        """Stop listening, remove the socket and end all connections but that of the caller."""
        self._closed = True
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            self.path.unlink(missing_ok=True)
        others = [each for each in self._connections if each is not asyncio.current_task()]
        for connection in others:
            connection.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, connection: socket.socket) -> None:
        loop, received, is_owner = asyncio.get_running_loop(), bytearray(), False
        task = asyncio.current_task()
        assert task is not None
        try:
            while True:
                request = msgspec.msgpack.decode(await _read(connection, received), type=Request)
                if request.method == "own":
                    is_owner, reply = True, Reply()
                    self._owners += 1
                else:
                    reply = await self._call(request)
                await loop.sock_sendall(connection, _with_length(msgspec.msgpack.encode(reply)))
        except ConnectionError:
            pass  # the caller has left
        except (msgspec.DecodeError, ValueError) as error:
            logger.warning("refused a request at the control socket: %s", error)
        finally:
            connection.close()
            self._connections.discard(task)  # `_owner_left` may close this server
            if is_owner and self._owner_left is not None and not self._closed:
                logger.warning("the process that owns this run has ended")
                await self._owner_left()

    async def _call(self, request: Request) -> Reply:
        method = self._methods.get(request.method)
        if method is None:
            return Reply(error=to_remote(LookupError(f"the supervisor has no method {request.method}")))
        try:
            value = await method(*request.arguments)
            return Reply(value=msgspec.Raw(msgspec.msgpack.encode(value)))
        except Exception as error:  # the caller gets it, as it would from a call in its own process
            if not isinstance(error, ValueError | LookupError):
                logger.exception("%s failed", request.method)
            return Reply(error=to_remote(error))


async def _read(connection: socket.socket, received: bytearray) -> bytes:
    """Return the next request, and leave in `received` what has arrived after it."""
    await _fill(connection, received, LENGTH_BYTES)
    length = int.from_bytes(received[:LENGTH_BYTES], "big")
    if length > MAX_REQUEST_BYTES:
        raise ValueError(f"a request of {length} bytes; at most {MAX_REQUEST_BYTES} are read")
    await _fill(connection, received, LENGTH_BYTES + length)
    request = bytes(received[LENGTH_BYTES : LENGTH_BYTES + length])
    del received[: LENGTH_BYTES + length]
    return request


async def _fill(connection: socket.socket, received: bytearray, size: int) -> None:
    while len(received) < size:
        part = await asyncio.get_running_loop().sock_recv(connection, 1 << 16)
        if not part:
            raise ConnectionResetError("the caller has left")
        received += part


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class ControlClient:
    """Calls a supervisor at its control socket; every call has a connection of its own.

    Attributes:
        path: Path of the socket.
    """

    def __init__(self, path: Path) -> None:
        """Keep the path."""
        self.path = path
        self._owned: socket.socket | None = None
        self._owns = False

    def call(self, method: str, *arguments: Any, kind: type[T] | Any = None, timeout: float = 60.0) -> Any:
        """Call a method of the supervisor and return its value.

        Args:
            method: Name of the method.
            arguments: Its arguments: plain values.
            kind: Type of the value.
            timeout: Seconds that the call may take.

        Raises:
            ValueError, LookupError: The method refused the request.
            SupervisorFailedError: The method raised another error.
            SupervisorUnavailableError: The supervisor does not answer.
        """
        with _reaching(timeout), self._connect() as connection:
            return self._exchange(connection, Request(method, list(arguments)), kind, timeout)

    def own(self) -> None:
        """Have the supervisor end the run when this process ends, or calls `disown`.

        Raises:
            SupervisorUnavailableError: The supervisor does not answer.
        """
        self._owns = True
        with _reaching(OWN_TIMEOUT):
            self._owned = self._connect()
            self._exchange(self._owned, Request("own", []), None, OWN_TIMEOUT)

    def own_again(self) -> None:
        """Own the run again if its supervisor has restarted since `own`."""
        if not self._owns:
            return
        with contextlib.suppress(SupervisorUnavailableError):  # it is restarting: the next call tries again
            if self._owned is None or _has_ended(self._owned):
                self._close_owned()
                self.own()

    def disown(self) -> None:
        """Close the connection of `own`."""
        self._owns = False
        self._close_owned()

    def _close_owned(self) -> None:
        if self._owned is not None:
            self._owned.close()
            self._owned = None

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_TIMEOUT)
            connection.connect(str(self.path))
        except BaseException:
            connection.close()
            raise
        return connection

    def _exchange(self, connection: socket.socket, request: Request, kind: Any, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        connection.settimeout(timeout)
        connection.sendall(_with_length(msgspec.msgpack.encode(request)))
        length = int.from_bytes(_receive(connection, LENGTH_BYTES, deadline), "big")
        reply = msgspec.msgpack.decode(_receive(connection, length, deadline), type=Reply)
        if reply.error is not None:
            raise from_remote(reply.error)
        return msgspec.msgpack.decode(reply.value, type=kind) if kind is not None else None


@contextlib.contextmanager
def _reaching(timeout: float) -> Iterator[None]:
    """Raise SupervisorUnavailableError where a connection fails."""
    try:
        yield
    except TimeoutError as error:
        raise SupervisorUnavailableError(f"no reply within {timeout:g} s", True) from error
    except OSError as error:
        raise SupervisorUnavailableError(error.strerror or str(error)) from error


def _has_ended(connection: socket.socket) -> bool:
    """Return whether the other end of a connection, which sends nothing, has closed it."""
    connection.setblocking(False)  # with a time limit, recv would wait for it
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < size:
        connection.settimeout(max(1e-3, deadline - time.monotonic()))
        part = connection.recv(min(size - len(received), 1 << 16))
        if not part:
            raise ConnectionResetError("the supervisor ended during the call")
        received += part
    return bytes(received)


def is_listening(path: Path) -> bool:
    """Return whether a process listens at a control socket."""
    with contextlib.suppress(OSError):
        ControlClient(path)._connect().close()
        return True
    return False

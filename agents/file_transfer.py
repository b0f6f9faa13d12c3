"""Files of an agent on their way between its process and its supervisor, which need not share a disk.

The run folder is on the supervisor's machine. An agent whose machine sees that folder writes into it. Any
other agent writes into a scratch folder of its own machine and sends each file to its supervisor; a new
incarnation fetches them from there. No Ray here, and no peer: weights travel between an agent and its
supervisor only.
"""

import contextlib
import contextvars
import hashlib
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from agents.common.files import (
    CHECKPOINT,
    PUBLISHED,
    RetriedFiles,
    UnsavedFile,
    digest,
    make_private_folder,
    write_atomically,
)
from agents.logs import LogBuffer, log_to_buffer, log_to_file, stop_logging

logger = logging.getLogger(__name__)

FILES = (CHECKPOINT, PUBLISHED)
UNSENT = ".unsent"  # file of a scratch folder with files that did not reach the supervisor
FOLDER_ID = ".folder-id"  # file of a run folder, with a text that its supervisor chose when it started
CHUNK_BYTES = 16 * 2**20  # bytes sent at a time, so that a large model fills no object store
RETRY_SECONDS = 2.0  # seconds between two tries to send a file
LOG_SECONDS = 1.0  # seconds between two sendings of log lines
MIN_AGE_SECONDS = 60.0  # seconds after which a scratch folder that no process has locked is removed


@dataclass(eq=False, repr=False)
class FileNotSentError(Exception):
    """A file that did not reach the supervisor in time.

    Attributes:
        path: Path that it should have there.
        reason: Why not.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.path} is not the newest one: {self.reason}"


SupervisorCall = Callable[..., Any]  # (method, *arguments) -> its result


@dataclass(frozen=True)
class StoredFile:
    """Size in bytes and `agents.common.files.digest` of a file that the supervisor has."""

    size: int
    digest: str


@dataclass(frozen=True)
class FileChunk:
    """Part of a file.

    Attributes:
        file: Name of the file, one of `FILES`.
        offset: Position of the part in the file, bytes.
        data: The part.
        whole: The file that it is a part of.
    """

    file: str
    offset: int
    data: bytes
    whole: StoredFile


@dataclass(frozen=True)
class AgentFiles:
    """What the supervisor has of an agent.

    Attributes:
        run_folder: Path of the run folder on the supervisor's machine.
        folder_id: Content of its file `FOLDER_ID`.
        stored: Files of the agent in it, by name.
    """

    run_folder: str
    folder_id: str
    stored: Mapping[str, StoredFile]

    def visible(self) -> bool:
        """Return whether this machine sees the same run folder and may write into it.

        The path alone proves nothing: another machine may have a folder of its own there, even a copy.
        """
        path = Path(self.run_folder)
        try:
            return (path / FOLDER_ID).read_text(encoding="utf-8") == self.folder_id and os.access(
                path, os.W_OK
            )
        except (OSError, ValueError):
            return False


def describe(file: BufferedReader | BufferedRandom) -> StoredFile:
    """Return size and digest of an open file, and rewind it."""
    file.seek(0)
    text = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    size = file.tell()
    file.seek(0)
    return StoredFile(size, text)


def chunks(path: Path) -> Iterator[FileChunk]:
    """Yield the parts of a file, in order; one that is replaced meanwhile is still read as it was.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        whole = describe(file)
        while data := file.read(CHUNK_BYTES):
            yield FileChunk(path.name, file.tell() - len(data), data, whole)


def fetch(files: AgentFiles, folder: Path, read: Callable[[str, int], bytes]) -> None:
    """Write what the supervisor has of an agent into a folder.

    Args:
        files: What it has.
        folder: Folder to write into.
        read: Returns the bytes of a file from an offset on, at most `CHUNK_BYTES`.

    Raises:
        OSError: A file arrived with other content than the supervisor described, or cannot be written.
    """
    for name, stored in files.stored.items():
        data = bytearray()
        while len(data) < stored.size and (part := read(name, len(data))):
            data += part
        if digest(bytes(data)) != stored.digest:
            raise OSError(f"{name} has changed while it was fetched from the supervisor's machine")
        write_atomically(folder / name, bytes(data))
        logger.info("fetched %s, %d bytes, from the supervisor's machine", name, stored.size)


class FileSender:
    """Sends files and log lines to the supervisor on a thread of its own, so that training never waits.

    Of a file that changes faster than it is sent, the newest version is sent.

    Attributes:
        files: Files of the run folder that could not be written.
    """

    def __init__(
        self, folder: Path, store: Callable[[FileChunk], bool], append_log: Callable[[list[str]], object],
        log: LogBuffer,
    ) -> None:  # fmt: skip
        """Start the thread.

        Args:
            folder: Folder of the agent in the run folder, on the supervisor's machine.
            store: Hands a part to the supervisor; false when a newer incarnation of the agent has started.
            append_log: Hands log lines to the supervisor.
            log: Where the log lines are taken from.
        """
        self.files = RetriedFiles()
        self._folder = folder
        self._store, self._append_log, self._log = store, append_log, log
        self._versions: dict[Path, int] = {}  # files to send, in this order; a new version counts up
        self._changed = threading.Condition()
        self._closing = self._given_up = False
        context = contextvars.copy_context()  # its log records are those of the agent
        self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)
        self._thread.start()

    def send(self, path: Path) -> None:
        """Send a file soon; returns at once."""
        with self._changed:
            if self._given_up:
                return
            self._versions[path] = self._versions.get(path, 0) + 1
            self._changed.notify_all()

    def is_waiting(self, name: str) -> bool:
        """Return whether a file of this name has not arrived yet."""
        with self._changed:
            return any(path.name == name for path in self._versions)

    def close(self, timeout: float) -> None:
        """Send what is left, and end the thread; give up after a timeout in seconds.

        Raises:
            FileNotSentError: It gave up.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            left = [self._folder / path.name for path in self._versions]
        if left:
            unsaved = self.files.unsaved.get(left[0])
            raise FileNotSentError(str(left[0]), unsaved.reason if unsaved else "there was not enough time")

    def discard(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._discard()
            self._changed.notify_all()

    def _discard(self) -> None:
        self._versions.clear()
        self._closing = self._given_up = True

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._versions and not self._closing:
                    self._changed.wait(LOG_SECONDS)
                path, version = next(iter(self._versions.items()), (None, 0))
                closing = self._closing
            sent = self._send_log()
            if path is not None:
                sent = self._send_file(path, version) and sent
            elif closing:
                return
            if not sent:
                time.sleep(RETRY_SECONDS)

    def _send_file(self, path: Path, version: int) -> bool:
        try:
            current = all(self._store(chunk) for chunk in chunks(path))
        except Exception as error:  # the supervisor may be restarting, or its disk be full: it is tried again
            self.files.fail(self._folder / path.name, _reason(error))
            return False
        self.files.succeed(self._folder / path.name)
        with self._changed:
            if not current:  # this process was given up, and another one writes the agent's files
                self._discard()
            elif self._given_up:
                return True
            elif self._versions[path] == version:
                del self._versions[path]
            else:
                self._versions[path] = self._versions.pop(path)  # the other file is next
        return True

    def _send_log(self) -> bool:
        lines = self._log.lines()
        try:
            if lines:
                self._append_log(lines)
        except Exception:  # as above; the lines stay in the buffer
            return False
        self._log.drop(lines)
        return True


class ScratchFolder:
    """A folder of one process below the system's folder for temporary files, which TMPDIR names.

    Attributes:
        path: The folder.
    """

    def __init__(self, name: str) -> None:
        """Make it, and remove those that killed processes left: the supervisor has their files.

        Args:
            name: Beginning of its name.
        """
        root = Path(tempfile.gettempdir()) / f"social-jepa-{os.getuid()}"
        try:
            make_private_folder(root)
        except PermissionError:  # another user has guessed the name
            root = Path(tempfile.mkdtemp(prefix="social-jepa-"))
        for left in root.iterdir():
            with contextlib.suppress(Timeout, OSError):
                if time.time() - left.stat().st_mtime > MIN_AGE_SECONDS and not (left / UNSENT).exists():
                    with FileLock(left / ".lock", timeout=0):
                        shutil.rmtree(left, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
        self._lock = FileLock(self.path / ".lock", thread_local=False)
        self._lock.acquire()

    def keep(self) -> None:
        """Have it stay: it holds what the supervisor has not."""
        (self.path / UNSENT).touch()
        self._lock.release()

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()


class FileAccess:
    """Where an agent's process keeps its files: in the run folder if it is visible, else in a scratch folder.

    Attributes:
        folder: Folder of the agent's files on this machine.
        remote: Whether that is a scratch folder, whose files are sent to the supervisor.
    """

    def __init__(self, call: SupervisorCall, name: str, incarnation: int, folder: str, log_file: str) -> None:
        """Find the run folder; where it is not visible, fetch the agent's files and start sending.

        Args:
            call: Calls a method of the supervisor and returns its result.
            name: Name of the agent.
            incarnation: Its incarnation.
            folder: Its folder in the run folder.
            log_file: Its log file, see `agents.logs.log_to_file`; empty for none.

        Raises:
            OSError: The files cannot be fetched.
        """
        files: AgentFiles = call("locate_files", name)
        self.remote = not files.visible()
        self.folder = folder
        self._scratch: ScratchFolder | None = None
        self._sender: FileSender | None = None
        self._log: logging.Handler | None = None
        if self.remote:
            self._log = log = log_to_buffer(name)
            self._scratch = ScratchFolder(name)
            self.folder = str(self._scratch.path)
            logger.info("%s does not see %s: its files are kept in %s and sent", name, folder, self.folder)
            fetch(files, self._scratch.path, lambda file, offset: call("read_file", name, file, offset))
            self._sender = FileSender(
                Path(folder),
                lambda chunk: bool(call("store_file", name, incarnation, chunk)),
                lambda lines: call("append_log", name, lines),
                log,
            )
        elif log_file:
            self._log = log_to_file(log_file, name)

    def saved(self, path: Path) -> None:
        """Tell that a file of the agent has been written."""
        if self._sender is not None:
            self._sender.send(path)

    def published_arrived(self) -> bool:
        """Return whether the newest published model is in the run folder."""
        return self._sender is None or not self._sender.is_waiting(PUBLISHED)

    def arrived(self) -> bool:
        """Return whether the newest versions of all files are in the run folder."""
        return self._sender is None or not any(map(self._sender.is_waiting, FILES))

    def unsaved(self) -> tuple[UnsavedFile, ...]:
        """Return the files of the run folder that could not be written."""
        return tuple(self._sender.files.unsaved.values()) if self._sender is not None else ()

    def close(self, timeout: float) -> None:
        """Send what is left, and remove the scratch folder; give up after a timeout in seconds.

        Raises:
            FileNotSentError: It gave up; the scratch folder stays.
        """
        if self._sender is not None:
            try:
                self._sender.close(timeout)
            except FileNotSentError:
                if self._scratch is not None:
                    self._scratch.keep()
                raise
            finally:
                self._stop_logging()
        if self._scratch is not None:
            self._scratch.close()

    def discard(self) -> None:
        """Send nothing more, and remove the scratch folder: the agent is no longer wanted."""
        if self._sender is not None:
            self._sender.discard()
        self._stop_logging()
        if self._scratch is not None:
            self._scratch.close()

    def _stop_logging(self) -> None:
        if self._log is not None:
            stop_logging(self._log)


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else ""
    return text or " ".join(str(error).split()) or type(error).__name__

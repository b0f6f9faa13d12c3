"""The thread that sends an agent's files and log lines to the supervisor, and again until they arrive."""

import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agents.common.files import RetriedFiles
from agents.file_transfer import FileChunk, chunks
from agents.logs import LogBuffer

RETRY_SECONDS = 2.0  # seconds between two tries to send a file
LOG_SECONDS = 1.0  # seconds between two sendings of log lines


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


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else ""
    return text or " ".join(str(error).split()) or type(error).__name__

"""Log file of one agent: its records are told from those of other agents of its process."""

import contextlib
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

PACKAGES = ("agents", "alignment", "env")  # parents of every logger of a process that runs one agent
MAX_LOG_BYTES = 1_000_000
BACKUPS = 3
BUFFERED_LINES = 10_000  # newest log lines that wait to be sent

# Agent that the running thread or task works for, by name; empty: for none, or for all of this process. A
# thread starts without it.
agent_at_work: ContextVar[str] = ContextVar("agent_at_work", default="")


def work_for(agent: str) -> None:
    """Note which agent the running thread or task works for."""
    agent_at_work.set(agent)


class RecordsOfAgent(logging.Filter):
    """Lets pass the records of one agent, and those of no agent."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record, which is made where this is called, passes."""
        return agent_at_work.get() in ("", self.name)


def log_to_file(path: str | Path, agent: str = "") -> logging.Handler:
    """Append log records of the agent's packages, from level INFO, to a file that rotates at 1 MB.

    Three older files are kept beside it, with the suffixes .1 to .3. Times are UTC in ISO 8601. A second call
    with the same path changes nothing.

    Args:
        path: File to append to; missing parent folders are made.
        agent: Agent whose records these are, see `agent_at_work`; empty: every agent of this process.

    Returns:
        The handler, for `stop_logging`.
    """
    file = Path(path).absolute()
    for handler in logging.getLogger(PACKAGES[0]).handlers:
        if getattr(handler, "baseFilename", "") == str(file):
            return handler
    return _install(file_handler(file), agent)


def _install(handler: logging.Handler, agent: str) -> logging.Handler:
    if agent:
        handler.addFilter(RecordsOfAgent(agent))
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    return handler


class LogFileHandler(RotatingFileHandler):
    """Append to a rotating file; a record that cannot be written is dropped, and no caller fails for it.

    Attributes:
        failed: Whether the newest record could not be written. The first one is reported on stderr.
    """

    def __init__(self, path: Path) -> None:
        """Prepare; the file and its parent folders are made with the first record."""
        super().__init__(
            path, maxBytes=MAX_LOG_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True,
            errors="backslashreplace",
        )  # fmt: skip
        self.failed = False

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        failed, self.failed = self.failed, False
        self._report = not failed
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report on stderr that records cannot be written, once until they can be again."""
        self.failed = True
        error = sys.exc_info()[1]
        if self._report and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"cannot write the log {self.baseFilename}: {error}\n")


def file_handler(path: Path) -> LogFileHandler:
    """Return the handler of such a file."""
    handler = LogFileHandler(path)
    handler.setFormatter(_formatter())
    handler.setLevel(logging.INFO)
    return handler


def _formatter() -> logging.Formatter:
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    return formatter


class LogBuffer(logging.Handler):
    """Keep the newest formatted lines until they are sent."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__(logging.INFO)
        self.setFormatter(_formatter())
        self._lines: deque[str] = deque()
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record."""
        with self._guard:
            self._lines.append(self.format(record))
            if len(self._lines) > BUFFERED_LINES:
                self._lines.popleft()

    def lines(self) -> list[str]:
        """Return the lines in the buffer, oldest first."""
        with self._guard:
            return list(self._lines)

    def drop(self, lines: list[str]) -> None:
        """Remove these lines, which have been sent, from the front."""
        with self._guard:
            for line in lines:
                if self._lines and self._lines[0] is line:
                    self._lines.popleft()


def log_to_buffer(agent: str = "") -> LogBuffer:
    """Collect log records of the agent's packages, from level INFO, and return the buffer.

    Args:
        agent: See `log_to_file`.
    """
    buffer = LogBuffer()
    _install(buffer, agent)
    return buffer


def stop_logging(handler: logging.Handler) -> None:
    """Take no more log records with a handler of `log_to_file` or `log_to_buffer`."""
    for name in PACKAGES:
        logging.getLogger(name).removeHandler(handler)
    handler.close()


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Append formatted lines to a log file, which rotates as that of `log_to_file` does."""
    handler = file_handler(path)
    handler.setFormatter(None)
    try:
        for line in lines:
            handler.emit(logging.LogRecord("agents", logging.INFO, "", 0, line, None, None))
    finally:
        handler.close()

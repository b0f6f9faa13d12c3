"""Log file of one agent's process."""

import contextlib
import logging
import sys
import time
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

PACKAGES = ("agents", "alignment", "env")  # parents of every logger of a process that runs one agent
MAX_LOG_BYTES = 1_000_000
BACKUPS = 3


def log_to_file(path: str | Path) -> None:
    """Append log records of the agent's packages, from level INFO, to a file that rotates at 1 MB.

    Three older files are kept beside it, with the suffixes .1 to .3. Times are UTC in ISO 8601. A second call
    with the same path changes nothing.

    Args:
        path: File to append to; missing parent folders are made.
    """
    file = Path(path).absolute()
    loggers = [logging.getLogger(name) for name in PACKAGES]
    if any(getattr(handler, "baseFilename", "") == str(file) for handler in loggers[0].handlers):
        return
    handler = file_handler(file)
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)


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
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.setLevel(logging.INFO)
    return handler

"""Logging of a run: records on stderr, and a rotating file for each process in the run folder."""

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

PACKAGES = ("env", "alignment", "agents", "social_jepa")  # not the root logger: Ray and torch log there
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
MAX_BYTES, BACKUPS = 1_000_000, 3  # size of a log file, and how many full ones are kept


class StderrHandler(logging.StreamHandler[TextIO]):
    """Write to the current sys.stderr, which a live display of rich replaces while it is shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The current sys.stderr."""
        return sys.stderr


def log_to_stderr(level: int) -> None:
    """Write records of at least this level to stderr, in place of the level set before."""
    handler = StderrHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    _install(handler, "stderr", level)


def log_to_file(folder: Path, process: str) -> None:
    """Write records of at least INFO to ``logs/<process>.log`` in a run folder, and to no earlier file."""
    path = log_path(folder, process)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    _install(handler, "file", logging.INFO)


def log_path(folder: Path, process: str) -> Path:
    """Return the log file of a process: driver, supervisor, server, or the name of an agent."""
    return folder / "logs" / f"{process}.log"


def _install(handler: logging.Handler, name: str, level: int) -> None:
    """Add a handler to the loggers of our packages, in place of an earlier one of the same name."""
    handler.set_name(name)
    handler.setLevel(level)
    for package in PACKAGES:
        logger = logging.getLogger(package)
        for earlier in [each for each in logger.handlers if each.get_name() == name]:
            logger.removeHandler(earlier)
            earlier.close()
        logger.addHandler(handler)
        logger.setLevel(min(each.level for each in logger.handlers))

"""Logging of a run: records on stderr, and a rotating file for each process in the run folder.

The command line imports this before it has checked that nothing hides the package `agents`.
"""

import logging
import sys
from pathlib import Path
from typing import TextIO

PACKAGES = ("agents", "alignment", "env", "social_jepa")  # not the root logger: Ray and torch log there


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


def stderr_level() -> int:
    """Return the level that `log_to_stderr` set, by default WARNING."""
    handlers = logging.getLogger("social_jepa").handlers
    return next((each.level for each in handlers if each.get_name() == "stderr"), logging.WARNING)


def log_to_file(folder: Path, process: str) -> None:
    """Append INFO records to ``logs/<process>.log`` in a run folder, in place of an earlier file."""
    from agents import logs

    _install(logs.file_handler(log_path(folder, process)), "file", logging.INFO)


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

"""Log file of one agent's process."""

import logging
import time
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


def file_handler(path: Path) -> RotatingFileHandler:
    """Return the handler of such a file; missing parent folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=MAX_LOG_BYTES, backupCount=BACKUPS, encoding="utf-8")
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.setLevel(logging.INFO)
    return handler

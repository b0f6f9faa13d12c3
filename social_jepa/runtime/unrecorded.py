"""Notes of what could not be recorded: its writer goes on and tries again."""

import logging
from pathlib import Path

from agents.common.files import UnsavedFile
from social_jepa.storage.ledger_errors import LedgerUnavailableError

logger = logging.getLogger(__name__)


def note_unrecorded(
    earlier: UnsavedFile | None, what: str, folder: Path, error: LedgerUnavailableError | OSError
) -> UnsavedFile:
    """Return the note of what cannot be recorded now; it is logged once until it succeeds.

    Args:
        earlier: Note of the attempt before this one; None: that succeeded.
        what: What cannot be recorded, for the log.
        folder: Where it was to be written, if not into a ledger.
        error: Why it cannot.
    """
    if earlier is None:
        logger.warning("%s cannot be recorded, and is tried again: %s", what, error)
    if isinstance(error, LedgerUnavailableError):
        return UnsavedFile.after(earlier, error.path, error.reason or str(error))
    return UnsavedFile.after(earlier, folder, error.strerror or str(error))

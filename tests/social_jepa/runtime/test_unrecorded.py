"""Notes of what could not be recorded."""

import errno
from pathlib import Path

import pytest

from social_jepa.runtime.unrecorded import note_unrecorded
from social_jepa.storage.ledger_errors import LedgerFullError

FOLDER, LEDGER = Path("run/agents/a"), Path("run/ledger.sqlite")
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "path", "reason"),
    [
        (FULL, FOLDER, "No space left on device"),
        (OSError("the mount is gone"), FOLDER, "the mount is gone"),
        (LedgerFullError(LEDGER, "database or disk is full"), LEDGER, "database or disk is full"),
    ],
)
def test_a_note_names_what_could_not_be_written_and_why(error, path, reason):
    found = note_unrecorded(None, "the report of a", FOLDER, error)
    assert (found.path, found.reason) == (str(path), reason)


def test_attempts_that_fail_one_after_another_are_one_note_and_one_line_in_the_log(caplog):
    first = note_unrecorded(None, "the report of a", FOLDER, FULL)
    second = note_unrecorded(first, "the report of a", FOLDER, LedgerFullError(LEDGER, "full"))

    assert (second.path, second.since) == (str(LEDGER), first.since)
    assert [record.getMessage() for record in caplog.records] == [
        "the report of a cannot be recorded, and is tried again: [Errno 28] No space left on device"
    ]

"""Errors of the ledger, with what is wrong as fields. Use positional arguments: Ray pickles them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(eq=False, repr=False)
class LedgerError(ValueError):
    """A ledger that cannot be used. Build it and its subclasses with positional arguments: Ray pickles them.

    Attributes:
        path: The ledger.
    """

    path: Path


@dataclass(eq=False, repr=False)
class MissingLedgerError(LedgerError):
    """A ledger that does not exist."""

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"there is no ledger at {self.path}: is this a run folder?"


@dataclass(eq=False, repr=False)
class DamagedLedgerError(LedgerError):
    """A file that is no ledger, or whose content contradicts itself.

    Attributes:
        reason: What SQLite or the decoder says.
    """

    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"the ledger {self.path} is damaged ({self.reason}): restore it from a copy, or run again into a "
            "new folder"
        )


@dataclass(eq=False, repr=False)
class LedgerVersionError(LedgerError):
    """A ledger in the format of an older or newer program.

    Attributes:
        found: Format of the ledger.
        expected: Format that this program reads.
        written_by: Version of the program that made it; empty when unknown.
    """

    found: int
    expected: int
    written_by: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        program = f"social-jepa {self.written_by or 'of an unknown version'}"
        newer = self.found > self.expected
        remedy = f"install {program} or newer" if newer else f"start a new run, or read it with {program}"
        return (
            f"the ledger {self.path} has format {self.found}, written by {program}; this program reads "
            f"format {self.expected}: {remedy}"
        )


@dataclass(eq=False, repr=False)
class LedgerUnavailableError(LedgerError):
    """A ledger that is whole, and could not be read or written now: nothing of the attempt was written.

    Attributes:
        reason: What SQLite says.
    """

    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"the ledger {self.path} cannot be read or written ({self.reason}): check its disk, and the "
            "permissions of the file and its folder"
        )


class LedgerBusyError(LedgerUnavailableError):
    """A ledger that another program has been writing to for too long."""

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"another program writes to the ledger {self.path}: close it, then try again"


class LedgerFullError(LedgerUnavailableError):
    """A ledger whose disk, or whose user's quota, has no room for what was to be written."""

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"the disk of the ledger {self.path} is full ({self.reason}): free some space"


class ReadOnlyLedgerError(LedgerUnavailableError):
    """A ledger that was to be written and is read-only."""

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"the ledger {self.path} cannot be written ({self.reason}): make the file and its folder writable"
        )


@dataclass(eq=False, repr=False)
class DuplicateMemberError(LedgerError):
    """A member whose name or number is taken; nothing was written.

    Attributes:
        reason: What SQLite says.
    """

    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"the ledger {self.path} already has a member of that name or number ({self.reason}): nothing "
            "was written; choose another name"
        )

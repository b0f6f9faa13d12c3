"""A check of the machine, and how it is worded."""

from dataclasses import dataclass

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        name: What was checked.
        ok: Whether it meets the requirement.
        found: What was found.
        remedy: What to do when it is not ok.
    """

    name: str
    ok: bool
    found: str
    remedy: str


@dataclass(eq=False, repr=False)
class UnfitMachineError(RuntimeError):
    """This machine, or the place where the program runs, lacks something that a run needs.

    Attributes:
        check: The check that failed.
    """

    check: Check

    def __str__(self) -> str:
        return f"{self.check.name}: {self.check.found}; {self.check.remedy}"


def require(*checks: Check) -> None:
    """Raise UnfitMachineError for the first check that failed."""
    for check in checks:
        if not check.ok:
            raise UnfitMachineError(check)


def size_text(count: int) -> str:
    """Return a size in bytes for people, rounded down to three digits: "64 MiB", "1.5 GiB"."""
    unit = min(len(UNITS) - 1, max(0, (max(count, 1).bit_length() - 1) // 10))
    value = count / 1024**unit
    digits = 1 if value < 100 and unit > 2 else 0
    return f"{int(value * 10**digits) / 10**digits:g} {UNITS[unit]}"

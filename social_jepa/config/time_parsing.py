"""Parse points in time: now, a clock time, a date, or a duration before now."""

import datetime
import re
import time
from dataclasses import dataclass

FOREVER = 1e300  # later than every time that is recorded
CLOCK_TOLERANCE = 1.0  # seconds by which a time may be ahead: clocks and rounding differ
_UNITS = {
    "s sec secs second seconds": 1,
    "m min mins minute minutes": 60,
    "h hr hrs hour hours": 3600,
    "d day days": 86400,
    "w week weeks": 604800,
}
_SECONDS = {word: seconds for words, seconds in _UNITS.items() for word in words.split()}
_UNEQUAL = ("month", "months", "quarter", "quarters", "year", "years", "decade", "decades")
EXAMPLES = "2026-11-21T14:30, 14:30, now, or how long ago, for example '10 minutes ago' or '2 weeks ago'"


@dataclass(eq=False, repr=False)
class TimeError(ValueError):
    """A text that names no past point in time. Build it with positional arguments: Ray pickles it.

    Attributes:
        text: The text.
    """

    text: str


class TimeFormatError(TimeError):
    """A text that is not a point in time."""

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.text!r} is not a time: write {EXAMPLES}"


@dataclass(eq=False, repr=False)
class UnequalUnitError(TimeError):
    """A duration in a unit that is not always equally long.

    Attributes:
        unit: The unit.
    """

    unit: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.text!r}: the length of a {self.unit.rstrip('s')} varies; write days, weeks or a date"


@dataclass(eq=False, repr=False)
class FutureTimeError(TimeError):
    """A time that has not come yet.

    Attributes:
        when: The time, in ISO 8601.
        now: The present, in ISO 8601.
    """

    when: str
    now: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.text!r} is {self.when}, in the future: choose a time up to now, {self.now}"


@dataclass(eq=False, repr=False)
class AmbiguousTimeError(TimeError):
    """A local time that occurs twice, because clocks were set back.

    Attributes:
        choices: The two times, in ISO 8601 with the offset from UTC.
    """

    choices: tuple[str, str]

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.text!r} occurs twice, because clocks were set back: write {' or '.join(self.choices)}"


@dataclass(eq=False, repr=False)
class SkippedTimeError(TimeError):
    """A local time that does not occur, because clocks were set forward.

    Attributes:
        choices: The times that its two offsets from UTC mean, in ISO 8601.
    """

    choices: tuple[str, str]

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        choices = " or ".join(self.choices)
        return f"{self.text!r} does not occur, because clocks were set forward: write {choices}"


def parse_time(text: str | None, now: float | None = None) -> float:
    """Return seconds since the epoch for a point in time up to now; ``now`` and None give FOREVER.

    FOREVER is the newest state, also where the clock was set back since that was recorded.

    Args:
        text: ``now``, ``2026-11-21T14:30``, ``14:30`` (today), ``10 minutes ago``, ``10m``, or seconds since
            the epoch. A time without an offset from UTC is local.
        now: The present, in seconds since the epoch; default: the clock's.

    Raises:
        TimeFormatError: The text is none of those.
        UnequalUnitError: It counts months or years.
        AmbiguousTimeError, SkippedTimeError: Clocks were set back or forward at that local time.
        FutureTimeError: It has not come yet.
    """
    if text is None or text.strip().lower() == "now":
        return FOREVER
    now = time.time() if now is None else now
    try:
        when = _parse(text, text.strip().lower(), now)
        if when <= now + CLOCK_TOLERANCE:
            return when
        raise FutureTimeError(text, _iso(when), _iso(now))
    except TimeError:
        raise
    except (ValueError, OverflowError, OSError) as error:  # no such date, or a year that has no timestamp
        raise TimeFormatError(text) from error


def check_not_future(when: float) -> float:
    """Return a time in seconds since the epoch, or FOREVER, the latest state.

    Raises:
        FutureTimeError: It has not come yet.
    """
    now = time.time()
    if when <= now + CLOCK_TOLERANCE or when >= FOREVER:
        return when
    try:
        shown = _iso(when)
    except (ValueError, OverflowError, OSError):  # a year that no date has
        shown = "later than any date"
    raise FutureTimeError(f"{when:.0f}", shown, _iso(now))


def _parse(text: str, plain: str, now: float) -> float:
    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)(?:\s+ago)?", plain):
        if ago[2] in _UNEQUAL:
            raise UnequalUnitError(text, ago[2])
        if ago[2] not in _SECONDS:
            raise TimeFormatError(text)
        return now - float(ago[1]) * _SECONDS[ago[2]]
    if re.fullmatch(r"\d{9,}(\.\d+)?", plain):
        return float(plain)
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", plain):
        day = datetime.datetime.fromtimestamp(now).date().isoformat()
        hour, rest = plain.split(":", 1)
        return _local(text, datetime.datetime.fromisoformat(f"{day}T{hour:0>2}:{rest}"))
    # in a URL a plus sign that is not escaped means a space
    found = datetime.datetime.fromisoformat(re.sub(r"(:\d\d) (\d\d:\d\d)$", r"\1+\2", text.strip()))
    return found.timestamp() if found.tzinfo else _local(text, found)


def _local(text: str, when: datetime.datetime) -> float:
    """Return the timestamp of a local time, unless clocks changed around it."""
    first, second = (when.replace(fold=fold).timestamp() for fold in (0, 1))
    if first == second:
        return first
    choices = (_iso(first), _iso(second))
    if datetime.datetime.fromtimestamp(first).replace(fold=0) == when:
        raise AmbiguousTimeError(text, choices)
    raise SkippedTimeError(text, (choices[1], choices[0]))


def _iso(when: float) -> str:
    return datetime.datetime.fromtimestamp(when).astimezone().isoformat(timespec="seconds")

"""Parse points in time: a clock time, a date, or a duration before now."""

import datetime
import re
import time

FOREVER = 1e300  # later than every time that is recorded
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
EXAMPLES = "2026-11-21T14:30, 14:30, or how long ago, for example '10 minutes ago'"


class TimeFormatError(ValueError):
    """A text that is not a point in time.

    Attributes:
        text: The text.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"{self.text!r} is not a time: write {EXAMPLES}"


def parse_time(text: str | None, now: float | None = None) -> float:
    """Return seconds since the epoch for ``2026-11-21T14:30``, ``14:30``, ``10 minutes ago`` or a number.

    None gives FOREVER: the latest state.

    Raises:
        TimeFormatError: The text is none of those.
    """
    if text is None:
        return FOREVER
    now = time.time() if now is None else now
    ago = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])[a-z]*(?:\s+ago)?\s*", text)
    if ago:
        return now - float(ago[1]) * _UNITS[ago[2]]
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return float(text)
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
            day = datetime.datetime.fromtimestamp(now).date().isoformat()
            return datetime.datetime.fromisoformat(f"{day}T{text:0>5}").timestamp()
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise TimeFormatError(text) from error

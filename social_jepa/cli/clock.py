"""Times and ages as tables show them; `--as-of` takes the times."""

import datetime
import math
import time

from social_jepa.runtime.wait_progress import describe_seconds

DAY = 86400.0  # seconds


def format_time(seconds: float, now: float | None = None) -> str:
    """Return a local time to the millisecond, with its date where that is not today's.

    It is rounded up: a record is part of the graph from its time on.

    Args:
        seconds: The time, in seconds since the epoch.
        now: The present, in seconds since the epoch; default: the clock's.
    """
    when = datetime.datetime.fromtimestamp(math.ceil(seconds * 1000) / 1000)
    today = datetime.datetime.fromtimestamp(time.time() if now is None else now).date()
    text = when.isoformat(timespec="milliseconds")
    return text.partition("T")[2] if when.date() == today else text


def describe_age(seconds: float) -> str:
    """Return a span of time in its largest unit, s, min, h or d."""
    if seconds >= 1.5 * DAY:
        return f"{seconds / DAY:.0f} d"
    return describe_seconds(max(0.0, seconds))

"""Points in time as tables and sentences show them; `time_parsing` reads them again."""

import datetime
import math
import time


def format_time(seconds: float, now: float | None = None, precision: str = "milliseconds") -> str:
    """Return a local time, with its date where that is not today's.

    It is rounded up to the millisecond: a record is part of the graph from its time on.

    Args:
        seconds: The time, in seconds since the epoch.
        now: The present, in seconds since the epoch; default: the clock's.
        precision: "milliseconds" or "seconds"; a second that has begun is not rounded up.
    """
    when = datetime.datetime.fromtimestamp(math.ceil(seconds * 1000) / 1000)
    today = datetime.datetime.fromtimestamp(time.time() if now is None else now).date()
    text = when.isoformat(timespec=precision)
    return text.partition("T")[2] if when.date() == today else text

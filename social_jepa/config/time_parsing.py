"""When somebody means: a clock time, a date, or how long ago."""

import datetime
import re
import time

from social_jepa.storage.ledger import FOREVER

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_time(text: str | None, now: float | None = None) -> float:
    """Return seconds since the epoch for ``2026-11-21T14:30``, ``14:30``, ``10 minutes ago`` or a number.

    None means now and ever after.

    Raises:
        ValueError: It is none of those.
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
            text = f"{day}T{text:0>5}"
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise ValueError(
            f"--as-of {text!r}: write 2026-11-21T14:30, 14:30, or how long ago, for example '10 minutes ago'"
        ) from error

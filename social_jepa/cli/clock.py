"""Ages as tables show them; for points in time see `social_jepa.config.time_format`."""

from social_jepa.runtime.wait_progress import describe_seconds

DAY = 86400.0  # seconds


def describe_age(seconds: float) -> str:
    """Return a span of time in its largest unit, s, min, h or d."""
    if seconds >= 1.5 * DAY:
        return f"{seconds / DAY:.0f} d"
    return describe_seconds(max(0.0, seconds))

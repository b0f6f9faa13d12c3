"""A limit on how often something happens, which does not delay what happens seldom."""


class Pace:
    """Spaces what happens too often evenly (the generic cell rate algorithm); nothing waits here."""

    def __init__(self, per_second: float, burst_seconds: float = 1.0) -> None:
        """Start rested.

        Args:
            per_second: How often it may happen in the long run.
            burst_seconds: Seconds whose share may happen at once after a rest.
        """
        self._interval, self._burst = 1.0 / per_second, burst_seconds
        self._next = 0.0

    def take(self, now: float) -> float:
        """Return the seconds to wait before the next one may happen.

        Args:
            now: Time in seconds, on any clock that does not go back.
        """
        self._next = max(self._next, now) + self._interval
        return max(0.0, self._next - now - self._burst)

"""When the process of an agent is started again after it died: after growing pauses, and not for ever."""

import math
import time
from dataclasses import dataclass, field

FIRST_PAUSE = 0.5  # seconds before the first restart; each further one without a step gained doubles it
LONGEST_PAUSE = 60.0  # seconds
MAX_RESTARTS = 3  # without a step gained; more would repeat the same death
# Seconds, in a simulation that stays up: an agent that gains no steps, since it is paused or frozen, may die
# once in a week.
FORGIVEN_AFTER = 3600.0


@dataclass
class _History:
    step: int = 0  # largest step reached before any death
    deaths: int = 0  # since that step was reached
    own_deaths: int = 0  # those of them that the agent may be the cause of
    died_at: float = 0.0  # by time.monotonic, the last time


@dataclass
class Restarts:
    """Deaths of each agent, and what follows from them.

    Attributes:
        forgiven_after: Seconds between two deaths after which the second is taken for a new beginning; never
            in a run that is to end: what kills an agent once in two hours would keep it from its end.
    """

    forgiven_after: float = math.inf
    _histories: dict[str, _History] = field(default_factory=dict)

    def after_death(
        self, name: str, step: int, counts: bool = True, now: float | None = None
    ) -> float | None:
        """Return the pause in seconds before the next process, or None to give up.

        Args:
            name: The agent.
            step: Training steps that it had done.
            counts: Whether the agent may be the cause; the loss of a node only makes the pause grow.
            now: Time of the death, by time.monotonic, which is the default.
        """
        now = time.monotonic() if now is None else now
        history = self._histories.setdefault(name, _History(died_at=now))
        if step > history.step or now - history.died_at > self.forgiven_after:
            history.step, history.deaths, history.own_deaths = step, 0, 0
        history.died_at = now
        history.deaths += 1
        history.own_deaths += counts
        if counts and history.own_deaths > MAX_RESTARTS:
            return None
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (history.deaths - 1))

    def own_deaths(self, name: str) -> int:
        """Return the number of deaths since an agent last gained a step that it may be the cause of."""
        return self._histories[name].own_deaths if name in self._histories else 0

    def forget(self, name: str) -> None:
        """Drop what is known of an agent that left, or that begins anew."""
        self._histories.pop(name, None)

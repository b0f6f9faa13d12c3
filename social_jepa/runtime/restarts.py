"""When the process of an agent is started again after it died: after growing pauses, and not for ever."""

from dataclasses import dataclass, field

FIRST_PAUSE = 0.5  # seconds before the first restart; each further one without a step gained doubles it
LONGEST_PAUSE = 60.0  # seconds
MAX_RESTARTS = 3  # without a step gained; more would repeat the same death


@dataclass
class _History:
    step: int = 0  # largest step reached before any death
    deaths: int = 0  # since that step was reached


@dataclass
class Restarts:
    """Deaths of each agent, and what follows from them."""

    _histories: dict[str, _History] = field(default_factory=dict)

    def after_death(self, name: str, step: int, counts: bool = True) -> float | None:
        """Return the pause in seconds before the next process, or None to give up.

        Args:
            name: The agent.
            step: Training steps that it had done.
            counts: Whether the agent may be the cause; the loss of a node only makes the pause grow.
        """
        history = self._histories.setdefault(name, _History())
        if step > history.step:
            history.step, history.deaths = step, 0
        history.deaths += 1
        if counts and history.deaths > MAX_RESTARTS:
            return None
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (history.deaths - 1))

    def deaths(self, name: str) -> int:
        """Return the number of deaths of an agent since it last gained a step."""
        return self._histories[name].deaths if name in self._histories else 0

    def forget(self, name: str) -> None:
        """Drop what is known of an agent that left."""
        self._histories.pop(name, None)

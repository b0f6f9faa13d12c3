"""How an experiment looks while it runs: a live table on a terminal, elsewhere a plain line now and then."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from social_jepa.experiments.framework.tasks import Task

PLAIN_EVERY = 10.0  # seconds between plain lines of one unit


class Progress:
    """Tells on stderr how the units of one experiment do."""

    def __init__(self, console: Console, name: str, units: Sequence[Task], workers: int) -> None:
        """Take what is to be done.

        Args:
            console: Of stderr.
            name: The experiment's name.
            units: Those that will run.
            workers: How many run at a time.
        """
        self._console, self._name, self._workers = console, name, workers
        self._waiting = list(units)
        self._running: dict[Task, tuple[float, str]] = {}  # when it began, what it said last
        self._spent: list[tuple[str, float]] = []  # part and seconds of those that are done
        self._total, self._began = len(units), time.monotonic()
        self._printed: dict[Task, float] = {}
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        """Begin to show."""
        if self._console.is_terminal and self._total:
            self._live = Live(console=self._console, transient=True, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def began(self, unit: Task) -> None:
        """A unit runs now."""
        self._waiting.remove(unit)
        self._running[unit] = time.monotonic(), ""
        if self._live is None:
            self._line(f"{unit}: began")

    def said(self, unit: Task, text: str) -> None:
        """A unit told something."""
        now = time.monotonic()
        self._running[unit] = self._running[unit][0], text
        if self._live is None and now - self._printed.get(unit, -PLAIN_EVERY) >= PLAIN_EVERY:
            self._printed[unit] = now
            self._line(f"{unit}: {text}")

    def ended(self, unit: Task, seconds: float, failure: str) -> None:
        """A unit is done, or failed for a reason."""
        self._running.pop(unit, None)
        self._spent.append((unit.condition, seconds))
        how = f"failed: {failure}" if failure else f"done in {duration(seconds)}"
        self._line(f"{unit}: {how}; {self._state()}")

    def beat(self) -> None:
        """Time passed."""
        if self._live is not None:
            self._live.update(self._table())

    def _line(self, text: str) -> None:
        elapsed = duration(time.monotonic() - self._began)
        self._console.print(f"[dim]{elapsed:>8}[/]  {self._name}: {escape(text)}", soft_wrap=True)

    def _table(self) -> Table:
        elapsed = duration(time.monotonic() - self._began)
        title = f"{self._name}: {self._state()}; {elapsed} so far"
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for heading in ("part", "seed", "for", "last said"):
            table.add_column(heading, overflow="ellipsis", no_wrap=True)
        for unit, (began, text) in self._running.items():
            spent = duration(time.monotonic() - began)
            table.add_row(escape(unit.condition), str(unit.seed), spent, escape(text))
        return table

    def _state(self) -> str:
        state = f"{len(self._spent)} of {self._total} done"
        left = self._left()
        return (
            state
            if left is None or len(self._spent) == self._total
            else f"{state}, about {duration(left)} left"
        )

    def _left(self) -> float | None:
        """Seconds that are left, if the others take as long as those of their part, or of all, took."""
        if not self._spent:
            return None
        mean = sum(seconds for _, seconds in self._spent) / len(self._spent)
        by_part: dict[str, list[float]] = {}
        for part, seconds in self._spent:
            by_part.setdefault(part, []).append(seconds)
        expected = {part: sum(spent) / len(spent) for part, spent in by_part.items()}
        now = time.monotonic()
        running = [
            max(0.0, expected.get(unit.condition, mean) - (now - began))
            for unit, (began, _) in self._running.items()
        ]
        waiting = sum(expected.get(unit.condition, mean) for unit in self._waiting)
        return max([(sum(running) + waiting) / self._workers, *running])


def duration(seconds: float) -> str:
    """Return a span of time as a person says it."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"

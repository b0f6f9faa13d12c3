"""Progress of a running experiment on stderr: a live table on a terminal, else plain lines."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from social_jepa.experiments.framework.tasks import Task

PLAIN_EVERY = 10.0  # seconds between plain lines of one task


class Progress:
    """Shows the progress of an experiment's tasks; a `pool.ProgressListener`."""

    def __init__(
        self, console: Console, name: str, tasks: Sequence[Task], workers: int,
        expected: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        """Create it before the first task starts.

        Args:
            console: Console of stderr.
            name: Name of the experiment.
            tasks: Tasks that will run.
            workers: Number of tasks that run at a time.
            expected: Seconds that a task is expected to take, by condition, until one of it is done.
        """
        self._expected = dict(expected or {})
        self._console, self._name, self._workers = console, name, workers
        self._waiting = list(tasks)
        self._running: dict[Task, tuple[float, str]] = {}  # time of the start, last message
        self._done: list[tuple[str, float]] = []  # condition and seconds of tasks that ended
        self._total, self._started = len(tasks), time.monotonic()
        self._printed: dict[Task, float] = {}
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        """Start the live table."""
        if self._console.is_terminal and self._total:
            self._live = Live(console=self._console, transient=True, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the live table."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def task_started(self, task: Task) -> None:
        """Show that a task runs."""
        self._waiting.remove(task)
        self._running[task] = time.monotonic(), ""
        if self._live is None:
            self._print(f"{task}: started; {self._summary()}")

    def task_logged(self, task: Task, text: str) -> None:
        """Show a progress message of a task."""
        now = time.monotonic()
        self._running[task] = self._running[task][0], text
        if self._live is None and now - self._printed.get(task, -PLAIN_EVERY) >= PLAIN_EVERY:
            self._printed[task] = now
            self._print(f"{task}: {text}")

    def task_ended(self, task: Task, seconds: float, failure: str) -> None:
        """Show that a task is done, or the reason of its failure."""
        self._running.pop(task, None)
        self._done.append((task.condition, seconds))
        outcome = f"failed: {failure}" if failure else f"done in {duration(seconds)}"
        self._print(f"{task}: {outcome}; {self._summary()}")

    def refresh(self) -> None:
        """Update the live table."""
        if self._live is not None:
            self._live.update(self._table())

    def _print(self, text: str) -> None:
        elapsed = duration(time.monotonic() - self._started)
        self._console.print(f"[dim]{elapsed:>8}[/]  {self._name}: {escape(text)}", soft_wrap=True)

    def _table(self) -> Table:
        elapsed = duration(time.monotonic() - self._started)
        title = f"{self._name}: {self._summary()}; {elapsed} elapsed"
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for heading in ("condition", "seed", "elapsed", "last message"):
            table.add_column(heading, overflow="ellipsis", no_wrap=True)
        for task, (started, text) in self._running.items():
            elapsed = duration(time.monotonic() - started)
            table.add_row(escape(task.condition), str(task.seed), elapsed, escape(text))
        return table

    def _summary(self) -> str:
        text = f"{len(self._done)} of {self._total} done"
        remaining = self._remaining_seconds()
        if remaining is None or len(self._done) == self._total:
            return text
        return f"{text}, about {duration(remaining)} left"

    def _remaining_seconds(self) -> float | None:
        """Estimate it from the mean time of tasks of the same condition, or else of all tasks.

        Expected times of conditions of which none is done are scaled by those that took longer or less.
        """
        if not self._done and not self._expected:
            return None
        by_condition: dict[str, list[float]] = {}
        for condition, seconds in self._done:
            by_condition.setdefault(condition, []).append(seconds)
        measured = {condition: sum(times) / len(times) for condition, times in by_condition.items()}
        expected, mean = self._scaled(measured)
        now = time.monotonic()
        running = [
            max(0.0, expected.get(task.condition, mean) - (now - started))
            for task, (started, _) in self._running.items()
        ]
        waiting = sum(expected.get(task.condition, mean) for task in self._waiting)
        return max([(sum(running) + waiting) / self._workers, *running])

    def _scaled(self, measured: Mapping[str, float]) -> tuple[dict[str, float], float]:
        """Return the seconds of a task by condition, and of a condition about which nothing is known."""
        both = [condition for condition in measured if self._expected.get(condition, 0) > 0]
        pace = 1.0
        if both:
            pace = sum(measured[name] for name in both) / sum(self._expected[name] for name in both)
        expected = {condition: pace * seconds for condition, seconds in self._expected.items()} | dict(
            measured
        )
        known = list(measured.values()) or list(expected.values())
        return expected, sum(known) / len(known)


def duration(seconds: float) -> str:
    """Return a time span in seconds, minutes or hours, for example "10 min"."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"

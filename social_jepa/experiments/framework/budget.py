"""What an experiment is expected to cost: CPU time by condition, from runs that were recorded or measured.

The costs are data, in static/budgets.json, which scripts/write_budgets.py writes: by experiment, of the full
and of the quick run, the CPU seconds of each condition with one seed, and where they come from.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from social_jepa.experiments.framework.progress import duration
from social_jepa.experiments.framework.runs import ExperimentRun

FULL, QUICK = "full", "quick"


@dataclass(frozen=True)
class Costs:
    """Costs of one seed of a run with default settings.

    Attributes:
        seconds: CPU seconds by condition.
        source: Where they come from.
    """

    seconds: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Budget:
    """Expected costs of a run.

    Attributes:
        seconds: CPU seconds of each task.
        sources: Where they come from.
    """

    seconds: tuple[float, ...]
    sources: tuple[str, ...]

    @property
    def cpu_minutes(self) -> float:
        """CPU minutes of all tasks."""
        return sum(self.seconds) / 60

    def wall_seconds(self, workers: int) -> float:
        """Return the seconds that so many tasks at a time need at least, one CPU each."""
        return max(sum(self.seconds) / workers, *self.seconds)

    def describe(self, workers: int) -> str:
        """Return it in words, with the time that so many tasks at a time take."""
        cpus = f"{workers} CPU{'s' * (workers > 1)}"
        spent = f"{self.cpu_minutes:.0f}" if self.cpu_minutes >= 10 else f"{self.cpu_minutes:.1f}"
        return (
            f"about {spent} CPU-minutes, {duration(self.wall_seconds(workers))} on {cpus} "
            f"({'; '.join(self.sources)})"
        )


@cache
def read_costs() -> Mapping[str, Mapping[str, Costs]]:
    """Return the costs of each experiment, of its FULL and its QUICK run."""
    text = (
        files("social_jepa.experiments.framework").joinpath("static/budgets.json").read_text(encoding="utf-8")
    )
    return {
        name: {kind: Costs(**costs) for kind, costs in kinds.items()}
        for name, kinds in json.loads(text).items()
    }


def find_costs(name: str, quick: bool) -> Costs | None:
    """Return the costs of one seed of an experiment of this name; None if none are known."""
    return read_costs().get(name, {}).get(QUICK if quick else FULL)


def expect(run: ExperimentRun, conditions: Sequence[str] = ()) -> Budget | None:
    """Return what a run is expected to cost with default settings; None if no costs are known.

    Args:
        run: The run.
        conditions: The conditions that run; all where there are none.
    """
    costs = find_costs(run.experiment.name, run.quick)
    names = conditions or (costs.seconds if costs else ())
    return expect_tasks(run, [name for name in names for _ in run.seeds])


def expect_tasks(run: ExperimentRun, conditions: Iterable[str]) -> Budget | None:
    """Return what tasks are expected to cost with default settings, given the condition of each.

    None if there are none, or no costs are known.
    """
    costs = find_costs(run.experiment.name, run.quick)
    chosen = tuple(costs.seconds[name] for name in conditions if name in costs.seconds) if costs else ()
    return Budget(chosen, (costs.source,)) if costs and chosen else None


def total(budgets: Iterable[Budget | None]) -> Budget | None:
    """Return the budget of several runs, without those whose costs are not known; None without any."""
    known = [budget for budget in budgets if budget is not None]
    if not known:
        return None
    seconds = tuple(second for budget in known for second in budget.seconds)
    return Budget(seconds, tuple(dict.fromkeys(source for budget in known for source in budget.sources)))

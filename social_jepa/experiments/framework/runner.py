"""Run an experiment: its units in processes, what is done is kept, then all of its results or none."""

import contextlib
import shutil
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from agents.files import write_atomically
from social_jepa.doctor import usable_cpus
from social_jepa.experiments.framework.artifacts import summarize, write
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.html import write_index
from social_jepa.experiments.framework.pool import Pool
from social_jepa.experiments.framework.progress import Progress
from social_jepa.experiments.framework.registry import locate
from social_jepa.experiments.framework.runs import ExperimentRun
from social_jepa.experiments.framework.tasks import (
    KEPT,
    Task,
    fingerprint,
    make_task,
    plain_settings,
    read_result,
)
from social_jepa.experiments.framework.threads import one_thread
from social_jepa.storage.run_folder import RunFolder


class ExperimentError(RuntimeError):
    """An experiment that came to no results; the text says which part of it, and why."""


def run(
    wanted: ExperimentRun, console: Console, workers: int | None = None, fresh: bool = False
) -> dict[str, Any]:
    """Run what is missing of an experiment, write its results and pages, and return the results document.

    Units that an earlier run with equal settings finished are kept. The results are a function of settings,
    seeds and source files, but for the seconds: interrupted or not, in any number of processes.

    Args:
        wanted: What to run.
        console: Of stderr; told how it goes.
        workers: Units that run at a time; by default one for each core.
        fresh: Forget what was kept.

    Raises:
        ExperimentError: A unit failed, or no figures can be made of what the units found; the results that
            were there before stay as they are.
        StoreError: Another process runs it in this folder.
        ValueError: It has no parts.
    """
    try:
        wanted.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {wanted.folder}: {error.strerror}") from error
    with RunFolder.at(wanted.folder).lock():
        units = _units(wanted, fresh)
        outcomes, sources = _outcomes(wanted, units, console, workers or usable_cpus())
        results = Results(
            {(unit.condition, unit.seed): found for unit, found in outcomes.items()}, wanted.seeds
        )
        with _named(wanted, "its figures cannot be made"), one_thread():
            document, pictures = summarize(wanted, results, sources)
        write(wanted.folder, document, pictures)
    write_index(wanted.folder.parent)
    return document


def _units(wanted: ExperimentRun, fresh: bool) -> list[Task]:
    name, folder = wanted.experiment.name, wanted.folder
    with _named(wanted, "its parts cannot be told"):
        parts = [str(part) for part in wanted.experiment.conditions(wanted.settings)]
    if not parts or len(set(parts)) < len(parts):
        raise ValueError(f"experiment {name}: it needs parts, each with a name of its own, got {parts}")
    if fresh:
        shutil.rmtree(folder / KEPT, ignore_errors=True)
    for left in folder.rglob(".*.tmp"):  # of a process that was killed while it wrote
        left.unlink(missing_ok=True)
    config, sources = plain_settings(wanted.settings), fingerprint(locate(wanted.name).partition(":")[0])
    return [make_task(folder, name, config, sources, part, seed) for seed in wanted.seeds for part in parts]


def _outcomes(
    wanted: ExperimentRun, units: Sequence[Task], console: Console, workers: int
) -> tuple[dict[Task, ConditionResult], list[str]]:
    """Return the outcome of every unit, and the digits of the sources that made them."""
    found = {unit: read_result(unit) for unit in units}
    missing = [unit for unit in units if found[unit] is None]
    if len(missing) < len(units):
        others = sum(kept is not None and kept[1] != unit.sources for unit, kept in found.items())
        told = f", {others} of them made by other source files" if others else ""
        text = (
            f"{len(units) - len(missing)} of {len(units)} parts kept from before{told}; --fresh starts over"
        )
        console.print(f"{wanted.experiment.name}: {text}", soft_wrap=True)
    with Progress(console, wanted.experiment.name, missing, workers) as progress:
        pool = Pool(locate(wanted.name), plain_settings(wanted.settings), workers, progress)
        try:
            failures = pool.run(missing)
        except KeyboardInterrupt:
            kept = sum(read_result(unit) is not None for unit in units)
            console.print(
                f"{wanted.experiment.name}: stopped; {kept} of {len(units)} parts are done and kept, and the "
                "same command does the others",
                soft_wrap=True,
            )
            raise
    found |= {unit: read_result(unit) for unit in missing}
    failures |= {
        unit: "what it found cannot be read back"
        for unit, outcome in found.items()
        if outcome is None and unit not in failures
    }
    if failures:
        told = "; ".join(f"part {unit.condition}, seed {unit.seed}: {why}" for unit, why in failures.items())
        raise ExperimentError(
            f"{wanted.experiment.name}: {len(failures)} of {len(units)} parts failed, so that there are no "
            f"new results: {told} (details in {wanted.folder / KEPT}; the parts that are done are kept)"
        )
    done = {unit: outcome for unit, outcome in found.items() if outcome is not None}
    return {unit: outcome[0] for unit, outcome in done.items()}, sorted({made for _, made in done.values()})


@contextlib.contextmanager
def _named(wanted: ExperimentRun, trouble: str) -> Iterator[None]:
    """Turn whatever an experiment's own code raises into a sentence that names the experiment."""
    try:
        yield
    except (Exception, SystemExit) as error:
        kept = wanted.folder / KEPT / "figures.txt"
        with contextlib.suppress(OSError):
            write_atomically(kept, traceback.format_exc().encode())
        raise ExperimentError(
            f"{wanted.experiment.name}: {trouble}: {type(error).__name__}: {error} (details in {kept})"
        ) from error

"""Run of an experiment: its tasks in processes, finished tasks kept, then all results or none."""

import contextlib
import traceback
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console

from agents.common.files import write_atomically
from social_jepa.experiments.framework.artifacts import summarize, write
from social_jepa.experiments.framework.budget import Budget, expect_tasks, find_costs
from social_jepa.experiments.framework.document import ResultsDocument
from social_jepa.experiments.framework.experiment import ConditionResult, Metric, PartialResults, Results
from social_jepa.experiments.framework.pool import Pool
from social_jepa.experiments.framework.progress import Progress
from social_jepa.experiments.framework.registry import locate
from social_jepa.experiments.framework.runs import ExperimentRun
from social_jepa.experiments.framework.task_results import read_result
from social_jepa.experiments.framework.tasks import (
    TASKS_FOLDER,
    Task,
    fingerprint_sources,
    make_task,
    plain_settings,
)
from social_jepa.experiments.framework.threads import one_thread
from social_jepa.storage.run_folder import RunFolder
from social_jepa.system.machine import usable_cpus

TaskResults = dict[Task, tuple[ConditionResult, str] | None]  # with the fingerprint of the source code


class ExperimentError(RuntimeError):
    """An experiment produced no results; the text names the condition and the reason."""


def run_experiment(
    run: ExperimentRun, console: Console, workers: int | None = None, fresh: bool = False
) -> ResultsDocument:
    """Run the missing tasks of an experiment, write its results, and return the results document.

    Results of tasks that an earlier run with equal settings finished are kept. Apart from seconds, results
    depend on settings, seeds and source code alone, not on interruptions or the number of processes.

    Args:
        run: The run.
        console: Console of stderr, for progress.
        workers: Number of tasks that run at a time; by default one for each CPU.
        fresh: Delete the results of earlier tasks first.

    Raises:
        ExperimentError: A task failed, or metrics cannot be computed; earlier results stay as they are.
        RunFolderError: Another process runs the experiment in this folder.
        ValueError: The experiment has no conditions, or the folder cannot be made.
    """
    with _locked(run):
        found = _run_missing(run, _make_tasks(run, fresh), console, workers or usable_cpus())
        fingerprints = sorted({fingerprint for _, fingerprint in found.values()})
        with _experiment_errors(run, "its metrics cannot be computed"), one_thread():
            document, images = summarize(run, Results(_by_condition(found), run.seeds), fingerprints)
        write(run.folder, document, images)
    return document


def run_conditions(
    run: ExperimentRun, conditions: Sequence[str], console: Console, workers: int | None = None,
    fresh: bool = False, of_these_sources: bool = False,
) -> list[Metric]:  # fmt: skip
    """Run the missing tasks of some conditions, and return the experiment's metrics; write no results.

    Results of finished tasks are kept as by `run_experiment`.

    Args:
        run: The run.
        conditions: Names of conditions; all where there are none.
        console: Console of stderr, for progress.
        workers: Number of tasks that run at a time; by default one for each CPU.
        fresh: Delete the results of earlier tasks of these conditions first.
        of_these_sources: Delete those that other source code produced.

    Returns:
        All metrics; those that need another condition are NaN.

    Raises:
        ExperimentError: A task failed, or metrics cannot be computed.
        RunFolderError: Another process runs the experiment in this folder.
        ValueError: There is no such condition, or the folder cannot be made.
    """
    with _locked(run):
        tasks = _make_tasks(run, fresh, conditions)
        if of_these_sources:
            _delete_of_other_sources(tasks)
        found = _run_missing(run, tasks, console, workers or usable_cpus())
    with _experiment_errors(run, "its metrics cannot be computed"), one_thread():
        results = PartialResults(_by_condition(found), run.seeds)
        return list(run.experiment.metrics(results, run.settings))


def expect_missing(run: ExperimentRun, fresh: bool = False) -> Budget | None:
    """Return what is expected of the tasks that `run_experiment` would run; None if of none a cost is known.

    Args:
        run: The run.
        fresh: Whether it runs finished tasks again.

    Raises:
        ExperimentError: The experiment's conditions cannot be listed.
        ValueError: The experiment has no conditions.
    """
    tasks = _list_tasks(run)
    return expect_tasks(run, [task.condition for task in tasks if fresh or read_result(task) is None])


def _print_budget(run: ExperimentRun, missing: Sequence[Task], console: Console, workers: int) -> None:
    """Print what the missing tasks of a run are expected to cost, if that is known."""
    if not missing:
        return
    budget = expect_tasks(run, [task.condition for task in missing])
    if budget is None:
        text = "no costs are known; the remaining time appears once a task is done"
    else:
        text = f"expect {budget.describe(workers)}"
        text += ", with the default settings" if run.overrides else ""
    console.print(f"{run.experiment.name}: {text}", soft_wrap=True, markup=False)


@contextlib.contextmanager
def _locked(run: ExperimentRun) -> Iterator[None]:
    """Make the folder of a run, and let no other process run the experiment in it meanwhile."""
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {run.folder}: {error.strerror}") from error
    with RunFolder.at(run.folder).command_lock():
        yield


def _by_condition(
    found: Mapping[Task, tuple[ConditionResult, str]],
) -> dict[tuple[str, int], ConditionResult]:
    return {(task.condition, task.seed): result for task, (result, _) in found.items()}


def _make_tasks(run: ExperimentRun, fresh: bool, wanted: Sequence[str] = ()) -> list[Task]:
    """Return the tasks of the wanted conditions, by default of all, after deleting what is not kept."""
    tasks = _list_tasks(run, wanted)
    for temporary in run.folder.rglob(".*.tmp"):  # of a process that was killed while it wrote
        temporary.unlink(missing_ok=True)
    for task in tasks if fresh else ():
        task.file.unlink(missing_ok=True)
    return tasks


def _delete_of_other_sources(tasks: Sequence[Task]) -> None:
    for task in tasks:
        found = read_result(task)
        if found is not None and found[1] != task.fingerprint:
            task.file.unlink(missing_ok=True)


def _list_tasks(run: ExperimentRun, wanted: Sequence[str] = ()) -> list[Task]:
    """Return the tasks of the wanted conditions, by default of all."""
    name, folder = run.experiment.name, run.folder
    with _experiment_errors(run, "its conditions cannot be listed"):
        conditions = [str(condition) for condition in run.experiment.conditions(run.settings)]
    if not conditions or len(set(conditions)) < len(conditions):
        raise ValueError(f"experiment {name}: it needs conditions with unique names, got {conditions}")
    if unknown := [condition for condition in wanted if condition not in conditions]:
        raise ValueError(f"experiment {name}: it has no condition {', '.join(unknown)}")
    settings = plain_settings(run.settings)
    fingerprint = fingerprint_sources(locate(run.name).partition(":")[0])
    return [
        make_task(folder, name, settings, fingerprint, condition, seed)
        for seed in run.seeds
        for condition in wanted or conditions
    ]


def _run_missing(
    run: ExperimentRun, tasks: Sequence[Task], console: Console, workers: int
) -> dict[Task, tuple[ConditionResult, str]]:
    """Return the results of all tasks, each with the fingerprint of the source code that produced it."""
    name = run.experiment.name
    found: TaskResults = {task: read_result(task) for task in tasks}
    missing = [task for task in tasks if found[task] is None]
    if len(missing) < len(tasks):
        _print_kept(console, name, found)
    _print_budget(run, missing, console, workers)
    costs = find_costs(name, run.quick)
    with Progress(console, name, missing, workers, costs.seconds if costs else None) as progress:
        pool = Pool(locate(run.name), plain_settings(run.settings), workers, progress)
        try:
            failures = pool.run(missing)
        except KeyboardInterrupt:
            kept = sum(read_result(task) is not None for task in tasks)
            console.print(
                f"{name}: stopped; {kept} of {len(tasks)} tasks are done and kept, run the same command to "
                "do the others",
                soft_wrap=True,
            )
            raise
    found |= {task: read_result(task) for task in missing}
    failures |= {
        task: "its result file cannot be read"
        for task, result in found.items()
        if result is None and task not in failures
    }
    if failures:
        reasons = "; ".join(f"condition {task}: {reason}" for task, reason in failures.items())
        raise ExperimentError(
            f"{name}: {len(failures)} of {len(tasks)} tasks failed, so there are no new results: {reasons} "
            f"(details in {run.folder / TASKS_FOLDER}; finished tasks are kept)"
        )
    return {task: result for task, result in found.items() if result is not None}


def _print_kept(console: Console, name: str, found: TaskResults) -> None:
    kept = {task: result for task, result in found.items() if result is not None}
    changed = sum(fingerprint != task.fingerprint for task, (_, fingerprint) in kept.items())
    text = f"{name}: {len(kept)} of {len(found)} tasks kept from an earlier run"
    if changed:
        text += f", {changed} of them with other source code"
    console.print(f"{text}; --fresh runs all again", soft_wrap=True)


@contextlib.contextmanager
def _experiment_errors(run: ExperimentRun, problem: str) -> Iterator[None]:
    """Turn any error of an experiment's own code into a sentence that names the experiment."""
    try:
        yield
    except (Exception, SystemExit) as error:
        details = run.folder / TASKS_FOLDER / "error.txt"
        with contextlib.suppress(OSError):
            write_atomically(details, traceback.format_exc().encode("utf-8", "backslashreplace"))
        raise ExperimentError(
            f"{run.experiment.name}: {problem}: {type(error).__name__}: {error} (details in {details})"
        ) from error

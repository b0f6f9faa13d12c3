"""Results of an experiment as files: results.json, README.md and one PNG for each plot."""

import platform
from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Any

from agents.common.files import write_atomically
from social_jepa.config.overrides import build_config
from social_jepa.experiments.framework.document import (
    FORMAT,
    ConditionCosts,
    ResultsDocument,
    decode_document,
)
from social_jepa.experiments.framework.experiment import Experiment, Results
from social_jepa.experiments.framework.figure_io import check_plot_name, draw_png
from social_jepa.experiments.framework.methods import methods_paragraph
from social_jepa.experiments.framework.plot_data import PlotData, record
from social_jepa.experiments.framework.registry import EXPERIMENTS, locate
from social_jepa.experiments.framework.runs import ExperimentRun
from social_jepa.experiments.framework.table import markdown_page
from social_jepa.experiments.framework.tasks import plain_settings
from social_jepa.experiments.framework.threads import one_thread
from social_jepa.records import as_dict
from social_jepa.storage.run_folder import write_json
from social_jepa.system.machine import usable_cpus
from social_jepa.system.versions import versions

RESULTS = "results.json"


class ResultsFileError(ValueError):
    """A results document is missing, damaged or of another format; the text names the command to run."""


def summarize(
    run: ExperimentRun, results: Results, fingerprints: Sequence[str]
) -> tuple[ResultsDocument, dict[str, bytes]]:
    """Return the results document and the PNG files by name.

    Args:
        run: The run.
        results: Results of all tasks.
        fingerprints: Fingerprints of the source code that produced the results; more than one if some tasks
            were kept from before a change.
    """
    experiment, settings = run.experiment, run.settings
    metrics = tuple(metric.to_row() for metric in experiment.metrics(results, settings))
    notes = tuple(str(note) for note in experiment.notes(results, settings))
    plot_data = record(experiment, results, settings)
    images = draw(experiment, PlotData(plot_data, results.conditions, run.seeds), settings)
    document = ResultsDocument(
        format=FORMAT,
        name=experiment.name,
        question=experiment.question,
        protocol=getdoc(import_module(locate(run.name).partition(":")[0])) or "",
        methods=methods_paragraph(experiment, settings, run.seeds),
        quick=run.quick,
        seeds=tuple(run.seeds),
        settings=plain_settings(settings),
        metrics=metrics,
        notes=notes,
        conditions={condition: _costs(results, condition) for condition in results.conditions},
        versions={name: version for name, version in versions().items() if name != "platform"},
        environment={"cpus": usable_cpus(), "machine": platform.machine()},
        source_fingerprints=tuple(fingerprints),
        command=run.command,
        plot_data=plot_data,
        plots=tuple(name.removesuffix(".png") for name in images),
    )
    return document, images


def draw(experiment: Experiment, plot_data: PlotData, settings: Any) -> dict[str, bytes]:
    """Return the PNG files of an experiment's plots by name, drawn from the data behind them."""
    figures = experiment.plots(plot_data, settings)
    return {f"{check_plot_name(name)}.png": draw_png(figure) for name, figure in figures.items()}


def _costs(results: Results, condition: str) -> ConditionCosts:
    found = [results.condition_results[condition, seed] for seed in results.seeds]
    return ConditionCosts(
        seconds=round(sum(result.seconds for result in found) / len(found), 1),
        flops=round(sum(result.flops for result in found) / len(found)),
    )


def write(folder: Path, document: ResultsDocument, images: Mapping[str, bytes]) -> None:
    """Write plots, README.md and, last, results.json, each completely or not at all."""
    for path in folder.glob("*.png"):
        if path.name not in images:
            path.unlink()
    for name, data in images.items():
        write_atomically(folder / name, data)
    write_atomically(folder / "README.md", markdown_page(document).encode())
    write_json(folder / RESULTS, as_dict(document))


def redraw(run: ExperimentRun) -> None:
    """Draw the plots and README.md of a recorded run again from its results.json; nothing is computed.

    Raises:
        ResultsFileError: results.json is missing, or has no plot data that fits the experiment's code.
    """
    document = read_document(run)
    if document.plot_data is None:
        raise ResultsFileError(
            f"{run.folder / RESULTS} was recorded without the data behind its plots: run "
            f"`{run.command_here}` to record it again"
        )
    try:
        settings = build_config(run.experiment.settings, document.settings, ())
        with one_thread():
            plot_data = PlotData(document.plot_data, document.conditions, document.seeds)
            images = draw(run.experiment, plot_data, settings)
    except Exception as error:  # the experiment's code may have changed in any way since
        raise ResultsFileError(
            f"{run.folder / RESULTS} does not fit the code of the experiment any more "
            f"({type(error).__name__}: {error}): run `{run.command_here}` to record it again"
        ) from error
    write(run.folder, document, images)


def read_document(run: ExperimentRun) -> ResultsDocument:
    """Return the results document of a recorded run.

    Raises:
        ResultsFileError: There is none, or it is damaged or of another format.
    """
    path = run.folder / RESULTS
    try:
        return decode_document(path.read_bytes(), path)
    except OSError as error:
        raise ResultsFileError(
            f"cannot read {path} ({error.strerror}): run `{run.command_here}` first"
        ) from error
    except ValueError as error:
        raise ResultsFileError(f"{error}: run `{run.command_here}` to write it again") from error


def find_documents(folder: Path) -> list[ResultsDocument]:
    """Return the results documents below a folder, in the order of the registry, then by name."""
    documents = []
    for path in sorted(folder.glob(f"*/{RESULTS}")):
        try:
            document = decode_document(path.read_bytes(), path)
        except (OSError, ValueError):
            continue  # another program's file
        if document.name == path.parent.name:
            documents.append(document)
    order = {name: index for index, name in enumerate(EXPERIMENTS)}
    return sorted(documents, key=lambda document: order.get(document.name, len(order)))

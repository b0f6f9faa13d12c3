"""Results of an experiment as files: results.json, README.md and one PNG for each plot."""

import json
import platform
from collections.abc import Mapping
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Any

from agents.common.files import write_atomically
from social_jepa.config.overrides import build_config
from social_jepa.experiments.framework.experiment import Experiment, Results
from social_jepa.experiments.framework.figure_io import check_plot_name, draw_png
from social_jepa.experiments.framework.plot_data import PlotData, record
from social_jepa.experiments.framework.registry import EXPERIMENTS, locate
from social_jepa.experiments.framework.runs import ExperimentRun
from social_jepa.experiments.framework.table import markdown_page
from social_jepa.experiments.framework.tasks import plain_settings
from social_jepa.experiments.framework.threads import one_thread
from social_jepa.storage.run_folder import versions, write_json
from social_jepa.system.machine import usable_cpus

RESULTS = "results.json"
FORMAT = 1  # of the results document


class ResultsFileError(ValueError):
    """A results document is missing, damaged or of another format; the text names the command to run."""


def summarize(
    run: ExperimentRun, results: Results, fingerprints: list[str]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the results document and the PNG files by name.

    Args:
        run: The run.
        results: Results of all tasks.
        fingerprints: Fingerprints of the source code that produced the results; more than one if some tasks
            were kept from before a change.
    """
    experiment, settings = run.experiment, run.settings
    document = {
        "format": FORMAT,
        "name": experiment.name,
        "question": experiment.question,
        "protocol": getdoc(import_module(locate(run.name).partition(":")[0])) or "",
        "quick": run.quick,
        "seeds": list(run.seeds),
        "settings": plain_settings(settings),
        "metrics": [metric.as_dict() for metric in experiment.metrics(results, settings)],
        "notes": [str(note) for note in experiment.notes(results, settings)],
        "conditions": {
            condition: {
                "seconds": round(_mean_over_seeds(results, condition, "seconds"), 1),
                "flops": round(_mean_over_seeds(results, condition, "flops")),
            }
            for condition in results.conditions
        },
        "versions": {name: version for name, version in versions().items() if name != "platform"},
        "environment": {"cpus": usable_cpus(), "machine": platform.machine()},
        "source_fingerprints": fingerprints,
        "command": run.command,
        "plot_data": record(experiment, results, settings),
    }
    images = draw(experiment, document, settings)
    document["plots"] = [name.removesuffix(".png") for name in images]
    return document, images


def draw(experiment: Experiment, document: Mapping[str, Any], settings: Any) -> dict[str, bytes]:
    """Return the PNG files of an experiment's plots by name, drawn from its results document."""
    figures = experiment.plots(PlotData(document), settings)
    return {f"{check_plot_name(name)}.png": draw_png(figure) for name, figure in figures.items()}


def _mean_over_seeds(results: Results, condition: str, attribute: str) -> float:
    costs = [getattr(results.condition_results[condition, seed], attribute) for seed in results.seeds]
    return sum(costs) / len(costs)


def write(folder: Path, document: Mapping[str, Any], images: Mapping[str, bytes]) -> None:
    """Write plots, README.md and, last, results.json, each completely or not at all."""
    for path in folder.glob("*.png"):
        if path.name not in images:
            path.unlink()
    for name, data in images.items():
        write_atomically(folder / name, data)
    write_atomically(folder / "README.md", markdown_page(document).encode())
    write_json(folder / RESULTS, document)


def redraw(run: ExperimentRun) -> None:
    """Draw the plots and README.md of a recorded run again from its results.json; nothing is computed.

    Raises:
        ResultsFileError: results.json is missing, or has no plot data that fits the experiment's code.
    """
    document = read_document(run)
    if "plot_data" not in document:
        raise ResultsFileError(
            f"{run.folder / RESULTS} was recorded without the data behind its plots: run "
            f"`{run.command}` to record it again"
        )
    try:
        settings = build_config(run.experiment.settings, document["settings"], ())
        with one_thread():
            images = draw(run.experiment, document, settings)
    except Exception as error:  # the experiment's code may have changed in any way since
        raise ResultsFileError(
            f"{run.folder / RESULTS} does not fit the code of the experiment any more "
            f"({type(error).__name__}: {error}): run `{run.command}` to record it again"
        ) from error
    write(run.folder, document, images)


def read_document(run: ExperimentRun) -> dict[str, Any]:
    """Return the results document of a recorded run.

    Raises:
        ResultsFileError: There is none, or it is damaged or of another format.
    """
    path = run.folder / RESULTS
    try:
        document = json.loads(path.read_text())
        found = document["format"]
    except OSError as error:
        raise ResultsFileError(f"cannot read {path} ({error.strerror}): run `{run.command}` first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsFileError(
            f"{path} is no results document: run `{run.command}` to write it again"
        ) from error
    if found != FORMAT:
        raise ResultsFileError(
            f"{path} has format {found}, this version reads {FORMAT}: run `{run.command}` to write it again"
        )
    return document


def find_documents(folder: Path) -> list[dict[str, Any]]:
    """Return the results documents below a folder, in the order of the registry, then by name."""
    documents = []
    for path in sorted(folder.glob(f"*/{RESULTS}")):
        try:
            document = json.loads(path.read_text())
            if document["format"] == FORMAT and document["name"] == path.parent.name:
                documents.append(document)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another program's file
    order = {name: index for index, name in enumerate(EXPERIMENTS)}
    return sorted(documents, key=lambda document: order.get(document["name"], len(order)))

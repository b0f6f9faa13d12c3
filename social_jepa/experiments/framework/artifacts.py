"""From what all units found to what people read: results.json, pictures, a page and its Markdown twin."""

import json
import platform
from collections.abc import Mapping
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Any

from agents.files import write_atomically
from social_jepa.doctor import usable_cpus
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.figure_io import check_name, draw_png, draw_svg
from social_jepa.experiments.framework.html import RESULTS, write_page
from social_jepa.experiments.framework.registry import locate
from social_jepa.experiments.framework.runs import ExperimentRun
from social_jepa.experiments.framework.table import markdown_page
from social_jepa.experiments.framework.tasks import plain_settings
from social_jepa.storage.run_folder import versions, write_json


def summarize(
    wanted: ExperimentRun, results: Results, sources: list[str]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the results document and the pictures' files.

    Args:
        wanted: What was run.
        results: What all units found.
        sources: Digits of the source files that made them; one, unless some are kept from before a change.
    """
    experiment, settings = wanted.experiment, wanted.settings
    figures = [figure.as_dict() for figure in experiment.metrics(results, settings)]
    drawn = experiment.plots(results, settings)
    files = {}
    for name, picture in drawn.items():
        files[f"{check_name(name)}.png"] = draw_png(picture)
        files[f"{name}.svg"] = draw_svg(picture)
    document = {
        "name": experiment.name,
        "question": experiment.question,
        "protocol": _protocol(wanted),
        "quick": wanted.quick,
        "seeds": list(wanted.seeds),
        "config": plain_settings(settings),
        "figures": figures,
        "notes": [str(note) for note in experiment.notes(results, settings)],
        "pictures": list(drawn),
        "seconds": _mean_by_part(results, "seconds", 1),
        "flops": _mean_by_part(results, "flops", 0),
        "versions": {name: version for name, version in versions().items() if name != "platform"},
        "environment": {"cores": usable_cpus(), "machine": platform.machine()},
        "sources": sources,
        "command": wanted.command,
    }
    return document, files


def _protocol(wanted: ExperimentRun) -> str:
    return getdoc(import_module(locate(wanted.name).partition(":")[0])) or ""


def _mean_by_part(results: Results, what: str, digits: int) -> dict[str, float]:
    """Return a cost of each part, its mean over seeds."""
    parts = dict.fromkeys(part for part, _ in results.condition_results)
    costs = {
        part: [getattr(results.condition_results[part, seed], what) for seed in results.seeds]
        for part in parts
    }
    return {part: round(sum(found) / len(found), digits) for part, found in costs.items()}


def write(folder: Path, document: Mapping[str, Any], pictures: Mapping[str, bytes]) -> None:
    """Write pictures, pages and results, each whole or not at all; where the results are new, all is."""
    for name in _drawn_before(folder):
        if f"{name}.png" not in pictures:
            (folder / f"{name}.png").unlink(missing_ok=True)
            (folder / f"{name}.svg").unlink(missing_ok=True)
    for name, data in pictures.items():
        write_atomically(folder / name, data)
    write_atomically(folder / "README.md", markdown_page(document).encode())
    write_page(folder, document)
    write_json(folder / RESULTS, document)


def _drawn_before(folder: Path) -> list[str]:
    try:
        names = json.loads((folder / RESULTS).read_text())["pictures"]
        return [check_name(str(name)) for name in names]
    except (OSError, ValueError, KeyError, TypeError):
        return []

"""Planned run of an experiment: settings, seeds and folder, checked before anything starts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from social_jepa.experiments.framework.experiment import Experiment
from social_jepa.experiments.framework.registry import build_settings, load
from social_jepa.system.command_line import command

QUICK_SEEDS, MAX_SEEDS = 1, 1000
EVIDENCE = Path("evidence")
QUICK_EVIDENCE = Path("runs/quick-evidence")
CUSTOM_EVIDENCE = Path("runs/custom-evidence")


@dataclass(frozen=True)
class ExperimentRun:
    """A planned run; created by `plan_run`.

    Attributes:
        name: Name on the command line: one of the registry, or "package.module:NAME".
        experiment: The experiment of that name.
        settings: The experiment's settings.
        overrides: Settings that differ, as typed.
        seeds: Consecutive.
        quick: Whether it is the quick run.
        folder: Folder of its results.
    """

    name: str
    experiment: Experiment
    settings: Any
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    quick: bool
    folder: Path

    @property
    def command(self) -> str:
        """Command that runs it again on any machine; results documents record it."""
        return self._command()

    @property
    def command_here(self) -> str:
        """Command that runs it again in the same folder of this machine."""
        above = self.folder.parent
        named = above not in (EVIDENCE, QUICK_EVIDENCE, CUSTOM_EVIDENCE)
        return self._command("--out", above) if named else self._command()

    def _command(self, *out: object) -> str:
        seeds = ["--seeds", len(self.seeds), *(["--quick"] if self.quick else [])]
        return command("experiment", self.name, *out, *seeds, *self.overrides)


def plan_run(
    name: str, overrides: Sequence[str] = (), *, quick: bool = False, seeds: int | None = None,
    out: Path | None = None,
) -> ExperimentRun:  # fmt: skip
    """Return a checked run.

    Args:
        name: Name of the experiment, as accepted by `registry.load`.
        overrides: Settings, "key=value".
        quick: Plan the quick run.
        seeds: Number of seeds; by default those of the experiment, or 1 for a quick run.
        out: Folder above the experiment's own. By default evidence/ for the full run with default settings,
            and a folder below runs/ for any other, so that a trial never replaces the evidence.

    Raises:
        ValueError: A name or setting is unknown, or a value is out of range.
    """
    experiment = load(name)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", experiment.name):
        raise ValueError(
            f"an experiment's name is lowercase words joined by hyphens, got {experiment.name!r}"
        )
    full_seeds = experiment.seeds
    count = (QUICK_SEEDS if quick else len(full_seeds)) if seeds is None else seeds
    if not 1 <= count <= MAX_SEEDS:
        raise ValueError(f"--seeds {count}: must be 1 to {MAX_SEEDS}")
    if out is None:
        full = not overrides and count >= len(full_seeds)
        out = QUICK_EVIDENCE if quick else EVIDENCE if full else CUSTOM_EVIDENCE
    settings = build_settings(experiment, quick, overrides)
    first = 0 if quick else full_seeds.start
    chosen = tuple(range(first, first + count))
    return ExperimentRun(name, experiment, settings, tuple(overrides), chosen, quick, out / experiment.name)

"""What a person asks for: an experiment, its settings, seeds and a folder, checked before anything starts."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from social_jepa.experiments.framework.experiment import Experiment
from social_jepa.experiments.framework.registry import build_settings, load

SEEDS, QUICK_SEEDS, MOST_SEEDS = 3, 1, 1000
EVIDENCE, QUICK_EVIDENCE, OWN_EVIDENCE = (
    Path("evidence"),
    Path("runs/quick-evidence"),
    Path("runs/own-evidence"),
)


@dataclass(frozen=True)
class ExperimentRun:
    """What is to be run; make one with order().

    Attributes:
        name: As typed: one of the catalogue, or "package.module:NAME".
        experiment: What that names.
        settings: The experiment's settings.
        overrides: Those that differ, as typed.
        seeds: From 0 up.
        quick: Whether it is the quick run.
        folder: Where its results go.
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
        """What a person types to run it again."""
        words = ["social-jepa", "experiment", self.name, "--seeds", str(len(self.seeds))]
        return shlex.join([*words, *(["--quick"] if self.quick else []), *self.overrides])


def plan_run(
    name: str, overrides: Sequence[str] = (), *, quick: bool = False, seeds: int | None = None,
    out: Path | None = None,
) -> ExperimentRun:  # fmt: skip
    """Return what is to be run, everything about it checked.

    Args:
        name: As social_jepa.experiments.framework.registry.load takes it.
        overrides: "key=value" of its settings.
        quick: The quick run.
        seeds: How many; by default 3, or 1 of a quick run.
        out: Folder above the experiment's own. By default evidence/ for the full run as it is defined, and
            below runs/ for any other, so that a look never takes the place of the evidence.

    Raises:
        ValueError: An unknown name or setting, or a value that cannot work.
    """
    experiment = load(name)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", experiment.name):
        raise ValueError(f"an experiment is named in small words joined by hyphens, not {experiment.name!r}")
    count = (QUICK_SEEDS if quick else SEEDS) if seeds is None else seeds
    if not 1 <= count <= MOST_SEEDS:
        raise ValueError(f"--seeds {count}: 1 to {MOST_SEEDS} seeds can be run")
    if out is None:
        own = OWN_EVIDENCE if overrides or count < SEEDS else EVIDENCE
        out = QUICK_EVIDENCE if quick else own
    settings = build_settings(experiment, quick, overrides)
    return ExperimentRun(
        name, experiment, settings, tuple(overrides), tuple(range(count)), quick, out / experiment.name
    )

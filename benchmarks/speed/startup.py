"""Startup: seconds until the command line has printed its help, against empty Python and importing torch."""

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.harness import Effort, Metric, alternate, at_most, seconds
from benchmarks.processes import ROOT

MAX_SECONDS = 0.5


def command() -> list[str]:
    """Return the command that starts the command line interface."""
    script = Path(sys.executable).with_name("social-jepa")
    return [str(script)] if script.exists() else [sys.executable, "-m", "social_jepa"]


def time_command(line: Sequence[str]) -> dict[str, float]:
    """Return the seconds of a command from start to exit."""
    quiet = partial(subprocess.run, line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return {"seconds": seconds(quiet)}


def metrics(effort: Effort) -> list[Metric]:
    """Measure the three commands in turns."""
    commands = {
        "help": [*command(), "--help"],
        "empty": [sys.executable, "-c", "pass"],
        "torch": [sys.executable, "-c", "import torch"],
    }

    found = alternate({name: partial(time_command, line) for name, line in commands.items()}, effort.rounds)
    duration = found["help"]["seconds"]
    return [
        Metric(
            "social-jepa --help",
            duration,
            "s",
            "python -c pass",
            found["empty"]["seconds"],
            at_most(MAX_SECONDS),
        ),
        Metric("social-jepa --help", duration, "s", "import torch", found["torch"]["seconds"]),
    ]

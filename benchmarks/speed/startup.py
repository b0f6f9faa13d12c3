"""Start-up: seconds until the command line has said its help, against an empty Python and importing torch."""

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.harness import Effort, Metric, alternate, at_most, seconds
from benchmarks.processes import ROOT

GOAL = 0.5


def command() -> list[str]:
    """Return how a person starts the command line."""
    script = Path(sys.executable).with_name("social-jepa")
    return [str(script)] if script.exists() else [sys.executable, "-m", "social_jepa"]


def start(line: Sequence[str]) -> dict[str, float]:
    """Return how long a command takes from start to exit."""
    quiet = partial(subprocess.run, line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return {"seconds": seconds(quiet)}


def figures(effort: Effort) -> list[Metric]:
    """Start all three in turns."""
    commands = {
        "help": [*command(), "--help"],
        "empty": [sys.executable, "-c", "pass"],
        "torch": [sys.executable, "-c", "import torch"],
    }

    found = alternate({name: partial(start, line) for name, line in commands.items()}, effort.rounds)
    took = found["help"]["seconds"]
    return [
        Metric("social-jepa --help", took, "s", "python -c pass", found["empty"]["seconds"], at_most(GOAL)),
        Metric("social-jepa --help", took, "s", "import torch", found["torch"]["seconds"]),
    ]

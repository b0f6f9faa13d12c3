"""Start-up: seconds until the command line has printed its help, against an empty Python and importing torch."""

import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Effort, Figure, alternate, at_most, seconds
from benchmarks.processes import ROOT

GOAL = 0.5


def command() -> list[str]:
    """Return how a person starts the command line."""
    script = Path(sys.executable).with_name("social-jepa")
    return [str(script)] if script.exists() else [sys.executable, "-m", "social_jepa"]


def figures(effort: Effort) -> list[Figure]:
    """Start all three in turns."""
    commands = {
        "help": [*command(), "--help"],
        "empty": [sys.executable, "-c", "pass"],
        "torch": [sys.executable, "-c", "import torch"],
    }

    def start(name: str) -> dict[str, float]:
        run = lambda: subprocess.run(commands[name], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: E731
        return {"seconds": seconds(run)}

    found = alternate({name: lambda name=name: start(name) for name in commands}, effort.rounds)  # type: ignore[misc]
    took = found["help"]["seconds"]
    return [
        Figure("social-jepa --help", took, "s", "python -c pass", found["empty"]["seconds"], at_most(GOAL)),
        Figure("social-jepa --help", took, "s", "import torch", found["torch"]["seconds"]),
    ]

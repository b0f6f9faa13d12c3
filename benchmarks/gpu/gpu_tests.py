"""GPU tests: those that pytest skips where there is no GPU."""

import re
import subprocess
import sys

from benchmarks.gpu.common import wanted_device
from benchmarks.harness import BenchmarkError, Effort, Metric, at_least, seconds
from benchmarks.processes import OUTPUT_TAIL, ROOT

TIMEOUT = 120.0  # seconds
FOLDERS = ("tests/agents", "tests/env")  # all of them are below these
COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


def count_outcomes(output: str) -> dict[str, int]:
    """Return the number of tests by outcome in the last line of pytest's output."""
    last = output.strip().splitlines()[-1] if output.strip() else ""
    return {name: int(number) for number, name in COUNT.findall(last)}


def metrics(effort: Effort) -> list[Metric]:
    """Run the tests with the marker gpu; on a device that is no GPU they are skipped, which is counted."""
    device, outputs = wanted_device(effort.settings), list[str]()

    def run() -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", *FOLDERS]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=TIMEOUT)
        outputs.append(done.stdout)
        if done.returncode:
            raise BenchmarkError(f"tests on {device} failed: {done.stdout[-OUTPUT_TAIL:]}")

    took, outcomes = seconds(run), count_outcomes(outputs[0])
    passed, skipped = outcomes.get("passed", 0), outcomes.get("skipped", 0)
    threshold = at_least(1, of_ratio=True) if device.type == "cuda" else None
    return [
        Metric("tests of a GPU that passed", passed, "", "of", passed + skipped, threshold),
        Metric("tests of a GPU: duration", took, "s", "limit", TIMEOUT),
    ]

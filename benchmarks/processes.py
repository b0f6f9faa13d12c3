"""What is measured lives in a process of its own, with the environment that it is meant for."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.harness import BenchmarkError

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 3600.0  # seconds that one run of the project may take
TAIL = 600  # characters of what a failed process said last


class Worker:
    """A process that holds one object and calls it whenever asked; use it in a ``with`` block.

    Attributes:
        name: What it holds, as ``module:Class``.
    """

    def __init__(self, name: str, environment: Mapping[str, str] | None = None, **arguments: Any) -> None:
        """Start the process and build the object there.

        Args:
            name: ``module:Class``; its instances are called with keywords and return plain dictionaries.
            environment: Variables over those of this process.
            **arguments: What the object is built with; plain values.
        """
        self.name = name
        self._said = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - it lives as long as the process
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.processes", name, json.dumps(arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._questions, self._answers = process, process.stdin, process.stdout

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._questions.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._said.close()

    def __call__(self, **question: Any) -> dict[str, Any]:
        """Call the object over there and return what it returned.

        Raises:
            BenchmarkError: The process died.
        """
        try:
            print(json.dumps(question), file=self._questions, flush=True)
            answer = self._answers.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait()
            raise BenchmarkError(f"the process of {self.name} died: {_tail(self._said)}")
        return json.loads(answer)


@dataclass(frozen=True)
class ProjectRun:
    """One run of the project as a person starts it: the graph document and the seconds from start to exit."""

    document: dict[str, Any]
    seconds: float


def run_project(
    settings: Sequence[str], flags: Sequence[str] = (), watch: Callable[[int], None] | None = None
) -> ProjectRun:
    """Run ``social-jepa run`` in a folder that is thrown away.

    Args:
        settings: KEY=VALUE.
        flags: For example --quick.
        watch: Called about once a second with the number of the process.

    Raises:
        BenchmarkError: It failed or took longer than an hour.
    """
    with tempfile.TemporaryDirectory(prefix="social-jepa-bench-") as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "social_jepa", "run", *flags, "--json", "--out", str(out), *settings]
        with (Path(folder) / "stdout").open("w+") as printed, (Path(folder) / "stderr").open("w+") as said:
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=printed, stderr=said, cwd=ROOT)
            try:
                _wait(process, watch)
            finally:
                process.terminate()  # does nothing after a clean end; else Ray ends with its driver
                process.wait()
            took = time.perf_counter() - began
            if process.returncode:
                raise BenchmarkError(
                    f"{' '.join(command[1:4])} ended with {process.returncode}: {_tail(said)}"
                )
            printed.seek(0)
            return ProjectRun(json.load(printed), took)


def _wait(process: "subprocess.Popen[bytes]", watch: Callable[[int], None] | None) -> None:
    until = time.perf_counter() + LONGEST
    while True:
        try:
            process.wait(timeout=1.0)
            return
        except subprocess.TimeoutExpired:
            if time.perf_counter() > until:
                raise BenchmarkError(f"a run did not end within {LONGEST:g} s") from None
            if watch:
                watch(process.pid)


def _tail(file: Any) -> str:
    file.seek(0)
    return file.read()[-TAIL:].strip()


def serve(name: str, arguments: str) -> None:
    """Build the object that a Worker asked for and answer on stdout, one line for each line of stdin."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    module, _, kind = name.partition(":")
    measure = getattr(import_module(module), kind)(**json.loads(arguments))
    for line in sys.stdin:
        print(json.dumps(measure(**json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])

"""Worker processes for measurements, and whole runs of the project as subprocesses."""

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
RUN_TIMEOUT = 3600.0  # seconds for one run of the project
OUTPUT_TAIL = 600  # characters of a failed process's output in error messages


class Worker:
    """A process that holds one object and calls it on request; a context manager.

    Attributes:
        name: Class of the object, as ``module:Class``.
    """

    def __init__(self, name: str, environment: Mapping[str, str] | None = None, **arguments: Any) -> None:
        """Start the process and build the object there.

        Args:
            name: ``module:Class``; instances are called with keywords and return plain dictionaries.
            environment: Variables added to those of this process.
            **arguments: Of the class, plain values.
        """
        self.name = name
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - as long as the process
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.processes", name, json.dumps(arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, encoding="utf-8", cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._requests, self._replies = process, process.stdin, process.stdout

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._requests.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._replies.close()
        self._stderr.close()

    def __call__(self, **request: Any) -> dict[str, Any]:
        """Call the object in the worker process and return its result.

        Raises:
            BenchmarkError: The process died.
        """
        try:
            print(json.dumps(request), file=self._requests, flush=True)
            reply = self._replies.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            self._process.wait()
            raise BenchmarkError(f"the process of {self.name} died: {_tail(self._stderr)}")
        return json.loads(reply)


@dataclass(frozen=True)
class ProjectRun:
    """One run of the project from the command line: its graph document and the seconds from start to exit."""

    document: dict[str, Any]
    seconds: float


def run_project(
    settings: Sequence[str], flags: Sequence[str] = (), on_poll: Callable[[int], None] | None = None,
    poll_seconds: float = 1.0,
) -> ProjectRun:  # fmt: skip
    """Run ``social-jepa run`` in a temporary folder.

    Args:
        settings: KEY=VALUE.
        flags: For example --quick.
        on_poll: Called again and again with the process id.
        poll_seconds: Seconds between two calls.

    Raises:
        BenchmarkError: It failed or ran longer than RUN_TIMEOUT.
    """
    with tempfile.TemporaryDirectory(prefix="social-jepa-bench-") as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "social_jepa", "run", *flags, "--json", "--out", str(out), *settings]
        with (
            (Path(folder) / "stdout").open("w+", encoding="utf-8") as stdout,
            (Path(folder) / "stderr").open("w+", encoding="utf-8") as stderr,
        ):
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=ROOT)
            try:
                _wait(process, on_poll, poll_seconds)
            finally:
                process.terminate()  # no effect after a normal exit; otherwise Ray exits with its driver
                process.wait()
            took = time.perf_counter() - began
            if process.returncode:
                raise BenchmarkError(
                    f"{' '.join(command[1:4])} ended with {process.returncode}: {_tail(stderr)}"
                )
            stdout.seek(0)
            return ProjectRun(json.load(stdout), took)


def _wait(
    process: "subprocess.Popen[bytes]", on_poll: Callable[[int], None] | None, poll_seconds: float
) -> None:
    deadline = time.perf_counter() + RUN_TIMEOUT
    while True:
        try:
            process.wait(timeout=poll_seconds)
            return
        except subprocess.TimeoutExpired:
            if time.perf_counter() > deadline:
                raise BenchmarkError(f"a run did not end within {RUN_TIMEOUT:g} s") from None
            if on_poll:
                on_poll(process.pid)


def _tail(file: Any) -> str:
    file.seek(0)
    return file.read()[-OUTPUT_TAIL:].strip()


def serve(name: str, arguments: str) -> None:
    """Build the object of a Worker and reply on stdout, one line for each line of stdin."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries must not mix with the replies
    module, _, class_name = name.partition(":")
    measure = getattr(import_module(module), class_name)(**json.loads(arguments))
    for line in sys.stdin:
        print(json.dumps(measure(**json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])

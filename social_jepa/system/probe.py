"""Run code in a new process: what crashes or hangs there ends neither the caller nor its other checks."""

import os
import subprocess
import sys

from social_jepa.system.imports import OURS

PROBE_SECONDS = 120  # importing torch from a cold disk takes up to a minute


class ProbeError(Exception):
    """A probe failed; the message is its last line."""


def run_probe(code: str, *arguments: str, seconds: float = PROBE_SECONDS) -> str:
    """Run code in a new Python process and return its last line of output.

    Args:
        code: Program; one that prints a line for each step has a result although it is late.
        arguments: Its sys.argv[1:].
        seconds: Time that it may take.

    Raises:
        ProbeError: It failed, or timed out without a line.
    """
    search_path = os.pathsep.join([str(OURS), *filter(None, [os.environ.get("PYTHONPATH")])])
    # pyglet reads the first when it is imported; there may be no display
    environ = {**os.environ, "PYGLET_HEADLESS": "True", "PYTHONPATH": search_path}
    # -P: a file of the current folder must not hide a package
    command = [sys.executable, "-P", "-c", code, *arguments]
    try:
        done = subprocess.run(
            command, env=environ, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode("utf-8", "replace") if isinstance(error.stdout, bytes) else ""
        if complete := said.rpartition("\n")[0].strip():
            return complete.splitlines()[-1]
        raise ProbeError(f"no answer within {seconds:g} seconds") from error
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    if done.returncode or not lines:
        raise ProbeError(lines[-1] if lines else f"ended with status {done.returncode} without output")
    return lines[-1]

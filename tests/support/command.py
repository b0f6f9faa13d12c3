"""Run the command line in tests: `call` in this process, `spawn` in a subprocess."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import psutil

from social_jepa.cli.app import main

TINY = (
    "scene.renderer=toy", "scene.frame_size=32", "scene.objects=1", "agents.count=2",
    "model.dim=4", "model.width=8", "model.hidden=32",
    "training.steps=60", "training.segments=32", "training.replay_ticks=512", "training.core_eval_ticks=256",
    "negotiation.pool_ticks=64", "negotiation.anchors=32", "negotiation.heldout=32",
)  # fmt: skip


class CommandResult(NamedTuple):
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


def call(*words: object) -> CommandResult:
    """Run the command line in this process; an exception that it does not handle propagates."""
    out, err = io.StringIO(), io.StringIO()
    status, handlers = 0, {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    with (
        mock.patch.object(sys, "argv", ["social-jepa", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return CommandResult(status, out.getvalue(), err.getvalue())


def spawn(folder: Path, *words: object) -> subprocess.Popen:
    """Start the command line as the leader of a process group, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "social_jepa", *map(str, words)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(process: subprocess.Popen, text: str) -> str:
    """Read stderr up to a line with this text, and return all lines read."""
    read = ""
    for line in process.stderr:
        read += line
        if text in line:
            return read
    raise AssertionError(f"the command ended before it printed {text!r}: {read}")


def children(pid: int) -> list[tuple[int, str]]:
    """Return (pid, command line) of a process and all of its descendants: Ray's daemons, agents."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append((process.pid, " ".join(process.cmdline())))
    return found


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def interrupt(process: subprocess.Popen) -> None:
    """Send SIGINT to every process of the group, as Ctrl-C in a terminal does."""
    os.killpg(process.pid, signal.SIGINT)

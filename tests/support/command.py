"""The command as a person types it: `call` in this process, `spawn` in one of its own."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from social_jepa.cli.app import main

TINY = (
    "scene.renderer=toy", "scene.frame_size=32", "scene.objects=1", "agents.count=2",
    "model.dim=4", "model.width=8", "model.hidden=32",
    "training.steps=60", "training.segments=32", "training.replay_ticks=512", "training.core_eval_ticks=256",
    "negotiation.pool_ticks=64", "negotiation.anchors=32", "negotiation.heldout=32",
)  # fmt: skip


class Said(NamedTuple):
    status: int
    out: str
    err: str


def call(*words: object) -> Said:
    """Run the command line in this process; a traceback of it fails the test that calls."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        mock.patch.object(sys, "argv", ["social-jepa", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as leaving:
            status = int(leaving.code or 0)
    return Said(status, out.getvalue(), err.getvalue())


def spawn(folder: Path, *words: object) -> subprocess.Popen:
    """Start the command as the leader of a process group, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "social_jepa", *map(str, words)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(process: subprocess.Popen, text: str) -> str:
    """Read stderr up to a line with this text, and return what was read."""
    read = ""
    for line in process.stderr:
        read += line
        if text in line:
            return read
    raise AssertionError(f"the command ended before it said {text!r}: {read}")


def children(pid: int) -> list[tuple[int, str]]:
    """A command's process and all that descend from it, with their titles: Ray's daemons, its agents."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listing.stdout.splitlines()]
    family = {pid}
    for _ in rows:
        more = {int(child) for child, parent, _ in rows if int(parent) in family} - family
        if not more:
            break
        family |= more
    return [(int(child), title) for child, _, title in rows if int(child) in family]


def alive(pid: int) -> bool:
    """Whether a process still does something; one that ended and was not reaped does not count."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def interrupt(process: subprocess.Popen) -> None:
    """Press Ctrl-C: the terminal tells every process of the group."""
    os.killpg(process.pid, signal.SIGINT)

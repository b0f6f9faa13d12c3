"""Units in processes of their own: a few at a time, each fresh, so that none can disturb another."""

import json
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from social_jepa.experiments.framework.tasks import Task
from social_jepa.experiments.framework.worker import work

BEAT = 1.0  # seconds between two looks at the clock while nothing is said
PATIENCE = 5.0  # seconds that a process has to end by itself


class Watch(Protocol):
    """Is told how the units do."""

    def began(self, unit: Task) -> None:
        """A unit runs now."""

    def said(self, unit: Task, text: str) -> None:
        """A unit told something."""

    def ended(self, unit: Task, seconds: float, failure: str) -> None:
        """A unit is done, or failed for a reason."""

    def beat(self) -> None:
        """Time passed."""


@dataclass
class _Running:
    """One unit's process."""

    unit: Task
    process: BaseProcess
    began: float = field(default_factory=time.monotonic)
    ended: bool = False


class Pool:
    """Runs units of one experiment."""

    def __init__(self, name: str, config: Mapping[str, Any], workers: int, watch: Watch) -> None:
        """Take what all units share.

        Args:
            name: The experiment, as social_jepa.experiments.framework.registry.load takes it.
            config: All settings, as plain values.
            workers: How many units run at a time.
            watch: Is told how they do.
        """
        self._name, self._config, self._watch = name, dict(config), watch
        self._workers = workers
        self._running: dict[Connection, _Running] = {}
        self._failures: dict[Task, str] = {}

    def run(self, units: Sequence[Task]) -> dict[Task, str]:
        """Run units; return the reasons of those that failed."""
        waiting = deque(units)
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self._workers:
                    self._start(waiting.popleft())
                for ready in wait(list(self._running), timeout=BEAT):
                    assert isinstance(ready, Connection)
                    self._listen(ready)
                self._watch.beat()
        finally:
            self._stop()
        return dict(self._failures)

    def _start(self, unit: Task) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would take over locks and threads of torch
        ours, theirs = context.Pipe(duplex=False)
        given = asdict(unit) | {"file": str(unit.file)}
        process = context.Process(target=work, args=(theirs, self._name, self._config, given))
        # Born with SIGINT blocked: Ctrl-C reaches the whole group, and the parent ends its children.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # the end of the process then ends the pipe
        self._running[ours] = _Running(unit, process)
        self._watch.began(unit)

    def _listen(self, said: Connection) -> None:
        running = self._running[said]
        try:
            kind, what = json.loads(said.recv_bytes())
        except (EOFError, OSError):
            self._close(said)
            return
        if kind == "said":
            self._watch.said(running.unit, what)
        else:
            self._end(running, what if kind == "failed" else "")
            self._close(said)

    def _end(self, running: _Running, failure: str) -> None:
        running.ended = True
        if failure:
            self._failures[running.unit] = failure
        self._watch.ended(running.unit, time.monotonic() - running.began, failure)

    def _close(self, said: Connection) -> None:
        running = self._running.pop(said)
        said.close()
        running.process.join(PATIENCE)
        if running.process.is_alive():
            running.process.kill()
            running.process.join()
        if not running.ended:
            self._end(running, _last_words(running.process.exitcode))
        running.process.close()

    def _stop(self) -> None:
        """End what still runs, because the run was interrupted."""
        for running in self._running.values():
            running.ended = True
            running.process.terminate()
        for said in list(self._running):
            self._close(said)


def _last_words(status: int | None) -> str:
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        hint = " (too little memory, perhaps)" if -status == signal.SIGKILL else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with status {status} before it was done"

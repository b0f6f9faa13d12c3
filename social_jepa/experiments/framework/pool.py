"""Pool of processes that run the tasks of an experiment, each task in a fresh process.

`concurrent.futures.ProcessPoolExecutor` is not used: when one of its processes is killed, for example for
lack of memory, it breaks and fails all tasks, and it does not tell the signal. Here a killed process fails
its own task only. Messages of a process arrive on its own pipe, so no further process is needed for a queue.
"""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from social_jepa.experiments.framework.tasks import Task
from social_jepa.experiments.framework.worker import run_task

REFRESH_SECONDS = 1.0  # longest time between two calls of the listener's `refresh`
EXIT_SECONDS = 5.0  # time for a process to end before it is killed


class ProgressListener(Protocol):
    """Receives the progress of tasks."""

    def task_started(self, task: Task) -> None:
        """Handle the start of a task."""

    def task_logged(self, task: Task, text: str) -> None:
        """Handle a progress message of a task."""

    def task_ended(self, task: Task, seconds: float, failure: str) -> None:
        """Handle the end of a task; `failure` is empty if it is done."""

    def refresh(self) -> None:
        """Handle the passing of time."""


@dataclass
class _Process:
    """The process of one task."""

    task: Task
    process: BaseProcess
    started: float = field(default_factory=time.monotonic)
    reported: bool = False  # whether the end of the task was reported


class Pool:
    """Runs tasks of one experiment."""

    def __init__(
        self, name: str, settings: Mapping[str, Any], workers: int, listener: ProgressListener
    ) -> None:
        """Create a pool without processes.

        Args:
            name: Name of the experiment, as accepted by `registry.load`.
            settings: All settings, as returned by `plain_settings`.
            workers: Number of tasks that run at a time.
            listener: Receives the progress of tasks.
        """
        self._name, self._settings, self._workers, self._listener = name, settings, workers, listener
        self._processes: dict[Connection, _Process] = {}
        self._failures: dict[Task, str] = {}

    def run(self, tasks: Sequence[Task]) -> dict[Task, str]:
        """Run tasks; return the reasons of those that failed."""
        waiting = deque(tasks)
        try:
            while waiting or self._processes:
                while waiting and len(self._processes) < self._workers:
                    self._start(waiting.popleft())
                for connection in wait(list(self._processes), timeout=REFRESH_SECONDS):
                    assert isinstance(connection, Connection)
                    self._receive(connection)
                self._listener.refresh()
        finally:
            self._terminate()
        return dict(self._failures)

    def _start(self, task: Task) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks and threads of torch
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=run_task, args=(sender, self._name, self._settings, task))
        # The process inherits a blocked SIGINT: Ctrl-C reaches all processes, but this one ends the others.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sender.close()  # the pipe then ends with the process
        self._processes[receiver] = _Process(task, process)
        self._listener.task_started(task)

    def _receive(self, connection: Connection) -> None:
        running = self._processes[connection]
        try:
            kind, text = connection.recv()
        except (EOFError, OSError):
            self._close(connection)
            return
        if kind == "log":
            self._listener.task_logged(running.task, text)
        else:
            self._report_end(running, text)
            self._close(connection)

    def _report_end(self, running: _Process, failure: str) -> None:
        running.reported = True
        if failure:
            self._failures[running.task] = failure
        self._listener.task_ended(running.task, time.monotonic() - running.started, failure)

    def _close(self, connection: Connection) -> None:
        running = self._processes.pop(connection)
        connection.close()
        running.process.join(EXIT_SECONDS)
        if running.process.is_alive():
            running.process.kill()
            running.process.join()
        if not running.reported:
            self._report_end(running, _exit_reason(running.process.exitcode))
        running.process.close()

    def _terminate(self) -> None:
        """End all processes, because the run was interrupted."""
        for running in self._processes.values():
            running.reported = True
            running.process.terminate()
        for connection in list(self._processes):
            self._close(connection)


def _exit_reason(status: int | None) -> str:
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        hint = " (out of memory, perhaps)" if -status == signal.SIGKILL else ""
        return f"its process was ended by {name}{hint}"
    return f"its process exited with status {status} before it was done"

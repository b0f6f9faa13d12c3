"""Process of one task: it runs the condition, writes the result file and sends progress messages.

The modules imported at the top do not import numpy: the number of threads has to be set before that.
"""

import contextlib
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from social_jepa.experiments.framework.tasks import Task
from social_jepa.experiments.framework.threads import ONE_THREAD, one_thread


def run_task(connection: Connection, name: str, settings: Mapping[str, Any], task: Task) -> None:
    """Run a task and write its result file; the target of a new process.

    Sends ("log", text) any number of times, then ("done", "") or ("failed", reason).

    Args:
        connection: Receives the messages.
        name: Name of the experiment, as accepted by `registry.load`.
        settings: All settings, as returned by `plain_settings`.
        task: The task.
    """
    os.environ |= ONE_THREAD
    os.dup2(2, 1)  # a condition's prints are progress; stdout is for results
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the parent has ended
        try:
            _run(connection, name, settings, task)
            connection.send(("done", ""))
        except BrokenPipeError:
            raise
        except (Exception, SystemExit) as error:  # an experiment's code may raise anything
            with contextlib.suppress(OSError):
                task.file.parent.mkdir(parents=True, exist_ok=True)
                task.file.with_suffix(".txt").write_text(
                    traceback.format_exc(), encoding="utf-8", errors="backslashreplace"
                )
            connection.send(("failed", f"{type(error).__name__}: {error}"))


def _run(connection: Connection, name: str, settings: Mapping[str, Any], task: Task) -> None:
    from social_jepa.config.overrides import build_config
    from social_jepa.experiments.framework.registry import load
    from social_jepa.experiments.framework.task_results import check_result, write_result

    experiment = load(name)
    built = build_config(experiment.settings, dict(settings), ())
    started = time.process_time()
    with one_thread():
        result = experiment.run(
            task.condition, task.seed, built, lambda text: connection.send(("log", str(text)))
        )
    seconds = time.process_time() - started
    check_result(result)
    write_result(task, replace(result, seconds=seconds))


def _exit_with_parent() -> None:
    """End this process when its parent has ended for any reason."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

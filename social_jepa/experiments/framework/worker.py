"""The process of one unit: it runs the part, keeps what it found, and tells how it goes.

Nothing heavy is imported at the top: the number of threads has to be set before numpy and torch are loaded.
"""

import contextlib
import json
import multiprocessing
import os
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from social_jepa.experiments.framework.threads import one_thread

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def work(said: Connection, name: str, config: dict[str, Any], unit: dict[str, Any]) -> None:
    """Run one unit and write its outcome; to be started in a fresh process.

    It says JSON messages: ["said", text] while it works, then ["done", null] or ["failed", reason].

    Args:
        said: Where it says them.
        name: The experiment, as social_jepa.experiments.framework.registry.load takes it.
        config: All settings, as plain values.
        unit: Attributes of the Unit; its file as text.
    """
    os.environ |= dict.fromkeys(
        _THREADS, "1"
    )  # units run side by side; and one order of sums on every machine
    os.dup2(2, 1)  # what a part prints is progress: results alone go to stdout
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        try:
            _run(said, name, config, unit)
            _tell(said, "done", None)
        except BrokenPipeError:
            raise
        except (Exception, SystemExit) as error:  # whatever a part raises; the other units go on
            _keep_traceback(unit["file"])
            _tell(said, "failed", f"{type(error).__name__}: {error}")


def _run(said: Connection, name: str, config: dict[str, Any], given: dict[str, Any]) -> None:
    import dataclasses

    from social_jepa.config.overrides import build_config
    from social_jepa.experiments.framework.registry import load
    from social_jepa.experiments.framework.tasks import Task, check_result, write_result

    experiment, unit = load(name), Task(**{**given, "file": Path(given["file"])})
    settings = build_config(experiment.settings, config, ())
    began = time.perf_counter()
    with one_thread():
        outcome = experiment.run(
            unit.condition, unit.seed, settings, lambda text: _tell(said, "said", str(text))
        )
    seconds = time.perf_counter() - began
    check_result(outcome)
    write_result(unit, dataclasses.replace(outcome, seconds=seconds))


def _keep_traceback(file: str) -> None:
    """Keep what a developer wants to read beside the unit's file; a person gets a sentence."""
    with contextlib.suppress(OSError):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).with_suffix(".txt").write_text(traceback.format_exc())


def _tell(said: Connection, kind: str, what: object) -> None:
    said.send_bytes(json.dumps([kind, what]).encode())


def _leave_with_parent() -> None:
    """Do not outlive the parent, however it ended: nobody would wait for the outcome."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

"""Records of failed agents, and the files with their tracebacks in the run folder."""

import logging
from typing import Literal

from agents.common.files import write_atomically
from agents.failure import Failure
from agents.report import AgentReport
from social_jepa.records import FailureRecord
from social_jepa.runtime.logs import log_path
from social_jepa.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)

HUNG_SECONDS = 600.0  # without progress after which an agent of a batch run counts as hung ...
HUNG_FACTOR = 100.0  # ... unless that is less than so many times its longest step


def record_error(
    folder: RunFolder, failure: Failure, cause: Literal["error", "hung", "report"] = "error"
) -> FailureRecord:
    """Write the traceback of a failure to ``logs/<agent>.traceback.txt``; return the record that names it."""
    path = log_path(folder.path, failure.agent).with_name(f"{failure.agent}.traceback.txt")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, failure.traceback.encode("utf-8", "backslashreplace"))
    except OSError as error:
        logger.warning("the traceback of %s cannot be written to %s: %s", failure.agent, path, error)
        return FailureRecord.of(failure, cause)
    return FailureRecord.of(failure, cause, str(path))


def find_hang(name: str, report: AgentReport) -> Failure | None:
    """Return the failure of an agent that made no step for far longer than any of its steps took.

    An agent whose first step has not ended yet never counts as hung: nothing says how long it takes.
    """
    activity, progress = report.activity, report.progress
    if activity is None or not activity.longest_step:
        return None
    if activity.idle_seconds < max(HUNG_SECONDS, HUNG_FACTOR * activity.longest_step):
        return None
    return Failure(
        agent=name, phase=progress.phase if progress else "starting", step=progress.step if progress else 0,
        type="no step",
        message=f"{activity.idle_seconds:.0f} s, though its longest one took {activity.longest_step:.1f} s",
        file=activity.file, line=activity.line, traceback=activity.stack,
    )  # fmt: skip

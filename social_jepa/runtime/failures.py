"""Records of failed agents, and the files with their tracebacks in the run folder."""

import logging
from typing import Literal

from agents.common.files import write_atomically
from agents.failure import Failure
from social_jepa.records import FailureRecord
from social_jepa.runtime.logs import log_path
from social_jepa.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)


def record_error(
    folder: RunFolder, failure: Failure, cause: Literal["error", "report"] = "error"
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

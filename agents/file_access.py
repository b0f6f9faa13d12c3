"""Where an agent's process keeps its files: in the run folder, or in a scratch folder and sent from there.

The run folder is on the supervisor's machine. An agent whose machine sees that folder writes into it. Any
other agent writes into a scratch folder of its own machine and sends each file to its supervisor; a new
incarnation fetches them from there. No Ray here, and no peer: weights travel between an agent and its
supervisor only.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.common.files import PUBLISHED, UnsavedFile
from agents.file_sender import FileNotSentError, FileSender
from agents.file_transfer import FILES, AgentFiles, fetch
from agents.logs import log_to_buffer, log_to_file, stop_logging
from agents.scratch_folder import ScratchFolder

logger = logging.getLogger(__name__)

SupervisorCall = Callable[..., Any]  # (method, *arguments) -> its result


class FileAccess:
    """Where an agent's process keeps its files: in the run folder if it is visible, else in a scratch folder.

    Attributes:
        folder: Folder of the agent's files on this machine.
        remote: Whether that is a scratch folder, whose files are sent to the supervisor.
    """

    def __init__(self, call: SupervisorCall, name: str, incarnation: int, folder: str, log_file: str) -> None:
        """Find the run folder; where it is not visible, fetch the agent's files and start sending.

        Args:
            call: Calls a method of the supervisor and returns its result.
            name: Name of the agent.
            incarnation: Its incarnation.
            folder: Its folder in the run folder.
            log_file: Its log file, see `agents.logs.log_to_file`; empty for none.

        Raises:
            OSError: The files cannot be fetched.
        """
        files: AgentFiles = call("locate_files", name)
        self.remote = not files.visible()
        self.folder = folder
        self._scratch: ScratchFolder | None = None
        self._sender: FileSender | None = None
        self._log: logging.Handler | None = None
        if self.remote:
            self._log = log = log_to_buffer(name)
            self._scratch = ScratchFolder(name)
            self.folder = str(self._scratch.path)
            logger.info("%s does not see %s: its files are kept in %s and sent", name, folder, self.folder)
            fetch(files, self._scratch.path, lambda file, offset: call("read_file", name, file, offset))
            self._sender = FileSender(
                Path(folder),
                lambda chunk: bool(call("store_file", name, incarnation, chunk)),
                lambda lines: call("append_log", name, lines),
                log,
            )
        elif log_file:
            self._log = log_to_file(log_file, name)

    def saved(self, path: Path) -> None:
        """Tell that a file of the agent has been written."""
        if self._sender is not None:
            self._sender.send(path)

    def published_arrived(self) -> bool:
        """Return whether the newest published model is in the run folder."""
        return self._sender is None or not self._sender.is_waiting(PUBLISHED)

    def arrived(self) -> bool:
        """Return whether the newest versions of all files are in the run folder."""
        return self._sender is None or not any(map(self._sender.is_waiting, FILES))

    def unsaved(self) -> tuple[UnsavedFile, ...]:
        """Return the files of the run folder that could not be written."""
        return tuple(self._sender.files.unsaved.values()) if self._sender is not None else ()

    def close(self, timeout: float) -> None:
        """Send what is left, and remove the scratch folder; give up after a timeout in seconds.

        Raises:
            FileNotSentError: It gave up; the scratch folder stays.
        """
        if self._sender is not None:
            try:
                self._sender.close(timeout)
            except FileNotSentError:
                if self._scratch is not None:
                    self._scratch.keep()
                raise
            finally:
                self._stop_logging()
        if self._scratch is not None:
            self._scratch.close()

    def discard(self) -> None:
        """Send nothing more, and remove the scratch folder: the agent is no longer wanted."""
        if self._sender is not None:
            self._sender.discard()
        self._stop_logging()
        if self._scratch is not None:
            self._scratch.close()

    def _stop_logging(self) -> None:
        if self._log is not None:
            stop_logging(self._log)

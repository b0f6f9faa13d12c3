"""Files of agents in a run folder, for agents on machines that do not see it."""

import logging
import os
import secrets
import threading
from collections import defaultdict

from agents.common.files import write_atomically
from agents.file_transfer import CHUNK_BYTES, FILES, FOLDER_ID, AgentFiles, FileChunk, StoredFile, describe
from social_jepa.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)


class AgentFileStore:
    """Write and read the files of agents on the machine where the run folder is.

    Its methods may be called from several threads.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Give the run folder a new id; while it cannot be written, no agent takes a folder for it."""
        self._folder = folder
        self._id = secrets.token_hex(16)  # a new one each time, which no copy of the folder can hold
        self._guards: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)  # one for each agent
        try:
            write_atomically(folder.path / FOLDER_ID, self._id.encode())
        except OSError as error:  # agents then send their files, which may be written later
            logger.warning("%s cannot be written: %s", error.filename, error.strerror)

    def locate(self, name: str) -> AgentFiles:
        """Return the path and the id of the run folder, and the files of an agent in it."""
        stored: dict[str, StoredFile] = {}
        for file in FILES:
            path = self._folder.agent(name) / file
            if path.exists():
                with path.open("rb") as opened:
                    stored[file] = describe(opened)
        return AgentFiles(str(self._folder.path), self._id, stored)

    def read(self, name: str, file: str, offset: int) -> bytes:
        """Return a part of a file, at most CHUNK_BYTES from an offset on; empty at its end.

        Raises:
            ValueError: It is not a file of agents.
            OSError: It cannot be read.
        """
        _check_name(file)
        with (self._folder.agent(name) / file).open("rb") as opened:
            opened.seek(offset)
            return opened.read(CHUNK_BYTES)

    def write(self, name: str, chunk: FileChunk) -> None:
        """Write a part of a file; with its last part the file appears, complete and compared by its digest.

        Raises:
            ValueError: It is not a file of agents, or the parts are not the file that was announced.
            OSError: It cannot be written.
        """
        _check_name(chunk.file)
        path = self._folder.agent(name) / chunk.file
        part = path.with_name(f".{chunk.file}.part")
        with self._guards[name]:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("r+b" if chunk.offset and part.exists() else "w+b") as file:
                file.seek(chunk.offset)
                file.write(chunk.data)
                if chunk.offset + len(chunk.data) < chunk.whole.size:
                    return
                file.truncate()
                found = describe(file)
                file.flush()
                os.fsync(file.fileno())
            if found != chunk.whole:
                part.unlink()
                raise ValueError(f"{chunk.file} of {name} arrived incomplete or damaged: it is sent again")
            part.replace(path)


def _check_name(file: str) -> None:
    if file not in FILES:
        raise ValueError(f"{file!r} is not a file of an agent: choose from {', '.join(FILES)}")

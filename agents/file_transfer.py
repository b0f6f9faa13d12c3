"""Files of an agent in parts, as they travel between its process and its supervisor, which share no disk."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path

from agents.common.files import CHECKPOINT, PUBLISHED, digest, write_atomically

logger = logging.getLogger(__name__)

FILES = (CHECKPOINT, PUBLISHED)
FOLDER_ID = ".folder-id"  # file of a run folder, with a text that its supervisor chose when it started
CHUNK_BYTES = 16 * 2**20  # bytes sent at a time, so that a large model fills no object store


@dataclass(frozen=True)
class StoredFile:
    """Size in bytes and `agents.common.files.digest` of a file that the supervisor has."""

    size: int
    digest: str


@dataclass(frozen=True)
class FileChunk:
    """Part of a file.

    Attributes:
        file: Name of the file, one of `FILES`.
        offset: Position of the part in the file, bytes.
        data: The part.
        whole: The file that it is a part of.
    """

    file: str
    offset: int
    data: bytes
    whole: StoredFile


@dataclass(frozen=True)
class AgentFiles:
    """What the supervisor has of an agent.

    Attributes:
        run_folder: Path of the run folder on the supervisor's machine.
        folder_id: Content of its file `FOLDER_ID`.
        stored: Files of the agent in it, by name.
    """

    run_folder: str
    folder_id: str
    stored: Mapping[str, StoredFile]

    def visible(self) -> bool:
        """Return whether this machine sees the same run folder and may write into it.

        The path alone proves nothing: another machine may have a folder of its own there, even a copy.
        """
        path = Path(self.run_folder)
        try:
            return (path / FOLDER_ID).read_text(encoding="utf-8") == self.folder_id and os.access(
                path, os.W_OK
            )
        except (OSError, ValueError):
            return False


def describe(file: BufferedReader | BufferedRandom) -> StoredFile:
    """Return size and digest of an open file, and rewind it."""
    file.seek(0)
    text = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    size = file.tell()
    file.seek(0)
    return StoredFile(size, text)


def chunks(path: Path) -> Iterator[FileChunk]:
    """Yield the parts of a file, in order; one that is replaced meanwhile is still read as it was.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        whole = describe(file)
        while data := file.read(CHUNK_BYTES):
            yield FileChunk(path.name, file.tell() - len(data), data, whole)


def fetch(files: AgentFiles, folder: Path, read: Callable[[str, int], bytes]) -> None:
    """Write what the supervisor has of an agent into a folder.

    Args:
        files: What it has.
        folder: Folder to write into.
        read: Returns the bytes of a file from an offset on, at most `CHUNK_BYTES`.

    Raises:
        OSError: A file arrived with other content than the supervisor described, or cannot be written.
    """
    for name, stored in files.stored.items():
        data = bytearray()
        while len(data) < stored.size and (part := read(name, len(data))):
            data += part
        if digest(bytes(data)) != stored.digest:
            raise OSError(f"{name} has changed while it was fetched from the supervisor's machine")
        write_atomically(folder / name, bytes(data))
        logger.info("fetched %s, %d bytes, from the supervisor's machine", name, stored.size)

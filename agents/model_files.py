"""The two files of an agent's models: written now, or once the disk takes them again."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agents.common.files import CHECKPOINT, PUBLISHED, RetriedFiles, UnsavedFile, digest


class ModelFiles:
    """Writes the model in training and the published model into the folder of an agent.

    The agent goes on without a file that cannot be written; what is written later is what is newest then.

    Attributes:
        checkpoint_path: File of the model in training.
        published_path: File of the model that peers know.
        checkpoint: Hash of the newest checkpoint, whether or not it could be written; "" before the first.
        saved_at: When a checkpoint was last written, in seconds since the epoch; 0: not yet.
    """

    def __init__(
        self, folder: Path, encode_checkpoint: Callable[[], bytes],
        encode_published: Callable[[], bytes | None], on_saved: Callable[[Path], None] = lambda path: None,
    ) -> None:  # fmt: skip
        """Write nothing yet.

        Args:
            folder: Folder of the agent, made with the first file.
            encode_checkpoint: Returns the content of a checkpoint as the agent is now.
            encode_published: Returns the content of the published model's file; None: nothing is published.
            on_saved: Called with the path of each file that has been written.
        """
        self.checkpoint_path, self.published_path = folder / CHECKPOINT, folder / PUBLISHED
        self.checkpoint, self.saved_at = "", 0.0
        self._encode_checkpoint, self._encode_published = encode_checkpoint, encode_published
        self._files = RetriedFiles(on_saved)

    @property
    def unsaved(self) -> Mapping[Path, UnsavedFile]:
        """What could not be written yet, by path."""
        return self._files.unsaved

    def save_checkpoint(self) -> None:
        """Write a checkpoint of the model in training.

        Where it cannot be written, `unsaved` says why, and `retry` writes the newest one. What
        ``encode_checkpoint`` raises is raised, and the file is left as it is.
        """
        data = self._encode_checkpoint()
        self.checkpoint = digest(data)
        if self._files.write(self.checkpoint_path, data):
            self.saved_at = time.time()

    def save_published(self) -> None:
        """Write the published model in the same way; once it is unpublished, nothing is left to write."""
        data = self._encode_published()
        if data is None:
            self._files.succeed(self.published_path)
        else:
            self._files.write(self.published_path, data)

    def retry(self, now: bool = False) -> None:
        """Write again what could not be written: now, or at most every `files.RETRY_SECONDS`."""
        for path in list(self.unsaved) if now else self._files.due():
            if path == self.checkpoint_path:
                self.save_checkpoint()
            else:
                self.save_published()

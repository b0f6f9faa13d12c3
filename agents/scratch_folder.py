"""A folder of one process for temporary files, which outlives a killed process only where it must."""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

from agents.common.files import make_private_folder

UNSENT = ".unsent"  # file of a scratch folder with files that did not reach the supervisor
MIN_AGE_SECONDS = 60.0  # seconds after which a scratch folder that no process has locked is removed


class ScratchFolder:
    """A folder of one process below the system's folder for temporary files, which TMPDIR names.

    Attributes:
        path: The folder.
    """

    def __init__(self, name: str) -> None:
        """Make it, and remove those that killed processes left: the supervisor has their files.

        Args:
            name: Beginning of its name.
        """
        root = Path(tempfile.gettempdir()) / f"social-jepa-{os.getuid()}"
        try:
            make_private_folder(root)
        except PermissionError:  # another user has guessed the name
            root = Path(tempfile.mkdtemp(prefix="social-jepa-"))
        for left in root.iterdir():
            with contextlib.suppress(Timeout, OSError):
                if time.time() - left.stat().st_mtime > MIN_AGE_SECONDS and not (left / UNSENT).exists():
                    with FileLock(left / ".lock", timeout=0):
                        shutil.rmtree(left, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
        self._lock = FileLock(self.path / ".lock", thread_local=False)
        self._lock.acquire()

    def keep(self) -> None:
        """Have it stay: it holds what the supervisor has not."""
        (self.path / UNSENT).touch()
        self._lock.release()

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()

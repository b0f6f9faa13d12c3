"""Where matplotlib keeps its list of fonts, which it otherwise builds again in every process."""

import contextlib
import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from social_jepa.system.host_checks import can_write

VARIABLE = "MPLCONFIGDIR"


def set_matplotlib_cache(environ: MutableMapping[str, str] = os.environ, place: str = "") -> None:
    """Set MPLCONFIGDIR to a folder of this user if the home folder cannot be written.

    Args:
        environ: Environment variables; they are read when matplotlib is imported.
        place: Folder for that folder; by default the system's one for temporary files.
    """
    home = environ.get("HOME") or "/"
    folders = [
        Path(environ.get(variable) or Path(home, name), "matplotlib")
        for variable, name in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
    ]
    if environ.get(VARIABLE) or all(map(can_write, folders)):
        return
    folder = Path(place or tempfile.gettempdir(), f"social-jepa-matplotlib-{_user()}")
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if _is_private(folder):
            environ[VARIABLE] = str(folder)


def _is_private(folder: Path) -> bool:
    """Return whether a folder belongs to this user alone: others could have made it before."""
    found = folder.lstat()
    return (
        folder.is_dir() and not folder.is_symlink() and found.st_uid == _user() and not found.st_mode & 0o022
    )


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0

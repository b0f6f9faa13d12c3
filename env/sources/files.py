"""Find what a source reads on this machine."""

from pathlib import Path

from env.sources.contract import SourceError
from env.sources.settings import FramesConfig


def find(source: str, config: FramesConfig, folder: bool | None = False) -> Path:
    """Return the path that a source reads.

    Args:
        source: Its name, for messages.
        config: Its settings.
        folder: Whether the path is a folder; None: either.

    Raises:
        SourceError: No path is given, or there is no such file or folder on this machine.
    """
    what = {True: "folder", False: "file", None: "file or folder"}[folder]
    if not config.path:
        raise SourceError(source, f"set scene.frames.path to the {what} that it reads")
    path = Path(config.path)
    if not (path.exists() if folder is None else path.is_dir() if folder else path.is_file()):
        raise SourceError(
            source, f"there is no {what} {path} on this machine; every agent reads scene.frames.path itself"
        )
    return path

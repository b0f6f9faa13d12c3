"""Pack the part of a run folder that graph, query, report and page read, and unpack it again.

An archive is compressed as one stream: the anchors of an agent, which two of its files hold, take room once.
"""

import io
import json
import platform
import tarfile
from pathlib import Path
from typing import get_args

from social_jepa.pretrained import SceneName
from social_jepa.storage.run_folder import AnyPath, RunFolder, create_empty
from social_jepa.storage.run_folder_errors import RunFolderWriteError

SCENES: tuple[SceneName, ...] = get_args(SceneName)
FOLDER = Path(__file__).parent
FILES = ("config.toml", "ledger.sqlite", "graph.json", "graph.graphml", "maps.safetensors")
AGENT_FILES = ("published.safetensors", "anchors.safetensors")  # no checkpoint, no signing key
VERSIONS = "versions.json"


def archive_of(scene: SceneName) -> Path:
    """Return the archive of the run of a scene that comes with the package."""
    return FOLDER / f"{scene}.tar.xz"


def pack(run: RunFolder, archive: Path) -> None:
    """Write an archive of a run that has ended; equal runs give equal archives.

    Args:
        run: Folder of the run.
        archive: File to write.

    Raises:
        OSError: A file of the run is missing, or the archive cannot be written.
    """
    agents = sorted(path.name for path in (run.path / "agents").iterdir())
    names = [*FILES, *(f"agents/{agent}/{name}" for agent in agents for name in AGENT_FILES)]
    with tarfile.open(archive, "w:xz", preset=9) as file:
        for name in names:
            _add(file, name, (run.path / name).read_bytes())
        _add(file, VERSIONS, _versions(run))


def unpack(archive: Path, out: AnyPath | None) -> RunFolder:
    """Unpack a run into a new folder, by default one in ./runs.

    Args:
        archive: What `pack` wrote.
        out: Folder to create.

    Raises:
        RunFolderError: The folder exists, or cannot be created or written.
    """
    folder = create_empty(out)
    try:
        with tarfile.open(archive) as file:
            file.extractall(folder.path, filter=_as_created_now)
    except OSError as error:
        raise RunFolderWriteError(folder.path, "write into", str(error.strerror)) from error
    return folder


def _add(file: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    file.addfile(member, io.BytesIO(data))


def _as_created_now(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """Refuse what reaches out of the folder; drop the time, as the latest folder in ./runs is the default."""
    return tarfile.data_filter(member, path).replace(mtime=None, deep=False)  # type: ignore[arg-type]


def _versions(run: RunFolder) -> bytes:
    """Return the versions of a run without the kernel of the machine on which it was made."""
    document = json.loads((run.path / VERSIONS).read_bytes())
    return (json.dumps(document | {"platform": platform.system()}, indent=2) + "\n").encode()

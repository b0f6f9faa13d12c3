"""A run folder: settings, versions, checkpoints, ledger, graph and report.

::

    config.toml   versions.json   ledger.sqlite   graph.json   graph.graphml   maps.safetensors   report.html
    graph.svg   simulation.json (while a simulation is up)   .lock (of the process that runs in it)
    .command.lock (of a command that starts or ends one)
    agents/agent-0/checkpoint.safetensors   agents/agent-0/anchors.safetensors   ...
"""

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from agents.common.files import write_atomically
from social_jepa.config.run_config import RunConfig, load_config
from social_jepa.storage import simulation_file
from social_jepa.storage.folder_lock import FolderLock, LockHeldError
from social_jepa.storage.simulation_file import SimulationFile
from social_jepa.system.command_line import command
from social_jepa.system.versions import commit, versions

AnyPath = str | os.PathLike[str]  # a `RunFolder` is one too
RUNS = Path("runs")
LOCK_FILE = ".lock"
COMMAND_LOCK_FILE = ".command.lock"


class RunFolderError(ValueError):
    """A run folder that cannot be used; the message says why and what to do.

    Build its subclasses with positional arguments: Ray pickles them.
    """


@dataclass(eq=False, repr=False)
class RunFolderExistsError(RunFolderError):
    """A new run's folder that has something in it.

    Attributes:
        path: The folder.
        resumable: Whether it holds a run.
    """

    path: Path
    resumable: bool

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.path} exists already: choose another folder{self.hint}"

    @property
    def hint(self) -> str:
        """The command that continues the run in it, if there is one."""
        return f", or continue with {command('resume', run=self.path)}" if self.resumable else ""


@dataclass(eq=False, repr=False)
class RunFolderWriteError(RunFolderError):
    """A folder that cannot be created or written.

    Attributes:
        path: The folder.
        action: What failed: "create" or "write into".
        reason: What the operating system says.
    """

    path: Path
    action: str
    reason: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"cannot {self.action} the run folder {self.path}: {self.reason}"


@dataclass(eq=False, repr=False)
class RunFolderNameError(RunFolderError):
    """A new run's folder whose name is not UTF-8, which Ray requires of every text.

    Attributes:
        path: The folder.
    """

    path: Path

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"the name of the run folder {self.path} is not UTF-8: choose another one, or set LC_ALL=C.UTF-8 "
            "and unset PYTHONUTF8 if your terminal uses UTF-8"
        )


@dataclass(eq=False, repr=False)
class RunFolderInUseError(RunFolderError):
    """A folder in which another process runs.

    Attributes:
        path: The folder.
        holder: Description of that process; empty where it is not known.
    """

    path: Path
    holder: str = ""

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.path} is in use: {self.holder or 'another process'} is running in it"


@dataclass(eq=False, repr=False)
class SimulationFileError(RunFolderError):
    """A simulation.json that cannot be read.

    Attributes:
        path: The run folder.
        reason: What is wrong with the file.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.reason}: end its processes, if any run, and delete the file"


@dataclass(eq=False, repr=False)
class NotARunFolderError(RunFolderError):
    """A folder without settings of a run.

    Attributes:
        path: The folder.
    """

    path: Path

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.path} is no run folder: it holds no config.toml"


@dataclass(eq=False, repr=False)
class NoRunError(RunFolderError):
    """No run, or none that is up, where the latest one was to be used.

    Attributes:
        root: Folder that was searched.
        up: Whether one that is up was searched.
    """

    root: Path
    up: bool

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        found = (
            f"no simulation below ./{self.root} is up" if self.up else f"there is no run below ./{self.root}"
        )
        command = "up" if self.up else "run"
        return f"{found}: start one with social-jepa {command}, or name its folder with --run"


@dataclass(frozen=True)
class RunFolder:
    """The files of a run folder."""

    path: Path

    def __repr__(self) -> str:
        """Return the path, or its end where it is long."""
        text = str(self.path)
        return f"{type(self).__name__}({text if len(text) <= 150 else f'…{text[-150:]}'!r})"

    def __fspath__(self) -> str:
        """Return its path, so that a folder can stand wherever a path can."""
        return str(self.path)

    @classmethod
    def at(cls, path: AnyPath) -> "RunFolder":
        """Return the folder at a path, made absolute."""
        return cls(Path(path).resolve())

    @property
    def namespace(self) -> str:
        """Ray namespace of a simulation in this folder; different folders have different ones."""
        name = re.sub(r"[^\w.-]", "_", self.path.name, flags=re.ASCII)  # Ray encodes it as UTF-8
        return f"social-jepa-{name}-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:8]}"

    @property
    def simulation_file(self) -> Path:
        """Where its simulation is reached while it is up."""
        return self.path / simulation_file.NAME

    def simulation(self) -> SimulationFile | None:
        """Return the content of `simulation_file`, or None while no simulation is up.

        Raises:
            SimulationFileError: It cannot be read.
        """
        try:
            return simulation_file.read(self.path)
        except ValueError as error:
            raise SimulationFileError(self.path, str(error)) from error

    @property
    def config_file(self) -> Path:
        """Resolved settings."""
        return self.path / "config.toml"

    @property
    def ledger_file(self) -> Path:
        """SQLite ledger."""
        return self.path / "ledger.sqlite"

    @property
    def graph_file(self) -> Path:
        """The graph as JSON."""
        return self.path / "graph.json"

    @property
    def maps_file(self) -> Path:
        """Every map W_ij."""
        return self.path / "maps.safetensors"

    @property
    def report_file(self) -> Path:
        """The report, an HTML page."""
        return self.path / "report.html"

    def acquire_lock(self) -> FolderLock:
        """Take the lock of the process that runs here; it is released when that process ends.

        Raises:
            RunFolderInUseError: Another process holds it.
            RunFolderWriteError: The folder cannot be written.
        """
        return self._acquire(LOCK_FILE)

    def is_locked(self) -> bool:
        """Return whether a process runs here, or a command is starting or ending one; nothing is written."""
        return any(FolderLock(self.path / name).is_held() for name in (LOCK_FILE, COMMAND_LOCK_FILE))

    @contextlib.contextmanager
    def command_lock(self) -> Iterator[None]:
        """Keep other commands from starting or ending a simulation here.

        Raises:
            RunFolderInUseError: Another process holds it.
            RunFolderWriteError: The folder cannot be written.
        """
        lock = self._acquire(COMMAND_LOCK_FILE)
        try:
            yield
        finally:
            lock.release()

    def _acquire(self, name: str) -> FolderLock:
        lock = FolderLock(self.path / name)
        try:
            lock.acquire()
        except LockHeldError as error:
            raise RunFolderInUseError(self.path, error.holder) from None
        except OSError as error:
            raise RunFolderWriteError(self.path, "write into", str(error.strerror)) from error
        return lock

    def agent(self, name: str) -> Path:
        """Folder of one agent."""
        return self.path / "agents" / name

    def config(self) -> RunConfig:
        """Return the settings of the run."""
        return load_config(self.config_file)


def create(config: RunConfig, out: AnyPath | None) -> RunFolder:
    """Create a new run folder with the settings and versions in it.

    Raises:
        RunFolderError: See `create_empty`.
    """
    folder = create_empty(out)
    try:
        write_json(folder.path / "versions.json", versions() | {"commit": commit() or "unknown"})
        write_atomically(folder.config_file, tomli_w.dumps(config.as_dict()).encode())
    except OSError as error:
        raise RunFolderWriteError(folder.path, "write into", str(error.strerror)) from error
    return folder


def create_empty(out: AnyPath | None) -> RunFolder:
    """Create the folder of a new run, by default one in ./runs that is named after the time.

    Raises:
        RunFolderNameError: Its name is not UTF-8.
        RunFolderExistsError: The folder has something in it.
        RunFolderWriteError: It cannot be created.
    """
    path = Path(out) if out is not None else _new_path()
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise RunFolderNameError(path) from error
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunFolderExistsError(path, (path / "config.toml").exists())
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderWriteError(path, "create", str(error.strerror)) from error
    return RunFolder.at(path)


def find(path: AnyPath | None) -> RunFolder:
    """Return a run folder, by default the latest one below ./runs.

    Args:
        path: The folder, or its name below ./runs.

    Raises:
        NoRunError: There is none below ./runs.
        NotARunFolderError: That folder is none.
    """
    if path is None:
        runs = [entry for entry in RUNS.glob("*") if (entry / "config.toml").exists()]
        if not runs:
            raise NoRunError(RUNS, False)
        path = max(runs, key=lambda entry: (entry / "config.toml").stat().st_mtime_ns)
    for place in (Path(path), RUNS / path):
        if (place / "config.toml").exists():
            return RunFolder.at(place)
    raise NotARunFolderError(Path(path))


def find_running(path: AnyPath | None) -> RunFolder:
    """Return the folder of a simulation that is up, by default the latest one below ./runs.

    Raises:
        NoRunError: No simulation below ./runs is up.
        NotARunFolderError: That folder is no run folder.
    """
    if path is None:
        running = [entry.parent for entry in RUNS.glob(f"*/{simulation_file.NAME}")]
        path = max(running, key=lambda entry: (entry / simulation_file.NAME).stat().st_mtime_ns, default=None)
    if path is None:
        raise NoRunError(RUNS, True)
    return find(path)


def _new_path() -> Path:
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    path, number = RUNS / stamp, 1
    while path.exists():
        number += 1
        path = RUNS / f"{stamp}-{number}"
    return path


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document atomically."""
    write_atomically(path, (json.dumps(document, indent=2) + "\n").encode())

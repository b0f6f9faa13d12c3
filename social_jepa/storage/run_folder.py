"""A run folder: settings, versions, checkpoints, ledger, graph and report.

::

    config.toml   versions.json   ledger.sqlite   graph.json   graph.graphml   maps.safetensors   report.html
    graph.svg   simulation.json (while a simulation is up)   .lock (of the process that runs in it)
    .command.lock (of a command that starts or ends one)
    agents/agent-0/checkpoint.safetensors   agents/agent-0/anchors.safetensors   ...
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from agents.common.config_error import ConfigError
from agents.common.files import CHECKPOINT, write_atomically
from social_jepa.config.run_config import RunConfig, load_config, read_config
from social_jepa.storage import simulation_file
from social_jepa.storage.folder_lock import FolderLock, LockHeldError
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerError
from social_jepa.storage.run_folder_errors import (
    NoRunError,
    NotARunFolderError,
    RunFolderExistsError,
    RunFolderInUseError,
    RunFolderNameError,
    RunFolderWriteError,
    SimulationFileError,
)
from social_jepa.storage.simulation_file import SimulationFile
from social_jepa.system.process_identity import Presence
from social_jepa.system.versions import PROGRAM, commit, versions

AnyPath = str | os.PathLike[str]  # a `RunFolder` is one too
RUNS = Path("runs")
PEER_STATUS = "status.json"  # in the folder of one agent that runs without Ray
LOCK_FILE = ".lock"
COMMAND_LOCK_FILE = ".command.lock"


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

    @property
    def version_file(self) -> Path:
        """Version of the peer lists that the newest supervisor began with."""
        return self.path / "peers.version"

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

    def is_of_peer(self) -> bool:
        """Return whether it is the folder of one agent that runs without Ray."""
        return (self.path / PEER_STATUS).exists()

    def has_checkpoints(self, ledger: Ledger) -> bool:
        """Return whether its agents can continue: they have saved checkpoints, or published nothing yet."""
        members = [member.name for member in ledger.members()]
        if any((self.agent(name) / CHECKPOINT).exists() for name in members):
            return True  # before the publications are read, which takes long where there are many
        return ledger.agents().keys().isdisjoint(members)

    def config(self) -> RunConfig:
        """Return the settings of the run; that agents can work with them here is checked.

        Raises:
            ConfigError: They cannot, or the file is damaged or of another version.
        """
        return self._load(load_config)

    def recorded_config(self) -> RunConfig:
        """Return the recorded settings of the run: its frames and its classes may be missing here.

        Raises:
            ConfigError: The file is damaged, or of another version.
        """
        return self._load(read_config)

    def _load(self, load: Callable[[Path], RunConfig]) -> RunConfig:
        try:
            return load(self.config_file)
        except ConfigError as error:
            if not error.setting:
                raise  # it names the file
            raise ConfigError(f"{error} (in {self.config_file}{self._made_by()})") from error

    def _made_by(self) -> str:
        """Return a clause that names the version of the program that made the run; "" if it is this one."""
        try:
            version = json.loads((self.path / "versions.json").read_bytes())[PROGRAM]
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        return "" if version == versions()[PROGRAM] else f", which social-jepa {version} made"


def create(config: RunConfig, out: AnyPath | None) -> RunFolder:
    """Create a new run folder with the settings and versions in it.

    Raises:
        RunFolderError: See `create_empty`.
    """
    folder = create_empty(out)
    _write_settings(folder, config)
    return folder


def _write_settings(folder: RunFolder, config: RunConfig) -> None:
    try:
        write_json(folder.path / "versions.json", versions() | {"commit": commit() or "unknown"})
        write_atomically(folder.config_file, tomli_w.dumps(config.as_dict()).encode())
    except OSError as error:
        raise RunFolderWriteError(folder.path, "write into", str(error.strerror)) from error


@contextlib.contextmanager
def created(config: RunConfig, out: AnyPath | None) -> Iterator[RunFolder]:
    """Yield a new run folder as `create` makes it; if it cannot be filled, what was made is removed again.

    Raises:
        RunFolderError: See `create_empty`.
    """
    existed = out is not None and Path(out).exists()
    folder = create_empty(out)
    try:
        _write_settings(folder, config)
        yield folder
    except BaseException:  # also Ctrl-C: half a run could neither be continued nor made again
        for path in folder.path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not existed:
            folder.path.rmdir()
        raise


def create_empty(out: AnyPath | None) -> RunFolder:
    """Create the folder of a new run, by default one in ./runs that is named after the time.

    Raises:
        RunFolderNameError: Its name is not UTF-8.
        RunFolderExistsError: The folder has something in it.
        RunFolderWriteError: It cannot be created.
    """
    path = RUNS if out is None else Path(out)
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise RunFolderNameError(path) from error
    if out is None:
        return _create_named_after_the_time()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunFolderExistsError(path, _is_resumable(RunFolder.at(path)))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderWriteError(path, "create", str(error.strerror)) from error
    return RunFolder.at(path)


def _is_resumable(folder: RunFolder) -> bool:
    """Return whether a folder holds a run that `resume` continues; of a damaged one it says what is wrong.

    It continues neither an import nor the run of a peer, and nothing while a process runs there or while the
    simulation may be up that is named there: its own, or that of the folder that it was copied from. Where
    that simulation was killed and a few of its processes still run, `resume` says so.
    """
    if folder.is_of_peer() or not (folder.config_file.exists() and folder.ledger_file.exists()):
        return False
    with contextlib.suppress(SimulationFileError):
        simulation = folder.simulation()
        if simulation is not None and not _has_ended(simulation):
            return False
    if folder.is_locked():
        return False
    try:
        with contextlib.closing(Ledger(folder.ledger_file, read_only=True, quick=True)) as ledger:
            return folder.has_checkpoints(ledger)
    except LedgerError:
        return True


def _has_ended(simulation: SimulationFile) -> bool:
    """Return whether the process that a simulation was started by has ended, as far as can be seen here."""
    if simulation.leader is None:
        return simulation.machine.has_rebooted
    return simulation.leader.presence() is Presence.ENDED


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


def _create_named_after_the_time() -> RunFolder:
    """Create a folder in ./runs; of several programs that start in one second each gets another one."""
    try:
        RUNS.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # also where it is a link to a place that is gone
        raise RunFolderWriteError(RUNS, "create", str(error.strerror)) from error
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    for number in itertools.count(1):
        path = RUNS / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise RunFolderWriteError(path, "create", str(error.strerror)) from error
        return RunFolder.at(path)
    raise AssertionError("numbers do not end")


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document atomically."""
    write_atomically(path, (json.dumps(document, indent=2) + "\n").encode())

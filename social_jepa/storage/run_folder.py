"""A run folder: settings, versions, checkpoints, ledger, graph and report.

::

    config.toml   versions.json   ledger.sqlite   graph.json   graph.graphml   maps.safetensors   report.html
    graph.svg
    agents/agent-0/checkpoint.safetensors   agents/agent-0/anchors.safetensors   ...
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from agents.files import write_atomically
from social_jepa.config.run_config import RunConfig, load_config

RUNS = Path("runs")
REPORTED = (
    "social-jepa", "ray", "torch", "numpy", "gymnasium", "miniworld", "msgspec", "safetensors", "networkx",
)  # fmt: skip


class RunFolderError(ValueError):
    """A run folder that cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class RunFolder:
    """Where things lie in a run folder."""

    path: Path

    @classmethod
    def at(cls, path: str | Path) -> "RunFolder":
        """Return the folder at a path, in full."""
        return cls(Path(path).resolve())

    @property
    def namespace(self) -> str:
        """Name under which a simulation of this folder is known to Ray: one for each folder of the world."""
        return f"social-jepa-{self.path.name}-{hashlib.sha256(str(self.path).encode()).hexdigest()[:8]}"

    @property
    def simulation_file(self) -> Path:
        """Where its living simulation is reached, while there is one."""
        return self.path / "simulation.json"

    def simulation_address(self) -> dict[str, Any] | None:
        """Return how its living simulation is reached, or None while there is none."""
        try:
            return json.loads(self.simulation_file.read_text())
        except (FileNotFoundError, ValueError):
            return None

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
        """The page for people."""
        return self.path / "report.html"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from running in this folder; one that is killed lets go of it by itself.

        Raises:
            StoreError: Another process holds it.
        """
        handle = os.open(self.path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a file system that knows no locks
                self._lock(handle)
            yield
        finally:
            os.close(handle)

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(f"{self.path} is in use: another process runs it at this moment") from error

    def agent(self, name: str) -> Path:
        """Folder of one agent."""
        return self.path / "agents" / name

    def config(self) -> RunConfig:
        """Return the settings the run was made with."""
        return load_config(self.config_file)


def create(config: RunConfig, out: Path | None) -> RunFolder:
    """Make a new run folder with the settings and versions in it.

    Raises:
        StoreError: Something is there already.
    """
    path = out or _fresh()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        hint = f", or go on with social-jepa resume {path}" if (path / "config.toml").exists() else ""
        raise RunFolderError(f"{path} exists already: choose another --out{hint}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make the run folder {path}: {error.strerror}") from error
    folder = RunFolder.at(path)
    try:
        write_json(folder.path / "versions.json", versions())
        write_atomically(folder.config_file, tomli_w.dumps(config.as_dict()).encode())
    except OSError as error:
        raise RunFolderError(f"cannot write into the run folder {path}: {error.strerror}") from error
    return folder


def find(path: Path | None) -> RunFolder:
    """Return a run folder, by default the latest one below ./runs.

    Raises:
        StoreError: There is none, or that folder is none.
    """
    if path is None:
        runs = [entry for entry in RUNS.glob("*") if (entry / "config.toml").exists()]
        if not runs:
            raise RunFolderError(
                "there is no run below ./runs yet: start one with social-jepa run, or name its folder"
            )
        path = max(runs, key=lambda entry: (entry / "config.toml").stat().st_mtime_ns)
    if not (path / "config.toml").exists():
        raise RunFolderError(f"{path} is no run folder: it holds no config.toml")
    return RunFolder.at(path)


def find_running(path: Path | None) -> RunFolder:
    """Return the folder of a simulation that is up, by default the latest below ./runs that is."""
    if path is None:
        living = [entry.parent for entry in RUNS.glob("*/simulation.json")]
        path = max(living, key=lambda entry: (entry / "simulation.json").stat().st_mtime_ns, default=None)
    if path is None:
        raise RunFolderError(
            "no simulation below ./runs is up: start one with social-jepa up, or name its folder"
        )
    return find(path)


def _fresh() -> Path:
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    path, number = RUNS / stamp, 1
    while path.exists():
        number += 1
        path = RUNS / f"{stamp}-{number}"
    return path


def versions() -> dict[str, str]:
    """Return the versions of what made the run."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in REPORTED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document so that a reader finds it whole."""
    write_atomically(path, (json.dumps(document, indent=2) + "\n").encode())

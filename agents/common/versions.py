"""Versions of what a process runs, to compare between machines; importing this loads no torch."""

import hashlib
import importlib.metadata
import importlib.util
import platform
from functools import cache
from pathlib import Path

from agents.common.packages import PACKAGES

LIBRARIES = ("torch", "ray")


@cache
def process_versions() -> dict[str, str]:
    """Return versions of python, social-jepa (with a hash of its source, "0.2.0+1a2b3c4d"), torch and ray."""
    found = {
        "python": platform.python_version(),
        "social-jepa": f"{_version('social-jepa')}+{_source_hash()}",
    }
    return found | {name: _version(name) for name in LIBRARIES}


def differences(own: dict[str, str], other: dict[str, str]) -> str:
    """Return the versions that differ, as "torch 2.5.1 (here 2.6.0)"; empty where all agree."""
    return ", ".join(
        f"{name} {other.get(name, 'unknown')} (here {version})"
        for name, version in own.items()
        if other.get(name) != version
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _source_hash() -> str:
    found = hashlib.sha256()
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        for root in map(Path, folders):
            for file in sorted(root.rglob("*.py")):
                found.update(f"{package}/{file.relative_to(root).as_posix()}\0".encode())
                found.update(file.read_bytes())
    return found.hexdigest()[:8]

"""Versions of Python, the platform, this program and the libraries that it uses; importing this is cheap."""

import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

PROGRAM = "social-jepa"
REPORTED = (
    PROGRAM, "ray", "torch", "numpy", "gymnasium", "miniworld", "msgspec", "safetensors", "networkx",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]  # of the source tree, where this is no installed copy
GIT_SECONDS = 5.0  # that git may take, on a slow file system


def versions() -> dict[str, str]:
    """Return the versions of Python, the platform and the libraries in use."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in REPORTED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit(root: Path = ROOT) -> str:
    """Return the git commit of this program, with "-dirty" where files differ from it; empty: not known.

    It is that of the source tree, or the one that pip installed from (PEP 610).

    Args:
        root: Source tree; it counts as one if it holds `.git` itself, so that no enclosing repository does.
    """
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        try:
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", timeout=GIT_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip()
    return _installed_commit()


def _installed_commit() -> str:
    try:
        read = importlib.metadata.distribution(PROGRAM).read_text  # which decodes UTF-8
    except importlib.metadata.PackageNotFoundError:
        return ""
    origin = json.loads(read("direct_url.json") or "{}")
    return str(origin.get("vcs_info", {}).get("commit_id", ""))[:12]

"""Where the top-level packages of this project are imported from.

They have common names: a file agents.py, or a folder env, in a folder that is searched earlier hides ours.
Nothing else of the project is imported here, since that is what may fail.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from social_jepa.system.check import Check

TOP_LEVEL_NAMES = ("env", "agents", "alignment", "social_jepa")
OURS = Path(__file__).resolve().parents[2]


def find_hidden(search_path: Sequence[str] | None = None) -> dict[str, Path]:
    """Return the file or folder that is found instead, for each of our packages that is hidden.

    Args:
        search_path: Folders that are searched for modules; by default sys.path.
    """
    path = sys.path if search_path is None else list(search_path)
    found = {name: place for name in TOP_LEVEL_NAMES if (place := _location(name, path)) is not None}
    hidden = {name: place for name, place in found.items() if place.resolve() != (OURS / name).resolve()}
    if len(hidden) == len(TOP_LEVEL_NAMES) and len({place.parent for place in hidden.values()}) == 1:
        return {}  # another checkout of this project, as a whole
    return hidden


def _location(name: str, path: list[str]) -> Path | None:
    """Return the file or folder of an import name; None where an editable installation finds it."""
    spec = PathFinder.find_spec(name, path)
    if spec is None:
        return None
    if spec.submodule_search_locations is not None:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None


def check_imports(current_folder: bool = False, search_path: Sequence[str] | None = None) -> Check:
    """Check that no other file or folder hides one of our packages.

    Args:
        current_folder: Whether the current folder counts too: Ray's workers search it first.
        search_path: Folders that are searched for modules; by default sys.path.
    """
    path = list(sys.path if search_path is None else search_path)
    hidden = find_hidden([str(Path.cwd()), *path] if current_folder else path)
    if not hidden:
        return Check("imports", True, f"from {OURS}", "")
    found = ", ".join(f"{place} hides this project's package {name}" for name, place in hidden.items())
    remedy = "rename it or run from another folder; if pip installed it, make an environment without it"
    return Check("imports", False, found, remedy)

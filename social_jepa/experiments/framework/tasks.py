"""Tasks of an experiment: one condition with one seed each, and the key that tells if a result is valid.

This module does not import numpy: worker processes import it before they set the number of threads.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from agents.common.files import digest

FORMAT = 2  # of result files; a file of another format is not read
TASKS_FOLDER = ".tasks"
_SOURCES = ("env", "agents", "alignment", "social_jepa.experiments")


@dataclass(frozen=True)
class Task:
    """One condition of an experiment with one seed; it runs in its own process.

    Attributes:
        condition: Name of the condition.
        seed: Seed.
        file: File of its result.
        key: Digest of the experiment's name, settings, condition, seed and the versions of packages.
        fingerprint: Digest of the source code.
    """

    condition: str
    seed: int
    file: Path
    key: str
    fingerprint: str

    def __str__(self) -> str:
        """Return the name in messages."""
        return f"{self.condition}, seed {self.seed}"


def make_task(
    folder: Path, name: str, settings: Mapping[str, Any], fingerprint: str, condition: str, seed: int
) -> Task:
    """Return the task of a condition and a seed.

    Args:
        folder: Folder of the experiment's results.
        name: Name of the experiment.
        settings: All settings, as returned by `plain_settings`.
        fingerprint: Fingerprint of the source code.
        condition: Name of the condition.
        seed: Seed.
    """
    versions = {package: metadata.version(package) for package in ("social-jepa", "torch", "numpy")}
    words = [FORMAT, name, versions, settings, condition, seed]
    file = folder / TASKS_FOLDER / f"{file_stem(condition)}-{seed}.npz"
    key = digest(json.dumps(words, sort_keys=True).encode())
    return Task(condition, seed, file, key, fingerprint)


def fingerprint_sources(module: str) -> str:
    """Return a digest of the source code of models, scenes, experiments and a module."""
    specs = [util.find_spec(name) for name in (*_SOURCES, module)]
    texts = [
        path.read_bytes()
        for spec in specs
        if spec is not None and spec.origin is not None
        for path in (
            sorted(Path(spec.origin).parent.rglob("*.py"))
            if spec.submodule_search_locations
            else [Path(spec.origin)]
        )
    ]
    return digest(b"\0".join(texts))


def file_stem(text: str) -> str:
    """Return a text as the stem of a file name; different texts have different stems."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]
    return plain if plain == text else f"{plain}-{digest(text.encode())[:6]}"


def plain_settings(settings: Any) -> dict[str, Any]:
    """Return settings as values that JSON can represent."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))

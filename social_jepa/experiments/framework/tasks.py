"""One unit of work, a part with a seed, and the file that keeps what it found: whole or not at all."""

import dataclasses
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from agents.files import write_atomically
from social_jepa.experiments.framework.experiment import ConditionResult
from social_jepa.experiments.framework.score import Score

FORMAT = 1  # of the files; another number than a file's means that it is not read
KEPT = ".parts"
_SOURCES = ("env", "agents", "alignment", "social_jepa.experiments")


@dataclass(frozen=True)
class Task:
    """What one process does: one part of an experiment with one seed.

    Attributes:
        part: Name of the part.
        seed: Seed.
        file: Where its outcome is kept.
        key: Digits that change with the settings, the part, the seed and the package's version.
        sources: Digits that change with the source files.
    """

    condition: str
    seed: int
    file: Path
    key: str
    sources: str

    def __str__(self) -> str:
        """Return how a line of text names it."""
        return f"{self.condition}, seed {self.seed}"


def make_task(folder: Path, name: str, config: Mapping[str, Any], sources: str, part: str, seed: int) -> Task:
    """Return the unit of a part and a seed.

    Args:
        folder: Folder of the experiment's results.
        name: The experiment's name.
        config: All settings, as plain values.
        sources: What fingerprint() returned.
        part: Name of the part.
        seed: Seed.
    """
    versions = {package: metadata.version(package) for package in ("social-jepa", "torch", "numpy")}
    words = [FORMAT, name, versions, config, part, seed]
    file = folder / KEPT / f"{slug(part)}-{seed}.npz"
    return Task(part, seed, file, _digits(json.dumps(words, sort_keys=True).encode()), sources)


def fingerprint(module: str) -> str:
    """Return digits that change with the source of our packages' models and worlds, or of a module."""
    found = [util.find_spec(name) for name in (*_SOURCES, module)]
    texts = [
        path.read_bytes()
        for spec in found
        if spec is not None and spec.origin is not None
        for path in (
            sorted(Path(spec.origin).parent.rglob("*.py"))
            if spec.submodule_search_locations
            else [Path(spec.origin)]
        )
    ]
    return _digits(b"\0".join(texts))


def slug(text: str) -> str:
    """Return a text as a name of a file; unequal texts have unequal names."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]
    return plain if plain == text else f"{plain}-{_digits(text.encode())[:6]}"


def write_result(unit: Task, outcome: ConditionResult) -> None:
    """Keep what a unit found.

    Raises:
        ValueError: It is not something that figures can be made of.
    """
    check_result(outcome)
    meta = {"key": unit.key, "sources": unit.sources, "seconds": outcome.seconds, "flops": outcome.flops}
    tensors = {"meta": np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)}
    for name, measure in outcome.scores.items():
        tensors[f"values/{name}"] = np.asarray(measure.values)
        if measure.deviations is not None:
            tensors[f"spreads/{name}"] = np.asarray(measure.deviations)
    for name, array in outcome.arrays.items():
        tensors[f"array/{name}"] = np.asarray(array)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # not savez, which has arguments of its own among the names
        for name, tensor in tensors.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, tensor, allow_pickle=False)
    write_atomically(unit.file, buffer.getvalue())


def check_result(outcome: Any) -> None:
    """Raise ValueError, saying what is wrong, unless figures can be made of an outcome."""
    if not isinstance(outcome, ConditionResult):
        raise ValueError(f"a condition returns a ConditionResult, not {type(outcome).__name__}")
    for name, measure in outcome.scores.items():
        values, spreads = np.asarray(measure.values), measure.deviations
        if values.ndim != 1 or not len(values):
            raise ValueError(f"measure {name!r} has values {values.shape}: [n] with n of 1 or more is needed")
        if spreads is not None and np.shape(spreads) != values.shape:
            raise ValueError(f"measure {name!r} has {values.shape} values, but spreads {np.shape(spreads)}")
    for name, array in outcome.arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ValueError(f"array {name!r} holds Python objects: numbers or texts are needed")


def read_result(unit: Task) -> tuple[ConditionResult, str] | None:
    """Return what was kept of a unit and the digits of the sources that made it.

    None where nothing is kept, where it was made with other settings or another version, or where the file
    is damaged: the unit is then run again.
    """
    try:
        with np.load(io.BytesIO(unit.file.read_bytes()), allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
        meta = json.loads(found.pop("meta").tobytes())
        if meta["key"] != unit.key:
            return None
        measures = {
            name.partition("/")[2]: Score(values, found.get(f"spreads/{name.partition('/')[2]}"))
            for name, values in found.items()
            if name.startswith("values/")
        }
        arrays = {name[6:]: array for name, array in found.items() if name.startswith("array/")}
        return ConditionResult(measures, arrays, meta["seconds"], meta["flops"]), meta["sources"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def plain_settings(settings: Any) -> dict[str, Any]:
    """Return settings as values that JSON knows."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def _digits(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]

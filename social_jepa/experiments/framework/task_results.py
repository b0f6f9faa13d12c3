"""Result files of tasks, each written completely or not at all."""

import io
import json
import zipfile
from typing import Any

import numpy as np

from agents.common.files import write_atomically
from social_jepa.experiments.framework.experiment import ConditionResult
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.framework.tasks import Task


def check_result(result: Any) -> None:
    """Raise ValueError, naming the problem, unless metrics can be computed from a result."""
    if not isinstance(result, ConditionResult):
        raise ValueError(f"a condition returns a ConditionResult, not {type(result).__name__}")
    for name, score in result.scores.items():
        values, deviations = np.asarray(score.values), score.deviations
        if values.ndim != 1 or not len(values):
            raise ValueError(f"score {name!r} has values {values.shape}: [n] with n >= 1 is needed")
        if deviations is not None and np.shape(deviations) != values.shape:
            raise ValueError(
                f"score {name!r} has {values.shape} values, but deviations {np.shape(deviations)}"
            )
    for name, array in result.arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ValueError(f"array {name!r} holds Python objects: numbers or strings are needed")


def write_result(task: Task, result: ConditionResult) -> None:
    """Write the result file of a task.

    Raises:
        ValueError: Metrics cannot be computed from the result.
    """
    check_result(result)
    meta = {
        "key": task.key,
        "fingerprint": task.fingerprint,
        "seconds": result.seconds,
        "flops": result.flops,
    }
    arrays = {"meta": np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)}
    for name, score in result.scores.items():
        arrays[f"values/{name}"] = np.asarray(score.values)
        if score.deviations is not None:
            arrays[f"deviations/{name}"] = np.asarray(score.deviations)
    arrays |= {f"array/{name}": np.asarray(array) for name, array in result.arrays.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # np.savez would take names like "file" for its arguments
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    write_atomically(task.file, buffer.getvalue())


def read_result(task: Task) -> tuple[ConditionResult, str] | None:
    """Return the result of a task and the fingerprint of the source code that produced it.

    Returns None without a file, with other settings or versions, or if the file is damaged: the task then
    runs again.
    """
    try:
        with np.load(io.BytesIO(task.file.read_bytes()), allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
        meta = json.loads(found.pop("meta").tobytes())
        if meta["key"] != task.key:
            return None
        kinds: dict[str, dict[str, np.ndarray]] = {"values": {}, "deviations": {}, "array": {}}
        for path, array in found.items():
            kind, _, name = path.partition("/")
            kinds[kind][name] = array
        scores = {
            name: Score(values, kinds["deviations"].get(name)) for name, values in kinds["values"].items()
        }
        return ConditionResult(scores, kinds["array"], meta["seconds"], meta["flops"]), meta["fingerprint"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None

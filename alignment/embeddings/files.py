"""Tables of embeddings in files: .npy, .npz, .safetensors and .csv. Nothing is ever unpickled."""

import csv
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from alignment.arrays import AlignmentError
from alignment.embeddings.table import EmbeddingTable

IDS: Final = ("ids", "id")  # names of the ids in a file with several arrays
ROW_NUMBERS: Final = ("", "index", "unnamed: 0")  # headings of a table's first column that numbers its rows
VECTORS: Final = ("embeddings", "vectors")  # names of the embeddings
DAMAGED: Final = (zipfile.BadZipFile, zlib.error)  # what archives that were cut off or changed raise


def read_table(path: Path, name: str | None = None, ids: Iterable[object] | None = None) -> EmbeddingTable:
    """Return the table of embeddings in a file.

    .npy: an array [K, D], memory-mapped. .npz and .safetensors: the array ``embeddings`` or ``vectors``, or
    the only one of two axes, and ``ids``: K integers, K strings (.npz), or K rows of bytes (uint8), such as
    SHA-256 digests; safetensors may also have a JSON list in the metadata ``ids``. .csv: one row for each
    anchor, with an optional line of headings; a column named id is the ids, or a first one that is named
    index or not at all, as pandas writes the numbers of rows.

    Args:
        path: The file.
        name: Name of the table; by default the file's, without its ending.
        ids: Ids of the rows, in place of those in the file.

    Raises:
        AlignmentError: The file holds no table; the message says how to write one.
        OSError: It cannot be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise AlignmentError(
            f"{path} has the ending {path.suffix or 'of no kind'!r}", f"write one of {', '.join(READERS)}"
        )
    vectors, found = reader(path)
    return EmbeddingTable(name or path.stem, ids if ids is not None else found, vectors)


def read_ids(path: Path) -> list[Any]:
    """Return the ids in a file: .npy, or text with one id in each line, integers if all are.

    Raises:
        AlignmentError: The file holds no list of ids.
        OSError: It cannot be read.
    """
    if path.suffix.lower() == ".npy":
        return _ids_of_array(_load(path), path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise AlignmentError(f"{path} is no text in UTF-8", "write one id in each line") from error
    return as_integers([line.strip() for line in lines if line.strip()])


def as_integers(ids: list[str]) -> list[Any]:
    """Return ids [K] as integers if all are, in the form that str gives them."""
    integers = all(each.removeprefix("-").isdecimal() and str(int(each)) == each for each in ids)
    return [int(each) for each in ids] if integers else ids


def _load(path: Path) -> Any:
    try:
        with path.open("rb") as file:  # a missing file is an OSError, a broken one is not
            file.read(1)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise AlignmentError(
            f"{path} is no array of numbers: {error}",
            'write it again, for example np.save(path, np.asarray(rows, "float32"))',
        ) from error


def _read_npy(path: Path) -> tuple[np.ndarray, None]:
    return _load(path), None


def _read_npz(path: Path) -> tuple[np.ndarray, Any]:
    try:
        # an open file, as numpy leaves one that it opened itself open where the archive is damaged
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError, AttributeError, TypeError, *DAMAGED) as error:
        if isinstance(error, AlignmentError | FileNotFoundError | PermissionError):
            raise
        raise AlignmentError(
            f"{path} cannot be read as .npz: {error}", "write it again with np.savez, without Python objects"
        ) from error
    found = next((arrays[name] for name in IDS if name in arrays), None)
    return _choose(arrays, path), None if found is None else _ids_of_array(found, path)


def _read_safetensors(path: Path) -> tuple[Tensor, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            arrays: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise AlignmentError(f"{path} is no safetensors file: {error}", "write it again") from error
    found: Any = next((_ids_of_tensor(arrays[name], path) for name in IDS if name in arrays), None)
    if found is None and "ids" in metadata:
        found = _ids_of_metadata(metadata["ids"], path)
    return _choose(arrays, path), found


def _ids_of_metadata(text: str, path: Path) -> list[Any]:
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise AlignmentError(f"the metadata ids of {path} are no JSON list", "write json.dumps(ids)")
    return found


def _choose(arrays: Mapping[str, Any], path: Path) -> Any:
    """Return the array that is the table."""
    named = [array for name, array in arrays.items() if name in VECTORS]
    tables = named or [array for name, array in arrays.items() if array.ndim == 2 and name not in IDS]
    if len(tables) != 1:
        raise AlignmentError(
            f"{path} holds {len(tables)} arrays that could be the embeddings: "
            f"{', '.join(arrays) or 'none at all'}",
            f"name one of them {VECTORS[0]}",
        )
    return tables[0]


def _ids_of_tensor(tensor: Tensor, path: Path) -> list[Any]:
    # numpy has no bfloat16: no type of floats is one of ids
    return _ids_of_array((tensor.float() if tensor.is_floating_point() else tensor).numpy(), path)


def _ids_of_array(array: np.ndarray, path: Path) -> list[Any]:
    if array.ndim == 2 and array.dtype == np.uint8:
        return [row.tobytes().hex() for row in array]
    if array.ndim != 1 or array.dtype.kind not in "iuUS":
        raise AlignmentError(
            f"the ids of {path} are {array.dtype} of shape {array.shape}",
            "write K integers, K strings, or rows of bytes [K, 32]",
        )
    return [each.decode() for each in array.tolist()] if array.dtype.kind == "S" else array.tolist()


def _read_csv(path: Path) -> tuple[np.ndarray, Any]:
    lines = _lines_of_csv(path)
    if not lines:
        raise AlignmentError(f"{path} is empty", "write one row for each anchor")
    if _counts_columns(lines[0]):
        raise AlignmentError(
            f"line 1 of {path} counts columns, {', '.join(lines[0][:3])} ..., and could be headings or a row",
            "name the columns, remove the line, or write its numbers with a decimal point",
        )
    headings = lines.pop(0) if not all(map(_is_number, lines[0])) else []
    if not lines:
        raise AlignmentError(f"{path} has headings alone", "write one row for each anchor")
    column, skipped = _columns_of_ids(headings)
    rows = []
    for number, line in enumerate(lines, start=1 + bool(headings)):
        cells = [cell for place, cell in enumerate(line) if place not in skipped]
        if not all(map(_is_number, cells)) or len(line) != len(lines[0]):
            raise AlignmentError(
                f"line {number} of {path} is not {len(lines[0]) - len(skipped)} numbers",
                "write numbers, with ids in a column that is named id",
            )
        rows.append([float(cell) for cell in cells])
    ids = None if column is None else as_integers([line[column].strip() for line in lines])
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1), ids


def _lines_of_csv(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [line for line in csv.reader(file) if line]
    except UnicodeDecodeError as error:
        raise AlignmentError(f"{path} is no text in UTF-8: {error}", "write it in UTF-8") from error
    except csv.Error as error:
        raise AlignmentError(f"{path} is no table: {error}", "close all quotes") from error


def _counts_columns(line: list[str]) -> bool:
    """Return whether a line counts from 0 or 1, as headings of unnamed columns do."""
    return len(line) > 2 and any(line == [str(first + n) for n in range(len(line))] for first in (0, 1))


def _columns_of_ids(headings: list[str]) -> tuple[int | None, set[int]]:
    """Return the column of the ids, if there is one, and those that are no embedding."""
    names = [heading.strip().lower() for heading in headings]
    numbered = 0 if names and names[0] in ROW_NUMBERS else None
    column = next((place for place, name in enumerate(names) if name in IDS), numbered)
    return column, {place for place in (column, numbered) if place is not None}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


READERS: Final[Mapping[str, Callable[[Path], tuple[Any, Any]]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".csv": _read_csv,
}

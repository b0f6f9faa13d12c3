"""Spaces and translators of latentis: tables of embeddings in its format, and maps as its transforms.

latentis (Flegyas/latentis, MIT) keeps a space in a folder: ``vectors/vectors.pt``, a tensor [K, D];
``vectors/mapping.tsv``, the key of each row; and ``properties.json``. Reading and writing these needs no
latentis; `to_transform` does, and imports it when it is called.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises for content that it refuses
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, to_tensor
from alignment.embeddings.files import as_integers
from alignment.embeddings.peer import EmbeddingPeer
from alignment.embeddings.table import EmbeddingTable
from alignment.linear_map import LinearMap

if TYPE_CHECKING:
    from latentis.transform import Transform

VECTORS: Final = Path("vectors", "vectors.pt")
MAPPING: Final = Path("vectors", "mapping.tsv")
PROPERTIES: Final = Path("properties.json")
# What latentis 0.0.8 writes itself and looks for when it reads a folder.
OWN_PROPERTIES: Final = {"_version": -42, "_type": "LatentSpace", "_vector_source": "TensorSource"}


class Space(Protocol):
    """What is read of a ``LatentSpace``: embeddings [K, D] and one key for each row, or none at all."""

    @property
    def vectors(self) -> Tensor:
        """Embeddings, [K, D]."""

    @property
    def keys(self) -> Iterable[Any]:
        """Key of each row, in their order; empty: rows are matched by position."""


def peer_of(space: Space, name: str | None = None) -> EmbeddingPeer:
    """Return a peer that has the embeddings of a ``LatentSpace``; its keys are the ids of the anchors.

    Args:
        space: The space.
        name: Name of the peer; default: that of the space.

    Raises:
        AlignmentError: It is no table, or has keys twice.
    """
    keys = list(space.keys)
    return EmbeddingPeer(name or str(getattr(space, "name", "space")), keys or None, space.vectors)


def read_space(folder: Path, name: str | None = None) -> EmbeddingPeer:
    """Return a peer that has the embeddings of a space in a folder of ``LatentSpace.save_to_disk``.

    Models beside the vectors are not read. The tensor is loaded with ``weights_only``, which runs no code.

    Args:
        folder: The folder.
        name: Name of the peer; default: that of the space, or of the folder.

    Raises:
        AlignmentError: The folder holds no space.
        OSError: It cannot be read.
    """
    try:
        vectors = torch.load(folder / VECTORS, map_location="cpu", weights_only=True)
        properties = json.loads((folder / PROPERTIES).read_text(encoding="utf-8"))
        keys = _read_keys(folder / MAPPING)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        raise _no_space(folder, str(error).partition("\n")[0]) from error
    if not isinstance(vectors, Tensor) or not isinstance(properties, dict):
        raise _no_space(folder, f"it holds {type(vectors).__name__} and {type(properties).__name__}")
    return EmbeddingPeer(name or str(properties.get("name", folder.name)), as_integers(keys) or None, vectors)


def write_space(table: EmbeddingTable, folder: Path) -> None:
    """Write a table as a folder that ``LatentSpace.load_from_disk`` reads.

    Args:
        table: The table; its ids become keys.
        folder: Folder to write; created where it is missing.
    """
    (folder / VECTORS).parent.mkdir(parents=True, exist_ok=True)
    torch.save(to_tensor(table.vectors, table.name).detach().cpu().contiguous(), folder / VECTORS)
    with (folder / MAPPING).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([("x", "y"), *((each, row) for row, each in enumerate(table.ids or ()))])
    text = json.dumps(OWN_PROPERTIES | {"name": table.name}, indent=4)
    (folder / PROPERTIES).write_text(text, encoding="utf-8")


def to_transform(forward: LinearMap, backward: LinearMap | None = None, name: str = "map") -> "Transform":
    """Return a map as a fitted transform of latentis: ``transform(x)`` is ``(x @ weight + bias, y)``.

    Args:
        forward: The map, such as ``edge.map.shared`` of two tables or ``run.map("agent-0", "agent-1")``.
        backward: The map of the other direction, for ``inverse_transform``; default: there is none.
        name: Name of the transform.

    Raises:
        ImportError: latentis is not installed.
    """
    try:
        from latentis.transform import SimpleTransform
    except ModuleNotFoundError as error:
        raise ImportError("to_transform needs latentis: pip install 'social-jepa[latentis]'") from error
    # states are buffers of the module, so that .to(device) and state_dict() hold the maps
    state = {"weight": forward.weight, "bias": forward.bias}
    if backward is not None:
        state |= {"back_weight": backward.weight, "back_bias": backward.bias}
    made = SimpleTransform(
        transform_fn=_forward, state_fn=lambda x: state, inverse_fn=None if backward is None else _backward,
        name=name,
    )  # fmt: skip
    return made.fit(forward.weight)


def _forward(x: Tensor, weight: Tensor, bias: Tensor, **_: Tensor) -> Tensor:
    return x.to(weight.dtype) @ weight + bias


def _backward(x: Tensor, back_weight: Tensor, back_bias: Tensor, **_: Tensor) -> Tensor:
    return x.to(back_weight.dtype) @ back_weight + back_bias


def _read_keys(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t")
        rows = [(int(row["y"]), row["x"]) for row in reader]
    if reader.fieldnames != ["x", "y"] or [place for place, _ in sorted(rows)] != list(range(len(rows))):
        raise ValueError("its mapping does not number the rows from 0")
    return [key for _, key in sorted(rows)]


def _no_space(folder: Path, reason: str) -> AlignmentError:
    return AlignmentError(
        f"{folder} holds no space of latentis ({reason})", "write it with LatentSpace.save_to_disk"
    )

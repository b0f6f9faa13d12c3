"""The maps of an alignment in one safetensors file, both directions with their whitening."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from alignment.arrays import AlignmentError
from alignment.embeddings.alignment import Alignment
from alignment.embeddings.edge import EmbeddingEdge, EmbeddingMap
from alignment.embeddings.whitening import Whitening
from alignment.linear_map import LinearMap

FORMAT: Final = "social-jepa alignment 1"
WHITENING: Final = ("mean", "transform", "inverse")
DIRECTIONS: Final = ("forward", "backward")
AXES: Final = ("source_axes", "target_axes", "slopes", "errors")


class StoredMaps(NamedTuple):
    """The maps that a file holds.

    Attributes:
        forward: From the first table to the second.
        backward: From the second table to the first.
        scores: What was known about each edge when it was written: by direction, then by field.
    """

    forward: EmbeddingMap
    backward: EmbeddingMap
    scores: dict[str, dict[str, Any]]


def encode_maps(alignment: Alignment) -> bytes:
    """Return the maps of an alignment as the bytes of a safetensors file, float64.

    For each direction: whitening of both sides (mean, transform, inverse), shared axes, slopes, errors, and
    the weight and bias of the shared and of the full map in the tables' own units, so that a reader needs no
    more than ``y = x @ weight + bias``. The metadata holds the format, and the scores as JSON.
    """
    tensors: dict[str, Tensor] = {}
    scores = {}
    for direction in DIRECTIONS:
        edge: EmbeddingEdge = getattr(alignment, direction)
        tensors |= {f"{direction}.{name}": tensor for name, tensor in _tensors(edge.map).items()}
        scores[direction] = {
            field.name: _plain(getattr(edge, field.name)) for field in fields(edge) if field.name != "map"
        }
    metadata = {
        "format": FORMAT,
        "scores": json.dumps(scores),
        "settings": json.dumps(asdict(alignment.settings)),
    }
    return save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, metadata)


def edge_tensors(edge: EmbeddingEdge) -> dict[str, Tensor]:
    """Return the map of one edge as named tensors, see `encode_maps`."""
    return _tensors(edge.map)


def map_from_tensors(tensors: Mapping[str, Tensor]) -> EmbeddingMap:
    """Return the map that `edge_tensors` named.

    Raises:
        KeyError: A tensor is missing.
        ValueError: One contradicts the others.
    """
    return _read({f"forward.{name}": tensor for name, tensor in tensors.items()}, "forward")


def _plain(value: Any) -> Any:
    return value._asdict() if hasattr(value, "_asdict") else value


def _tensors(found: EmbeddingMap) -> dict[str, Tensor]:
    sides = {
        f"{side}.{part}": getattr(getattr(found, side), part)
        for side in ("source", "target")
        for part in WHITENING
    }
    maps = {
        f"{name}.{part}": getattr(getattr(found, name), part)
        for name in ("shared", "full")
        for part in ("weight", "bias")
    }
    return sides | maps | {name: getattr(found, name) for name in AXES}


def load_maps(path: Path | str) -> StoredMaps:
    """Return the maps that `encode_maps` wrote.

    Raises:
        AlignmentError: The file holds something else, or is damaged.
        OSError: It cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}")
        maps = [_read(tensors, direction) for direction in DIRECTIONS]
        return StoredMaps(maps[0], maps[1], json.loads(metadata["scores"]))
    except (SafetensorError, KeyError, ValueError) as error:
        raise AlignmentError(
            f"{path} holds no maps of an alignment: {error}", "write it with social-jepa align --out"
        ) from error


def _read(tensors: dict[str, Tensor], direction: str) -> EmbeddingMap:
    def part(name: str) -> Tensor:
        return tensors[f"{direction}.{name}"]

    sides = [Whitening(*(part(f"{side}.{name}") for name in WHITENING)) for side in ("source", "target")]
    axes = {name: part(name) for name in AXES}
    found = EmbeddingMap(
        source=sides[0], target=sides[1], full=LinearMap(part("full.weight"), part("full.bias")), **axes
    )
    for name, tensor in _tensors(found).items():
        stored = part(name)
        if not torch.isfinite(stored).all() or not torch.allclose(stored, tensor, rtol=1e-6, atol=1e-9):
            raise ValueError(f"its part {name} contradicts the others")
    return found

"""The maps of one edge as a file for other programs: what an export of the whole run has, for one edge."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import safetensors.numpy

from social_jepa.graph.edge_lookup import find_edge
from social_jepa.graph.exchange import PARTS, describe_maps
from social_jepa.graph.graph_json import map_tensors
from social_jepa.graph.results import Results
from social_jepa.records import EdgeRecord, encode
from social_jepa.storage.run_folder_errors import RunFolderError

FORMAT: Final = "social-jepa map 1"


@dataclass(eq=False, repr=False)
class NoMapError(RunFolderError):
    """An edge without a map.

    Attributes:
        edge: The edge.
    """

    edge: EdgeRecord

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        edge = self.edge
        return (
            f"{edge.source} -> {edge.target} is {edge.status} and has no map ({edge.reason}): choose an edge "
            "that is accepted, or an earlier time"
        )


def encode_map(results: Results, source: str, target: str, form: str = "safetensors") -> bytes:
    """Return the maps of an edge with their metadata as the bytes of a file.

    Arrays have the names of `social_jepa.graph.exchange`: "SOURCE/TARGET/PART/weight" and ".../bias", PART
    being shared, regression or full. The metadata holds basis, recipe, versions, the checkpoints of both
    ends, and the edge with its scores.

    Args:
        results: The graph.
        source: Source of the edge.
        target: Target of the edge.
        form: One of `ENCODERS`.

    Raises:
        UnknownAgentError: There is no such agent.
        UnsettledEdgeError: The two have not settled that edge.
        NoMapError: It has no map.
    """
    edge = find_edge(results, source, target)
    names = [f"{source}/{target}/{part}" for part in PARTS]
    maps = {name: results.maps[name] for name in names if name in results.maps}
    if not maps:
        raise NoMapError(edge)
    arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in map_tensors(maps).items()}
    metadata = {
        "format": FORMAT,
        **describe_maps(source, target),
        "models": json.dumps({source: edge.source_checkpoint, target: edge.target_checkpoint}),
        "edge": encode(edge).decode(),
    }
    return ENCODERS[form](arrays, metadata)


def encode_npz(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Return a NumPy archive, whose array "metadata" is the metadata as JSON."""
    file = io.BytesIO()
    np.savez(file, metadata=np.array(json.dumps(metadata)), **arrays)  # type: ignore[arg-type]
    return file.getvalue()


ENCODERS: Final[Mapping[str, Callable[[dict[str, np.ndarray], dict[str, str]], bytes]]] = {
    "safetensors": safetensors.numpy.save,
    "npz": encode_npz,
}

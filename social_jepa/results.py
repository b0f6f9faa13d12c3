"""Write a finished run's results into its folder, and read them back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from agents.agent import Memory
from agents.edge import Pools
from agents.files import write_atomically
from alignment.anchors import AnchorSet
from alignment.graph import TranslationGraph
from alignment.linear_map import LinearMap
from social_jepa.document import load_maps, save_maps, translation_graph
from social_jepa.store import RunFolder, StoreError, write_json

ANCHORS = "anchors.safetensors"


@dataclass(frozen=True)
class Results:
    """A finished run, read back.

    Attributes:
        document: graph.json.
        graph: Its edges with their core maps.
        maps: Every map, "source/target/core" and "source/target/full".
    """

    folder: RunFolder
    document: Mapping[str, Any]
    graph: TranslationGraph
    maps: Mapping[str, LinearMap]

    def pools(self, name: str) -> Pools:
        """Return what an agent makes of the ticks that may be compared.

        Raises:
            StoreError: The file is missing or damaged.
        """
        path = self.folder.agent(name) / ANCHORS
        tensors = _tensors(path)
        core_dim = next(agent["core_dim"] for agent in self.document["agents"] if agent["name"] == name)
        try:
            sets = [
                AnchorSet(tuple(tensors[f"{part}.ticks"].tolist()), tensors[f"{part}.vectors"], core_dim)
                for part in ("anchors", "heldout")
            ]
        except (KeyError, ValueError) as error:
            raise _damaged(path, error) from error
        return Pools(*sets)


def save_results(
    folder: RunFolder,
    document: Mapping[str, Any],
    graph: TranslationGraph,
    maps: Mapping[str, LinearMap],
    memories: Mapping[str, Memory],
) -> None:
    """Write graph.json last, so that a folder that has it has everything."""
    save_maps(folder.maps_file, maps)
    for name, memory in memories.items():
        tensors: dict[str, torch.Tensor] = {}
        for part, pool in (("anchors", memory.pools.anchors), ("heldout", memory.pools.heldout)):
            tensors |= {f"{part}.ticks": torch.tensor(pool.ids), f"{part}.vectors": pool.vectors.contiguous()}
        write_atomically(folder.agent(name) / ANCHORS, save(tensors))
    write_atomically(folder.path / "graph.graphml", graph.to_graphml())
    write_json(folder.graph_file, document)


def load_results(folder: RunFolder) -> Results:
    """Read a finished run.

    Raises:
        StoreError: It has not finished, or a file is missing or damaged.
    """
    document = folder.graph()
    try:
        maps = load_maps(folder.maps_file)
        names = [agent["name"] for agent in document["agents"]]
        graph = translation_graph(names, document["edges"], maps)  # refuses an accepted edge without its map
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _damaged(folder.maps_file, error) from error
    return Results(folder, document, graph, maps)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path} is missing or damaged ({error}): resume the run to write it again")

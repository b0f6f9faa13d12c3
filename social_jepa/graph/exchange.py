"""A run's graph as one file for other programs: safetensors and npz hold all of it, csv and graphml scores.

A file with maps can be read back: `read_export` returns what it holds, and
`social_jepa.runtime.import_run` makes a run folder of it.
"""

import csv
import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError

from agents.common.config_error import ConfigError
from agents.training.checkpoint import decode_tensors
from alignment.arrays import AlignmentError
from alignment.linear_map import LinearMap
from alignment.status import Status
from social_jepa.config.overrides import build_config
from social_jepa.config.run_config import RunConfig
from social_jepa.graph.graph_json import map_tensors, maps_of, translation_graph
from social_jepa.graph.results import Results
from social_jepa.records import (
    BodyRecord,
    EdgeRecord,
    GraphDocument,
    MemberRecord,
    Record,
    decode,
    encode,
)
from social_jepa.storage.run_folder_errors import RunFolderError
from social_jepa.system.versions import commit, versions

FORMAT: Final = "social-jepa export 1"
BASIS: Final = (
    "Row vectors: target = source @ weight + bias. A latent's first core_dim dimensions are its core: white "
    "on the anchors, by falling lag-1 autocorrelation. shared and regression map core to core, full maps all "
    "dimensions that were compared. shared keeps the shared directions and drops the others; regression "
    "scales each by its correlation, which has the least squared error."
)
RECIPE: Final = """import numpy as np
from safetensors.numpy import load_file
maps = load_file(file)
weight, bias = (maps["{source}/{target}/shared/" + part] for part in ("weight", "bias"))
translated = np.asarray(latents, dtype=weight.dtype)[:, :len(weight)] @ weight + bias
"""
ANCHORS: Final = "anchors/"  # begins the names of arrays that are no part of a map
PARTS: Final = ("shared", "regression", "full")
NESTED = {"correlations", "latent_correlations", "raw", "raw_strong", "budget", "core_dims"}
SCALARS = tuple(name for name in EdgeRecord.__struct_fields__ if name not in NESTED)
CORE_DIMS = ("source_core_dim", "target_core_dim")
Arrays = dict[str, np.ndarray]


@dataclass(eq=False, repr=False)
class ExportFileError(RunFolderError):
    """A file that holds no export of a run, or a damaged one.

    Attributes:
        path: The file.
        reason: What is wrong with it.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        remedy = "export the run again, with the format safetensors or npz"
        return f"{self.path} holds no export of a run ({self.reason}): {remedy}"


class ExportedRun(Record, frozen=True, kw_only=True):
    """What an export says beside its arrays.

    Attributes:
        document: The graph.
        config: Settings of the run.
        members: Agents that were present.
        bodies: Every change of a body in the scene.
    """

    document: GraphDocument
    config: dict[str, Any]
    members: tuple[MemberRecord, ...]
    bodies: tuple[BodyRecord, ...]

    def settings(self) -> RunConfig:
        """Return the settings.

        Raises:
            ConfigError: One is unknown or out of range.
        """
        config: RunConfig = build_config(RunConfig, self.config)
        return config


@dataclass(frozen=True)
class Export:
    """Content of an export.

    Attributes:
        run: Settings, members and records.
        maps: Maps by "source/target/PART".
        anchors: Tensors of each agent's anchors by agent, see `AnchorPools.tensors`; empty: not exported.
    """

    run: ExportedRun
    maps: Mapping[str, LinearMap]
    anchors: Mapping[str, Mapping[str, torch.Tensor]]


def encode_safetensors(results: Results, anchors: bool = False) -> bytes:
    """Return maps, and anchors if asked for, as safetensors; the metadata says how to use them."""
    return safetensors.numpy.save(_arrays(results, anchors), _metadata(results))


def encode_npz(results: Results, anchors: bool = False) -> bytes:
    """Return the same as a NumPy archive, whose array "metadata" is the metadata as JSON."""
    file = io.BytesIO()
    metadata = np.array(json.dumps(_metadata(results)))
    np.savez(file, metadata=metadata, **_arrays(results, anchors))  # type: ignore[arg-type]
    return file.getvalue()


def encode_csv(results: Results, anchors: bool = False) -> bytes:
    """Return one row for each edge with its scores; a score that was not measured is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*SCALARS, *CORE_DIMS], lineterminator="\n")
    writer.writeheader()
    for edge in results.document.edges:
        writer.writerow(_flat_edge(edge))
    return text.getvalue().encode()


def encode_graphml(results: Results, anchors: bool = False) -> bytes:
    """Return agents and edges with their scores as GraphML."""
    return results.graph.to_graphml()


ENCODERS: Final[Mapping[str, Callable[[Results, bool], bytes]]] = {
    "safetensors": encode_safetensors,
    "npz": encode_npz,
    "graphml": encode_graphml,
    "csv": encode_csv,
}


def _flat_edge(edge: EdgeRecord) -> dict[str, Any]:
    """Return the fields of an edge that are one number or text."""
    dims = dict(zip(CORE_DIMS, edge.core_dims, strict=True))
    return {name: getattr(edge, name) for name in SCALARS} | dims


def _arrays(results: Results, anchors: bool) -> Arrays:
    found = {name: tensor.numpy() for name, tensor in map_tensors(results.maps).items()}
    if anchors:
        for name in results.graph.agents:
            if results.has_anchors(name):
                tensors = results.pools(name).tensors()
                found |= {f"{ANCHORS}{name}/{key}": tensor.numpy() for key, tensor in tensors.items()}
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _metadata(results: Results) -> dict[str, str]:
    accepted = [edge for edge in results.document.edges if edge.status is Status.ACCEPTED]
    pair = (accepted[0].source, accepted[0].target) if accepted else ("SOURCE", "TARGET")
    document = GraphDocument(  # without cycles and universe, which follow from maps and anchors
        **{key: getattr(results.document, key) for key in GraphDocument.__struct_fields__}
    )
    run = ExportedRun(
        document=document, config=results.config.as_dict(), members=results.members,
        bodies=results.bodies,
    )  # fmt: skip
    return {
        "format": FORMAT,
        **describe_maps(*pair),
        "models": json.dumps({agent.name: agent.checkpoint for agent in results.document.agents}),
        "exported": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "run": encode(run).decode(),
    }


def describe_maps(source: str, target: str) -> dict[str, str]:
    """Return what a reader of exported maps needs: basis, recipe for one of them, and versions."""
    return {
        "basis": BASIS,
        "recipe": RECIPE.format(source=source, target=target),
        "versions": json.dumps(versions() | {"commit": commit() or "unknown"}),
    }


def read_export(path: Path) -> Export:
    """Return the content of a safetensors or npz file that was exported.

    Raises:
        ExportFileError: It holds something else, or is damaged.
        OSError: It cannot be read.
    """
    try:
        arrays, metadata = _read_npz(path) if zipfile.is_zipfile(path) else _read_safetensors(path)
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}")
        found = _decode(arrays, decode(metadata["run"], ExportedRun))
    except (SafetensorError, KeyError, ValueError, TypeError, AlignmentError, zipfile.BadZipFile) as error:
        raise ExportFileError(path, str(error)) from error
    return found


def _read_safetensors(path: Path) -> tuple[Arrays, dict[str, str]]:
    tensors, metadata = decode_tensors(path.read_bytes())
    return {name: tensor.numpy() for name, tensor in tensors.items()}, metadata


def _read_npz(path: Path) -> tuple[Arrays, dict[str, str]]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, dict(json.loads(str(arrays.pop("metadata"))))


def _decode(arrays: Arrays, run: ExportedRun) -> Export:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} has values that are not finite")
    anchors: dict[str, dict[str, torch.Tensor]] = {}
    for name in [name for name in tensors if name.startswith(ANCHORS)]:
        agent, key = name.removeprefix(ANCHORS).rsplit("/", 1)
        anchors.setdefault(agent, {})[key] = tensors.pop(name)
    export = Export(run, maps_of(tensors), anchors)
    _check(export)
    return export


def _check(export: Export) -> None:
    """Raise ValueError where records and arrays contradict each other."""
    config = _checked_settings(export.run)
    document = export.run.document
    if document.config_hash != config.hash():
        raise ValueError("its settings are not those of its graph")
    members = [member.name for member in export.run.members]
    translation_graph(members, document.edges, export.maps)
    dims = {agent.name: (agent.core_dim, agent.dim) for agent in document.agents}
    pairs = {(edge.source, edge.target): edge for edge in document.edges}
    for name, found in export.maps.items():
        source, target, part = name.split("/")
        if (source, target) not in pairs or part not in PARTS:
            raise ValueError(f"the map {name} belongs to no edge")
        core = pairs[source, target].core_dims
        if part != "full" and (found.source_dim, found.target_dim) != core:
            raise ValueError(f"the map {name} is {found!r}, the cores have {core} dimensions")
    unknown = (export.anchors.keys() - dims.keys()) | ({name for pair in pairs for name in pair} - {*members})
    if unknown:
        raise ValueError(f"it has no agent {min(unknown)}")


def _checked_settings(run: ExportedRun) -> RunConfig:
    try:
        return run.settings()
    except ConfigError as error:
        raise ValueError(str(error)) from error

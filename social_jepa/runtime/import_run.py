"""A run folder made from an export: its graph can be read, compared and queried; it has no checkpoints."""

import contextlib
from pathlib import Path

import torch
from safetensors.torch import save

from agents.common.files import write_atomically
from alignment.linear_map import LinearMap
from social_jepa.graph.anchor_file import ANCHORS
from social_jepa.graph.exchange import Export, read_export
from social_jepa.graph.graph_json import map_tensors
from social_jepa.records import as_dict
from social_jepa.runtime.membership import record_start
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, created


def import_run(file: Path, out: Path | None = None) -> RunFolder:
    """Make a run folder of a file that `social-jepa export` wrote.

    Times of its records are those of the import; what else the graph says is what was exported.

    Args:
        file: The file, safetensors or npz.
        out: Folder to create; default: a new one in ./runs.

    Raises:
        ExportFileError: The file holds something else; no folder is created.
        RunFolderError: The folder cannot be created.
        OSError: The file cannot be read.
    """
    export = read_export(file)
    config = export.run.settings()
    with created(config, out) as folder:
        with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
            fingerprint = export.run.document.scene_fingerprint
            record_start(ledger, config, folder, "started", online=False, scene=fingerprint)
            _record(ledger, export)
        for name, tensors in export.anchors.items():
            _write_anchors(folder, export, name, dict(tensors))
    return folder


def _record(ledger: Ledger, export: Export) -> None:
    document = export.run.document
    ledger.join(export.run.members, export.run.bodies)
    ledger.set_incarnations({agent.name: agent.incarnation for agent in document.agents})
    ledger.record(
        agents=document.agents,
        edges=document.edges,
        maps={pair: save(map_tensors(parts)) for pair, parts in _maps_by_pair(export).items()},
        events=[("message_refused", {"reason": reason}) for reason in document.refused_messages],
    )
    if document.seconds is not None:
        ledger.event("finished", seconds=as_dict(document.seconds))
    else:
        ledger.event("stopped", reason="imported from a simulation")


def _maps_by_pair(export: Export) -> dict[tuple[str, str], dict[str, LinearMap]]:
    """Return the maps of each edge by part."""
    found: dict[tuple[str, str], dict[str, LinearMap]] = {}
    for name, one in export.maps.items():
        source, target, part = name.split("/")
        found.setdefault((source, target), {})[part] = one
    return found


def _write_anchors(folder: RunFolder, export: Export, name: str, tensors: dict[str, torch.Tensor]) -> None:
    checkpoint = next(agent.checkpoint for agent in export.run.document.agents if agent.name == name)
    folder.agent(name).mkdir(parents=True, exist_ok=True)
    write_atomically(folder.agent(name) / ANCHORS, save(tensors, {"checkpoint": checkpoint}))

"""graph.json: the run's result as one document that other programs read.

Its shape is fixed by ``graph.schema.json``. Every figure is held-out: no tick that scores was fitted, and no
tick that was fitted or scores was trained on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from agents.protocol.edge import EdgeResult
from agents.snapshot import AgentSnapshot
from alignment.fit import fit_ridge
from alignment.graph import Edge, TranslationGraph
from alignment.linear_map import LinearMap
from alignment.score import r2
from env.camera import Pose
from env.scene import Scene


def probe_r2(memory: AgentSnapshot, scene: Scene) -> float:
    """Return how much of the true state a linear read-out of the agent's code explains, held-out.

    For evaluation only: the observer knows the state, no agent does. Objects that stand still leave nothing
    to read out: 0.
    """
    fit, held = memory.pools.anchors, memory.pools.heldout
    truth = [torch.from_numpy(scene.factors(np.array(pool.ids))) for pool in (fit, held)]
    read_out = fit_ridge(fit.vectors, truth[0])
    return r2(read_out(held.vectors), truth[1])


def agent_entry(
    memory: AgentSnapshot, scene: Scene, pose: Pose, node: str, incarnation: int
) -> dict[str, Any]:
    """Return one row of ``agents``."""
    card, progress = memory.peer_info, memory.progress
    return {
        "name": card.name,
        "kind": card.kind,
        "pose": asdict(pose),
        "device": progress.device,
        "dim": card.dim,
        "core_dim": card.core_dim,
        "probe_r2": probe_r2(memory, scene),
        "frames_per_s": progress.frames_per_s,
        "checkpoint": card.checkpoint,
        "collapsed": card.collapsed,
        "effective_rank": memory.effective_rank,
        "autocorrelation": memory.spectrum.tolist(),
        "steps": progress.step,
        "frames": progress.frames,
        "loss": list(memory.losses),
        "record_seconds": progress.record_seconds,
        "train_seconds": progress.train_seconds,
        "distill_frames": progress.distill_frames,
        "pose_version": memory.pose_version,
        "incarnation": incarnation,
        "node": node,
    }


def edge_entry(edge: EdgeResult) -> dict[str, Any]:
    """Return one row of ``edges``; figures are null where nothing was measured."""
    score = edge.score
    measured = None if score is None else {
        "r2": score.r2, "r2_core": score.r2_core, "null_r2": score.null_r2,
        "spectrum": list(score.spectrum), "null_spectrum": list(score.null_spectrum),
        "kappa": score.kappa, "isometry_deviation": score.isometry_deviation,
        "retrieval_at_1": score.retrieval_at_1, "cka": score.cka, "mutual_knn": score.mutual_knn,
    }  # fmt: skip
    nothing = dict.fromkeys(
        ("r2", "r2_core", "null_r2", "kappa", "isometry_deviation", "retrieval_at_1", "cka", "mutual_knn")
    ) | {"spectrum": [], "null_spectrum": []}
    return {
        "source": edge.source,
        "target": edge.target,
        "status": str(edge.status),
        "reason": edge.reason,
        **_finite(measured or nothing),
        "anchors": edge.anchors,
        "heldout": edge.heldout,
        "bytes": edge.bytes,
        "method": "procrustes",
        "round": edge.round,
        "core_dims": list(edge.core_dims),
        "source_checkpoint": edge.source_checkpoint,
        "target_checkpoint": edge.target_checkpoint,
        "source_incarnation": edge.incarnations[0],
        "target_incarnation": edge.incarnations[1],
        "budget": [dict(row) for row in edge.budget],
    }


def _finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures with infinities as null: JSON has no word for them."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in figures.items()
    }


def budget_entry(edges: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return held-out R2 by number of anchors and method, mean and worst over the edges that were scored."""
    rows: dict[tuple[int, str], list[float]] = {}
    for edge in edges:
        for row in edge["budget"]:
            rows.setdefault((row["pairs"], row["method"]), []).append(row["r2"])
    return [
        {"pairs": pairs, "method": method, "r2_mean": float(np.mean(values)), "r2_min": min(values)}
        for (pairs, method), values in sorted(rows.items())
    ]


def translation_graph(
    names: Sequence[str], edges: Sequence[Mapping[str, Any]], maps: Mapping[str, LinearMap]
) -> TranslationGraph:
    """Return the graph of a document's edges and their core maps (``maps`` by "source/target/core")."""
    return TranslationGraph(names, [_graph_edge(edge, maps) for edge in edges])


def _graph_edge(entry: Mapping[str, Any], maps: Mapping[str, LinearMap]) -> Edge:
    own: dict[str, Any] = {key: entry[key] for key in ("source", "target", "status", "reason")}
    figures: dict[str, Any] = {key: entry[key] or 0.0 for key in ("r2", "r2_core")}
    details = {key: value for key, value in entry.items() if key not in {*own, *figures}}
    core_map = maps.get(f"{entry['source']}/{entry['target']}/core")
    return Edge(**own, **figures, map=core_map, details=details)


def cycle_entries(graph: TranslationGraph, points: Callable[[str], torch.Tensor]) -> list[dict[str, Any]]:
    """Return how far held-out anchors come back from where they left, around every triangle both ways.

    Args:
        graph: Whose triangles.
        points: An agent's held-out anchors, [K, core_dim], by its name.
    """
    return [
        {"agents": list(cycle), "error": graph.cycle_error(cycle, points(cycle[0]))}
        for cycle in graph.cycles(3)
    ]


def pack_maps(edge: EdgeResult) -> bytes | None:
    """Return an edge's maps as safetensors, or None where it has none."""
    maps = {part: found for part, found in (("core", edge.core_map), ("full", edge.map)) if found is not None}
    return save(map_tensors(maps)) if maps else None


def unpack_maps(source: str, target: str, data: bytes) -> dict[str, LinearMap]:
    """Return an edge's maps by "source/target/core" and "source/target/full"."""
    return {f"{source}/{target}/{part}": found for part, found in maps_of(load(data)).items()}


def map_tensors(maps: Mapping[str, LinearMap]) -> dict[str, torch.Tensor]:
    """Return maps as named tensors."""
    tensors: dict[str, torch.Tensor] = {}
    for name, found in maps.items():
        tensors |= {f"{name}/weight": found.weight.contiguous(), f"{name}/bias": found.bias.contiguous()}
    return tensors


def maps_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, LinearMap]:
    """Return the maps that `map_tensors` named."""
    names = {name.rsplit("/", 1)[0] for name in tensors}
    return {name: LinearMap(tensors[f"{name}/weight"], tensors[f"{name}/bias"]) for name in sorted(names)}

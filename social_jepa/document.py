"""graph.json: the run's result as one document that other programs read.

Its shape is fixed by ``graph.schema.json``. Every figure is held-out: no tick that scores was fitted, and no
tick that was fitted or scores was trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from agents.agent import Memory
from agents.edge import SettledEdge
from agents.files import write_atomically
from alignment.fit import fit_ridge
from alignment.graph import Edge, TranslationGraph
from alignment.linear_map import LinearMap
from alignment.score import r2
from env.scene import Scene
from social_jepa.config import RunConfig


def probe_r2(memory: Memory, scene: Scene) -> float:
    """Return how much of the true state a linear read-out of the agent's code explains, held-out.

    For evaluation only: the observer knows the state, no agent does. Objects that stand still leave nothing
    to read out: 0.
    """
    fit, held = memory.pools.anchors, memory.pools.heldout
    truth = [torch.from_numpy(scene.factors(np.array(pool.ids))) for pool in (fit, held)]
    read_out = fit_ridge(fit.vectors, truth[0])
    return r2(read_out(held.vectors), truth[1])


def agent_entry(memory: Memory, config: RunConfig, scene: Scene, index: int) -> dict[str, Any]:
    """Return one row of ``agents``."""
    card, progress = memory.card, memory.progress
    return {
        "name": card.name,
        "kind": card.kind,
        "pose": asdict(config.poses()[index]),
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
    }


def edge_entry(edge: SettledEdge, spent: int) -> dict[str, Any]:
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
        "bytes": spent,
        "method": "procrustes",
        "round": edge.round,
        "core_dims": list(edge.cores),
        "source_checkpoint": edge.source_checkpoint,
        "target_checkpoint": edge.target_checkpoint,
        "budget": [dict(row) for row in edge.budget],
    }


def _finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures with infinities as null: JSON has no word for them."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in figures.items()
    }


def budget_entry(edges: Sequence[SettledEdge]) -> list[dict[str, Any]]:
    """Return held-out R2 by number of anchors and method, mean and worst over the edges that were scored."""
    rows: dict[tuple[int, str], list[float]] = {}
    for edge in edges:
        for row in edge.budget:
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


def cycle_entries(graph: TranslationGraph, memories: Mapping[str, Memory]) -> list[dict[str, Any]]:
    """Return how far held-out anchors come back from where they left, around every triangle both ways."""
    return [
        {"agents": list(cycle), "error": graph.cycle_error(cycle, memories[cycle[0]].pools.heldout.core())}
        for cycle in graph.cycles(3)
    ]


def edge_maps(edges: Sequence[SettledEdge]) -> dict[str, LinearMap]:
    """Return all maps: "source/target/core" between cores, "source/target/full" between all dimensions."""
    maps = {}
    for edge in edges:
        for kind, found in (("core", edge.core_map), ("full", edge.map)):
            if found is not None:
                maps[f"{edge.source}/{edge.target}/{kind}"] = found
    return maps


def save_maps(path: Path, maps: Mapping[str, LinearMap]) -> None:
    """Write maps to a safetensors file."""
    tensors: dict[str, torch.Tensor] = {}
    for name, found in maps.items():
        tensors |= {f"{name}/weight": found.weight.contiguous(), f"{name}/bias": found.bias.contiguous()}
    write_atomically(path, save(tensors))


def load_maps(path: Path) -> dict[str, LinearMap]:
    """Return the maps that `save_maps` wrote."""
    tensors = load_file(path)
    names = {name.rsplit("/", 1)[0] for name in tensors}
    return {name: LinearMap(tensors[f"{name}/weight"], tensors[f"{name}/bias"]) for name in sorted(names)}

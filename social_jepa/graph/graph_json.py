"""Records and tensors of the graph, from what agents report: the content of the ledger and of graph.json.

Scores are computed on held-out ticks: no map was fitted on them, and no agent trained on them or on the
ticks that maps were fitted on.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from agents.protocol.edge import EdgeResult
from agents.snapshot import AgentSnapshot
from alignment.edge import Edge
from alignment.edge_score import EdgeScore
from alignment.fit import fit_ridge
from alignment.graph import TranslationGraph
from alignment.linear_map import LinearMap
from alignment.raw_map import RawScore
from alignment.score import r2
from alignment.status import Status
from env.camera import Pose
from env.scene import Scene
from env.sources.contract import UnknownStateError
from social_jepa.records import (
    AgentRecord,
    BudgetRow,
    BudgetSummary,
    CycleRecord,
    EdgeRecord,
    PoseRecord,
    RawMapRecord,
    TickRange,
)

UNRECORDED = 0.0  # time of a record that the ledger does not hold yet; the ledger sets it


def probe_r2(snapshot: AgentSnapshot, scene: Scene) -> float | None:
    """Return the held-out R2 of a linear probe that reads the scene's true state from an agent's latents.

    For evaluation only: the observer knows the state, agents do not. Static objects leave nothing to predict:
    0. None where a source of frames does not know the state.
    """
    fit, held = snapshot.pools.anchors, snapshot.pools.heldout
    try:
        truth = [torch.from_numpy(scene.factors(np.array(pool.ids))) for pool in (fit, held)]
    except UnknownStateError:
        return None
    probe = fit_ridge(fit.vectors, truth[0])
    return r2(probe(held.vectors), truth[1])


def agent_record(
    snapshot: AgentSnapshot, scene: Scene, pose: Pose, node: str, incarnation: int
) -> AgentRecord:
    """Return the record of an agent's publication."""
    peer_info, progress = snapshot.peer_info, snapshot.progress
    return AgentRecord(
        name=peer_info.name,
        kind=peer_info.kind,
        pose=PoseRecord.of(pose),
        device=progress.device,
        node=node,
        dim=peer_info.dim,
        core_dim=peer_info.core_dim,
        probe_r2=probe_r2(snapshot, scene),
        frames_per_s=progress.frames_per_s,
        checkpoint=peer_info.checkpoint,
        collapsed=peer_info.collapsed,
        effective_rank=snapshot.effective_rank,
        autocorrelation=tuple(snapshot.spectrum.tolist()),
        explained=tuple(snapshot.explained.tolist()),
        noise=snapshot.noise,
        encoders=snapshot.encoders,
        steps=progress.step,
        stage_steps=snapshot.stage_steps,
        frames=progress.frames,
        losses=tuple(snapshot.losses),
        distill_curve=progress.distill_curve,
        record_seconds=progress.record_seconds,
        train_seconds=progress.train_seconds,
        distill_frames=progress.distill_frames,
        trained_ticks=TickRange.of(snapshot.trained_ticks),
        fitted_ticks=TickRange.of(snapshot.pools.anchors.ids),
        scored_ticks=TickRange.of(snapshot.pools.heldout.ids),
        pose_version=snapshot.pose_version,
        incarnation=incarnation,
        published_at=UNRECORDED,
    )


def edge_record(result: EdgeResult) -> EdgeRecord:
    """Return the record of a settled edge; scores are None where nothing was measured."""
    return EdgeRecord(
        source=result.source,
        target=result.target,
        status=result.status,
        reason=result.reason,
        **_scores(result.score),
        anchors=result.anchors,
        outliers=result.outliers,
        noise=result.noise,
        heldout=result.heldout,
        bytes=result.bytes,
        method="procrustes",
        round=result.round,
        core_dims=result.core_dims,
        source_checkpoint=result.source_checkpoint,
        target_checkpoint=result.target_checkpoint,
        source_incarnation=result.incarnations[0],
        target_incarnation=result.incarnations[1],
        time=UNRECORDED,
        budget=tuple(BudgetRow(**row) for row in result.budget),
    )


def _scores(score: EdgeScore | None) -> dict[str, Any]:
    """Return the scores of an edge by field of `EdgeRecord`; NaN and infinity, which JSON lacks, as None."""
    scalars = (
        "r2", "r2_shared", "null_correlation", "latent_null_correlation", "kappa", "isometry_deviation",
        "retrieval_at_1", "cka", "mutual_knn",
    )  # fmt: skip
    whole = ("shared_dim", "correlations", "latent_shared_dim", "latent_correlations")
    if score is None:
        return dict.fromkeys(scalars) | {name: 0 if name.endswith("dim") else () for name in whole}
    values = {key: getattr(score, key) for key in scalars}
    finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
    raw = {name: _raw_record(getattr(score, name)) for name in ("raw", "raw_strong")}
    return finite | {name: getattr(score, name) for name in whole} | raw


def _raw_record(score: RawScore | None) -> RawMapRecord | None:
    if score is None:
        return None
    values = asdict(score)
    return RawMapRecord(**values | {"kappa": score.kappa if math.isfinite(score.kappa) else None})


def summarize_budget(edges: Sequence[EdgeRecord]) -> tuple[BudgetSummary, ...]:
    """Return held-out R2 by number of anchors and method: mean and minimum over the scored edges."""
    values: dict[tuple[int, str], list[float]] = {}
    for edge in edges:
        for row in edge.budget:
            values.setdefault((row.pairs, row.method), []).append(row.r2)
    return tuple(
        BudgetSummary(
            pairs=pairs,
            method=method,  # type: ignore[arg-type]  # it comes from a BudgetRow
            r2_mean=float(np.mean(found)),
            r2_min=min(found),
        )
        for (pairs, method), found in sorted(values.items())
    )


def translation_graph(
    names: Sequence[str], edges: Sequence[EdgeRecord], maps: Mapping[str, LinearMap],
    absent: Iterable[str] = (), details: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
) -> TranslationGraph:  # fmt: skip
    """Return the graph of these edges and their core maps.

    Args:
        names: Agents of the graph.
        edges: Their edges.
        maps: Maps by "source/target/shared" and "source/target/regression".
        absent: Agents of the run that are not in this graph.
        details: What is known about agents, by name.
    """
    return TranslationGraph(names, [graph_edge(edge, maps) for edge in edges], absent, details)


def graph_edge(edge: EdgeRecord, maps: Mapping[str, LinearMap]) -> Edge:
    """Return an edge of a graph with its core maps, which have names as in `translation_graph`."""
    if edge.status is Status.ENDED:
        raise ValueError(f"the edge {edge.source} -> {edge.target} has ended, so it belongs to no graph")
    own = {"source", "target", "status", "reason", "r2", "r2_shared"}
    return Edge(
        edge.source,
        edge.target,
        edge.status,
        edge.reason,
        edge.r2 or 0.0,
        edge.r2_shared or 0.0,
        maps.get(f"{edge.source}/{edge.target}/shared"),
        maps.get(f"{edge.source}/{edge.target}/regression"),
        {key: getattr(edge, key) for key in edge.__struct_fields__ if key not in own},
    )


def cycle_records(
    graph: TranslationGraph, cycles: Iterable[Sequence[str]], points: Callable[[str], torch.Tensor]
) -> tuple[CycleRecord, ...]:
    """Return the error of cycles of three agents on held-out latents, and what it is measured on.

    Args:
        graph: Graph whose maps the cycles follow.
        cycles: Agents of each cycle, see `TranslationGraph.cycles`.
        points: Returns an agent's held-out latents, [K, core_dim], by its name.
    """
    found = []
    for cycle in cycles:
        dim = graph.cycle_dim(cycle)  # of an empty set of directions no error can be measured
        error = graph.cycle_error(cycle, points(cycle[0])) if dim else None
        found.append(CycleRecord(agents=tuple(cycle), dim=dim, error=error))
    return tuple(found)


def pack_maps(edge: EdgeResult) -> bytes | None:
    """Return an edge's maps as safetensors, or None where it has none."""
    parts = {"shared": edge.shared_map, "regression": edge.regression_map, "full": edge.map}
    maps = {part: found for part, found in parts.items() if found is not None}
    return save(map_tensors(maps)) if maps else None


def unpack_maps(data: bytes) -> dict[str, LinearMap]:
    """Return an edge's maps by part: shared, regression and full."""
    return maps_of(load(data))


def map_tensors(maps: Mapping[str, LinearMap]) -> dict[str, torch.Tensor]:
    """Return maps as named tensors."""
    tensors: dict[str, torch.Tensor] = {}
    for name, found in maps.items():
        tensors |= {f"{name}/weight": found.weight.contiguous(), f"{name}/bias": found.bias.contiguous()}
    return tensors


def maps_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, LinearMap]:
    """Return the maps that `map_tensors` made tensors of."""
    names = {name.rsplit("/", 1)[0] for name in tensors}
    return {name: LinearMap(tensors[f"{name}/weight"], tensors[f"{name}/bias"]) for name in sorted(names)}

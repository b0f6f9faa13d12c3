"""Queries of the graph: translate a latent into another agent's space, and find the nearest ticks there.

Nothing here writes a file. Only encoding a tick that is not among the held-out ones renders a view.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.common.files import PUBLISHED
from agents.models.registry import build_world_model
from agents.models.world_model import NO_SENSOR_DATA, WorldModel, encode_with
from agents.snapshot import PublishedModel, load_encoder
from agents.training.checkpoint import CheckpointError
from alignment.anchors import AnchorSet
from alignment.arrays import AlignmentError, AnyArray, Array, like, to_integers, to_tensor
from alignment.core import CoreBasis
from alignment.graph import NoPathError
from alignment.linear_map import LinearMap
from alignment.score import image_r2
from alignment.status import Status
from env.recording import SensorData
from env.scene import Scene
from social_jepa.graph.observer import Observer
from social_jepa.graph.query_errors import (
    LAST_TICK,
    EdgeNotAcceptedError,
    FramesError,
    ModelElsewhereError,
    ModelUnavailableError,
    SameAgentError,
    TickRangeError,
    VectorAndTickError,
    VectorSizeError,
)
from social_jepa.graph.results import Results
from social_jepa.graph.universe import UNIVERSE, between, scoring_cores
from social_jepa.records import NearestTick, PathQuality, QueryAnswer, Translation

DEFAULT_TICK = 0  # the first of the held-out ticks
BEST = "best"  # in place of the agents of a path: the path with the smallest expected error


def query(
    results: Results,
    source: str,
    target: str,
    *,
    tick: int | None = None,
    vector: AnyArray | Sequence[float] | None = None,
    via: str | Sequence[str] | None = None,
    top: int = 5,
) -> QueryAnswer:
    """Translate one latent and find its nearest ticks.

    Args:
        results: A graph.
        source: Agent whose latent is translated.
        target: Agent whose held-out ticks are searched; no map was fitted on them.
        tick: Tick whose view is encoded; tick 0 when neither tick nor vector is given.
        vector: A vector in the source's core instead, [core_dim].
        via: Agents to go through, "best" or "universe"; by default the direct edge.
        top: How many nearest ticks to return.

    Raises:
        QueryError: Tick or vector cannot be translated.
        AlignmentError: `top` is below 1.
        UnknownAgentError, NoPathError: No such agent, or an edge of the path was not accepted.
    """
    if top < 1:
        raise AlignmentError(f"a query returns the nearest tick or more, not {top}", "pass top=1 or more")
    path = find_path(results, source, target, via)
    if vector is not None and tick is not None:
        raise VectorAndTickError()
    if vector is not None:
        cores = to_tensor(vector, "vector").double()[None]
    else:
        tick = DEFAULT_TICK if tick is None else tick
        cores = encode_ticks(results, source, [tick])
    found = translate(results, path, cores, top)
    first = {"vector": cores[0].tolist(), "translated": found.translated[0], "nearest": found.nearest[0]}
    return QueryAnswer(**{**_quality_fields(found), "tick": tick, **first})


def translate(results: Results, path: Sequence[str], cores: AnyArray, top: int = 5) -> Translation:
    """Translate any number of core vectors along a path.

    Args:
        results: A graph.
        path: Agents of the path, both ends included.
        cores: [K, core_dim of the first].
        top: How many nearest held-out ticks of the last agent to return for each; 0 leaves them out.

    Raises:
        VectorSizeError: They do not have the source's core_dim, or are not finite.
    """
    source, target = path[0], path[-1]
    core_dim = results.core_dim(source)
    rows = to_tensor(cores, "cores").double()
    if rows.ndim != 2 or rows.shape[1] != core_dim or not torch.isfinite(rows).all():
        raise VectorSizeError(source, core_dim)
    translated = path_map(results, path)(rows)
    return Translation(
        **_quality_fields(measure_path(results, path)),
        translated=translated.tolist(),
        nearest=nearest_ticks(results.pools(target).heldout, translated, top) if top else [],
    )


def _quality_fields(quality: PathQuality) -> dict[str, Any]:
    return {key: getattr(quality, key) for key in PathQuality.__struct_fields__}


def path_map(results: Results, path: Sequence[str]) -> LinearMap:
    """Return the map along a path, or through the common space."""
    if UNIVERSE in path[1:-1]:
        return between(results.universe(), path[0], path[-1])
    return results.graph.compose(path)


def measure_path(results: Results, path: Sequence[str]) -> PathQuality:
    """Return the R2 that a path's edges promise together, and the R2 of its map on held-out anchors.

    Both are of the directions that arrive: those that all agents of the path share.

    No map was fitted on those anchors; they only chose which directions are shared. Through the common
    space ``expected_r2`` is the same number.
    """
    if results.is_elsewhere(path[0]):  # the anchors are not here either: the edge was scored on them
        score = results.graph.edge(path[0], path[1]).r2_shared
        return PathQuality(
            source=path[0], target=path[-1], path=tuple(path), expected_r2=score, measured_r2=score
        )
    source, target = scoring_cores(results.pools(path[0]), results.pools(path[-1]))
    measured = image_r2(path_map(results, path), source, target)
    expected = measured if UNIVERSE in path[1:-1] else results.graph.quality(path)
    return PathQuality(
        source=path[0], target=path[-1], path=tuple(path), expected_r2=expected, measured_r2=measured
    )


def nearest_ticks(heldout: AnchorSet, cores: Tensor, top: int) -> list[list[NearestTick]]:
    """Return the held-out ticks that are nearest to each core vector, [K, core_dim], nearest first."""
    distances = torch.cdist(cores.double(), heldout.core().double())
    found = distances.topk(min(top, distances.shape[1]), largest=False)
    return [
        [
            NearestTick(tick=heldout.ids[row], distance=distance)
            for distance, row in zip(line, rows, strict=True)
        ]
        for line, rows in zip(found.values.tolist(), found.indices.tolist(), strict=True)
    ]


def find_path(results: Results, source: str, target: str, via: str | Sequence[str] | None) -> list[str]:
    """Return the agents of a path, both ends included.

    Args:
        results: A graph.
        source: First agent.
        target: Last agent.
        via: Agents between them, "best" or "universe"; None is the direct edge.

    Raises:
        SameAgentError: Source and target are the same.
        EdgeNotAcceptedError: The direct edge was not accepted.
        UnknownAgentError, NoPathError: No such agent, or no such path.
    """
    if source == target:
        raise SameAgentError(source)
    graph = results.graph
    if via == BEST:
        return graph.best_path(source, target)
    if via == UNIVERSE:
        graph.check(source, target)
        between(results.universe(), source, target)
        return [source, UNIVERSE, target]
    if via is not None:
        path = [source, *([via] if isinstance(via, str) else via), target]
        graph.compose(path)
        return path
    edge = graph.edge(source, target)
    if edge.status is Status.ACCEPTED:
        return [source, target]
    try:
        alternative = tuple(graph.best_path(source, target))
    except NoPathError:
        alternative = ()
    raise EdgeNotAcceptedError(source, target, edge.status, edge.reason, alternative)


def encode_ticks(results: Results, source: str, ticks: Sequence[int]) -> Tensor:
    """Return the core latents of an agent at some ticks, by its published model, [K, core_dim].

    Raises:
        TickRangeError: A tick is outside the scene.
        AlignmentError: A tick is no whole number.
        ModelElsewhereError: This is the folder of another peer.
        ModelUnavailableError: Its model is missing, damaged or not the graph's.
        RuntimeError: A view has to be rendered, and OpenGL is missing.
    """
    if results.is_elsewhere(source):
        raise ModelElsewhereError(source)
    ticks = to_integers(ticks, "ticks")
    outside = [tick for tick in ticks if not 0 <= tick <= LAST_TICK]
    if outside:
        raise TickRangeError(outside[0])
    heldout = results.pools(source).heldout
    if set(ticks) <= set(heldout.ids):
        return heldout.core()[heldout.rows(ticks)]
    (model, basis), member = load_published(results, source), results.member(source)
    spec = member.config(results.config).model.sensor_spec_of(member.kind)
    with Observer(results) as observer, torch.inference_mode():
        frames, sensor_data = observer.record(source, ticks, spec)
        return basis.core(encode_with(model, torch.from_numpy(frames), sensor_data))


def encode_frames(
    results: Results, name: str, frames: Array, sensor_data: SensorData = NO_SENSOR_DATA
) -> Array:
    """Return the core latents of frames by an agent's published model, [K, core_dim]: what maps translate.

    Args:
        results: A graph.
        name: The agent.
        frames: uint8 [K, H, W, 3] of the run's frame size, a tensor or an array; the result is of that type.
            Of a kind that takes M views of a tick, [K, M, H, W, 3].
        sensor_data: View actions and actions of K ticks, for kinds that need them.

    Raises:
        FramesError: The frames have another shape or type, or the kind needs sensor data.
        ModelUnavailableError: Its model is missing, damaged or not the graph's.
    """
    member, config = results.member(name), results.config
    spec = member.config(config).model.sensor_spec_of(member.kind)
    shape: tuple[int, ...] = (config.scene.frame_size, config.scene.frame_size, 3)
    if spec.views > 1:
        shape = (spec.views, *shape)
    given = frames if isinstance(frames, Tensor) else torch.from_numpy(np.ascontiguousarray(frames))
    if given.dtype != torch.uint8 or given.shape[1:] != shape:
        wanted = ", ".join(map(str, shape))
        raise FramesError(name, f"pass uint8 [K, {wanted}], not {given.dtype} {list(given.shape)}")
    if spec.views > 1 and sensor_data.view_actions is None:
        raise FramesError(
            name, f"a {member.kind} also needs the view actions; name ticks of the scene instead"
        )
    model, basis = load_published(results, name)
    with torch.inference_mode():
        return like(basis.core(encode_with(model, given.cpu(), sensor_data)), frames)


def load_published(results: Results, name: str) -> tuple[WorldModel, CoreBasis]:
    """Return the model and the core basis that an agent's edges were negotiated with, on the CPU.

    Where the file of the published model cannot be used, the agent's checkpoint takes its place if the agent
    has not trained on since.

    Raises:
        ModelUnavailableError: It is missing, damaged or not the graph's, and no checkpoint replaces it.
    """
    member, config, folder = results.member(name), results.config, results.folder.agent(name)
    own, scene = member.config(config), Scene(config.scene, config.seed)
    owner: dict[str, object] = {"name": name, "kind": member.kind, "scene": scene.fingerprint}
    version, path = results.agent(name).checkpoint, folder / PUBLISHED

    def build() -> WorldModel:
        return build_world_model(member.kind, own.model, config.scene.frame_size, (0,))

    try:
        published = PublishedModel.load(path, owner, build)
        if published.snapshot.peer_info.checkpoint != version:
            raise CheckpointError(path, "is not the model in the graph")
    except CheckpointError as error:
        try:
            return load_encoder(folder / "checkpoint.safetensors", version, owner, build)
        except CheckpointError:
            reason = f"{error.path} {error.reason}"
            raise ModelUnavailableError(name, str(results.folder.path), reason) from error
    return published.model, published.basis

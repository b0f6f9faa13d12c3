"""Ask the graph: what would this be in another agent's space, and when did that agent see the like?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from agents.models.registry import build_world_model
from agents.models.world_model import encode_with
from agents.snapshot import PublishedModel
from agents.training.checkpoint import CheckpointError
from alignment.anchors import AnchorSet
from alignment.graph import NoPathError
from alignment.linear_map import LinearMap
from alignment.score import r2
from alignment.status import Status
from env.scene import Scene
from social_jepa.graph.results import Results
from social_jepa.graph.universe import UNIVERSE, between, scoring_cores
from social_jepa.report.rendering import Observer, sheet, write_png

LAST_TICK = 2**53  # far beyond any run, and still exact as a float
DEFAULT_TICK = 0  # the first tick of the stretch that scores
BEST = "best"  # in place of names to go through: whatever way promises the smallest error


class QueryError(ValueError):
    """A question that cannot be answered; the text says why."""


def query(
    results: Results,
    source: str,
    target: str,
    *,
    tick: int | None = None,
    vector: str | None = None,
    via: str | None = None,
    top: int = 5,
) -> dict[str, Any]:
    """Translate and find what is nearest.

    Args:
        results: A graph.
        source: Agent that speaks.
        target: Agent that listens; its memory is the held-out stretch, which no map was fitted on.
        tick: What the speaker sees at this tick is translated; tick 0 when nothing is given.
        vector: Or this vector of its core, as text.
        via: Agents to go through, as text, "best" or "universe"; by default the direct edge.
        top: How many nearest ticks to return.

    Raises:
        QueryError: Nothing to translate, or too much.
        UnknownAgentError, NoPathError: No such agent, or an edge on the way was refused.
    """
    path = route(results, source, target, via)
    if vector is not None and tick is not None:
        raise QueryError("give --tick or --vector, not both")
    if vector is not None:
        codes = parse_vector(vector)[None]
    else:
        tick = DEFAULT_TICK if tick is None else tick
        codes = encode_ticks(results, source, [tick])
    answer = translate(results, path, codes, top)
    (translated,), (near,) = answer.pop("translated"), answer.pop("nearest")
    return {**answer, "tick": tick, "vector": codes[0].tolist(), "translated": translated, "nearest": near}


def translate(results: Results, path: Sequence[str], codes: Tensor, top: int = 5) -> dict[str, Any]:
    """Translate any number of core vectors along a path.

    Args:
        results: A graph.
        path: Agents on the way, both ends included.
        codes: [K, core_dim of the first].
        top: How many nearest ticks of the last agent's memory to return for each; 0 leaves them out.

    Raises:
        QueryError: They have not as many numbers as the speaker's core, or one is not finite.
    """
    source, target = path[0], path[-1]
    core_dim = results.agent(source)["core_dim"]
    if codes.ndim != 2 or codes.shape[1] != core_dim or not torch.isfinite(codes).all():
        raise QueryError(
            f"the core of {source} has {core_dim} dimensions: every vector needs {core_dim} finite numbers"
        )
    translated = path_map(results, path)(codes.double())
    return {
        "from": source,
        "to": target,
        **quality(results, path),
        "translated": translated.tolist(),
        "nearest": nearest(results.pools(target).heldout, translated, top) if top else [],
    }


def path_map(results: Results, path: Sequence[str]) -> LinearMap:
    """Return the map along a path, or through the common space."""
    if UNIVERSE in path[1:-1]:
        return between(results.universe(), path[0], path[-1])
    return results.graph.compose(path)


def quality(results: Results, path: Sequence[str]) -> dict[str, Any]:
    """Return what a path is worth: what its edges promise together, and what held-out anchors say of it.

    Nothing was fitted on those anchors, so that ``measured_r2`` is the composed map's own. The common space
    promises nothing beyond what is measured: there ``expected_r2`` is the same figure.
    """
    source, target = scoring_cores(results, path[0], path[-1])
    measured = r2(path_map(results, path)(source), target)
    expected = measured if UNIVERSE in path[1:-1] else results.graph.quality(path)
    return {"path": list(path), "expected_r2": expected, "measured_r2": measured}


def nearest(memory: AnchorSet, codes: Tensor, top: int) -> list[list[dict[str, Any]]]:
    """Return the ticks of a memory that are nearest to each core vector, [K, core_dim], nearest first."""
    distance = torch.cdist(codes.double(), memory.core().double())
    found = distance.topk(min(top, distance.shape[1]), largest=False)
    return [
        [{"tick": memory.ids[row], "distance": away} for away, row in zip(line, rows, strict=True)]
        for line, rows in zip(found.values.tolist(), found.indices.tolist(), strict=True)
    ]


def route(results: Results, source: str, target: str, via: str | None) -> list[str]:
    """Return the agents on the way.

    Raises:
        QueryError: The way leads nowhere.
        NoPathError: The direct edge was refused; the text says why and names another way if there is one.
    """
    if source == target:
        raise QueryError(f"--from and --to are both {source}: name two agents")
    graph = results.graph
    if via == BEST:
        return graph.best_path(source, target)
    if via == UNIVERSE:
        graph.check(source, target)
        between(results.universe(), source, target)
        return [source, UNIVERSE, target]
    if via is not None:
        path = [source, *(name.strip() for name in via.split(",") if name.strip()), target]
        graph.compose(path)
        return path
    edge = graph.edge(source, target)
    if edge.status is Status.ACCEPTED:
        return [source, target]
    try:
        around = graph.best_path(source, target)
    except NoPathError:
        around = []
    remedy = f"; another way is --via {','.join(around[1:-1])}" if around else ""
    verb = "is" if edge.status is Status.STALE else "was"
    raise NoPathError(f"the edge {source} -> {target} {verb} {edge.status}: {edge.reason}{remedy}")


def parse_vector(text: str) -> Tensor:
    """Return a vector from text, [D].

    Raises:
        QueryError: Not numbers.
    """
    try:
        return torch.tensor([float(number) for number in text.split(",")], dtype=torch.float64)
    except ValueError as error:
        raise QueryError(f"--vector takes numbers with commas between, not {text!r}") from error


def encode_ticks(results: Results, source: str, ticks: Sequence[int]) -> Tensor:
    """Return the core codes of what an agent sees at some ticks, by its published model, [K, core_dim].

    Raises:
        QueryError: A tick outside the scene, or its model is missing, damaged or not the graph's.
    """
    outside = [tick for tick in ticks if not 0 <= tick <= LAST_TICK]
    if outside:
        raise QueryError(f"--tick {outside[0]}: choose from 0, where the scene begins, to {LAST_TICK}")
    memory = results.pools(source).heldout
    if set(ticks) <= set(memory.ids):
        return memory.core()[memory.rows(ticks)]
    published, member = load_published(results, source), results.member(source)
    needs = member.config(results.config).model.sensor_spec_of(member.kind)
    with Observer(results) as observer, torch.inference_mode():
        frames, senses = observer.record(source, ticks, needs)
        return published.basis.core(encode_with(published.model, torch.from_numpy(frames), senses))


def load_published(results: Results, name: str) -> PublishedModel:
    """Return the model that an agent's edges speak of, on the CPU.

    Raises:
        QueryError: It is missing, damaged or not the graph's.
    """
    member, config = results.member(name), results.config
    own, scene = member.config(config), Scene(config.scene, config.seed)
    path = results.folder.agent(name) / "published.safetensors"
    owner: dict[str, object] = {"name": name, "kind": member.kind, "scene": scene.fingerprint}
    try:
        published = PublishedModel.load(
            path, owner, lambda: build_world_model(member.kind, own.model, config.scene.frame_size, (0,))
        )
        if published.snapshot.peer_info.checkpoint != results.agent(name)["checkpoint"]:
            raise CheckpointError(f"{path} is not the version that the graph was made with")
    except CheckpointError as error:
        raise QueryError(f"{error}; social-jepa resume {results.folder.path} makes both anew") from error
    return published


def write_picture(results: Results, answer: dict[str, Any], path: Path | None) -> Path:
    """Draw what the speaker sees beside what the listener saw at the nearest ticks, and return the file."""
    source, target, tick = answer["from"], answer["to"], answer["tick"]
    with Observer(results) as observer:
        found = [
            (f"{target} t={near['tick']} d={near['distance']:.2f}", observer.render(target, near["tick"]))
            for near in answer["nearest"]
        ]
        rows = [found]
        if tick is not None:
            asked = [(f"{source} sees t={tick}", observer.render(source, tick))]
            rows = [[*asked, (f"{target} sees t={tick}", observer.render(target, tick))], found]
        name = f"query-{source}-{target}-{'vector' if tick is None else tick}.png"
        file = path or results.folder.path / name
        try:
            return write_png(file, sheet(rows))
        except OSError as error:
            raise QueryError(f"cannot write --picture {file}: {error.strerror}") from error


def print_answer(answer: dict[str, Any]) -> None:
    """Print an answer for people."""
    console = Console(highlight=False, markup=False)
    worth = f"expected R2 {answer['expected_r2']:.3f}, held-out {answer['measured_r2']:.3f}"
    console.print(f"{' > '.join(answer['path'])}   {worth}")
    for name in ("vector", "translated"):
        console.print(f"{name:<11}" + " ".join(f"{number:7.3f}" for number in answer[name]))
    console.print(f"nearest ticks in the memory of {answer['to']}")
    table = Table(box=None, pad_edge=False)
    table.add_column("tick", justify="right")
    table.add_column("distance", justify="right")
    for near in answer["nearest"]:
        table.add_row(str(near["tick"]), f"{near['distance']:.3f}")
    console.print(table)
    console.print(f"picture    {answer['picture']}", soft_wrap=True)

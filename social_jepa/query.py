"""Ask the graph: what would this be in another agent's space, and when did that agent see the like?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from agents.agent import Agent
from agents.checkpoint import CheckpointError
from alignment.anchors import AnchorSet
from alignment.graph import NoPathError
from social_jepa.pictures import Observer, sheet, write_png
from social_jepa.results import Results
from social_jepa.specs import agent_specs

LAST_TICK = 2**53  # far beyond any run, and still exact as a float
DEFAULT_TICK = 0  # the first tick of the stretch that scores


class QueryError(ValueError):
    """A question that cannot be answered; the text says why."""


def ask(
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
        results: A finished run.
        source: Agent that speaks.
        target: Agent that listens; its memory is the held-out stretch, which no map was fitted on.
        tick: What the speaker sees at this tick is translated; tick 0 when nothing is given.
        vector: Or this vector of its core, as text.
        via: Agents to go through, as text; by default the direct edge.
        top: How many nearest ticks to return.

    Raises:
        QueryError: Nothing to translate, or too much.
        UnknownAgentError, NoPathError: No such agent, or an edge on the way was refused.
    """
    if source == target:
        raise QueryError(f"--from and --to are both {source}: name two agents")
    path = route(results, source, target, via)
    tick, code = speak(results, source, tick, vector)
    translated = results.graph.compose(path)(code.double())
    return {
        "from": source,
        "to": target,
        "path": path,
        "expected_r2": results.graph.quality(path),
        "tick": tick,
        "vector": code.tolist(),
        "translated": translated.tolist(),
        "nearest": nearest(results.pools(target).heldout, translated, top),
    }


def speak(results: Results, source: str, tick: int | None, vector: str | None) -> tuple[int | None, Tensor]:
    """Return the tick that is spoken of, if any, and the core vector to translate, [core_dim]."""
    if vector is None:
        tick = DEFAULT_TICK if tick is None else tick
        return tick, embed(results, source, tick)
    if tick is not None:
        raise QueryError("give --tick or --vector, not both")
    return None, parse_vector(vector, results, source)


def nearest(memory: AnchorSet, code: Tensor, top: int) -> list[dict[str, Any]]:
    """Return the ticks of a memory whose cores are nearest to a core vector, [core_dim], nearest first."""
    distance = (memory.core().double() - code).norm(dim=1)
    found = distance.topk(min(top, len(distance)), largest=False)
    return [
        {"tick": memory.ids[row], "distance": float(away)}
        for away, row in zip(found.values, found.indices.tolist(), strict=True)
    ]


def route(results: Results, source: str, target: str, via: str | None) -> list[str]:
    """Return the agents on the way.

    Raises:
        NoPathError: The direct edge was refused; the text says why and names another way if there is one.
    """
    graph = results.graph
    if via is not None:
        path = [source, *(name.strip() for name in via.split(",") if name.strip()), target]
        graph.compose(path)
        return path
    edge = graph.edge(source, target)
    if edge.status == "accepted":
        return [source, target]
    try:
        around = graph.best_path(source, target)
    except NoPathError:
        around = []
    remedy = f"; another way is --via {','.join(around[1:-1])}" if around else ""
    raise NoPathError(f"the edge {source} -> {target} was {edge.status}: {edge.reason}{remedy}")


def parse_vector(text: str, results: Results, source: str) -> Tensor:
    """Return a core vector from text, [core_dim].

    Raises:
        QueryError: Not numbers, or not as many as the speaker's core has.
    """
    core_dim = next(agent["core_dim"] for agent in results.document["agents"] if agent["name"] == source)
    try:
        vector = torch.tensor([float(number) for number in text.split(",")], dtype=torch.float64)
    except ValueError as error:
        raise QueryError(f"--vector takes numbers with commas between, not {text!r}") from error
    if len(vector) != core_dim or not torch.isfinite(vector).all():
        raise QueryError(
            f"the core of {source} has {core_dim} dimensions: --vector needs {core_dim} finite numbers"
        )
    return vector


def embed(results: Results, source: str, tick: int) -> Tensor:
    """Return the core code of what an agent sees at a tick, from its checkpoint, [core_dim].

    Raises:
        QueryError: A tick outside the scene, or its checkpoint is missing, damaged or not the graph's.
    """
    if not 0 <= tick <= LAST_TICK:
        raise QueryError(f"--tick {tick}: choose from 0, where the scene begins, to {LAST_TICK}")
    config = results.folder.config()
    spec = next(spec for spec in agent_specs(config, results.folder) if spec.name == source)
    known = next(agent["checkpoint"] for agent in results.document["agents"] if agent["name"] == source)
    agent = Agent(replace(spec, device="cpu"))  # one frame, and perhaps not the machine that trained
    try:
        agent.load()
        if agent.basis is None or agent.checkpoint != known:
            raise CheckpointError(f"{agent.path} is not the checkpoint that the graph was made with")
        return agent.basis.core(agent.embed_ticks([tick]))[0]
    except CheckpointError as error:
        raise QueryError(f"{error}; social-jepa resume {results.folder.path} makes both anew") from error
    finally:
        agent.close()


def draw(results: Results, answer: dict[str, Any], path: Path | None) -> Path:
    """Draw what the speaker sees beside what the listener saw at the nearest ticks, and return the file."""
    source, target, tick = answer["from"], answer["to"], answer["tick"]
    with Observer(results.folder.config()) as observer:
        found = [
            (f"{target} t={near['tick']} d={near['distance']:.2f}", observer.see(target, near["tick"]))
            for near in answer["nearest"]
        ]
        rows = [found]
        if tick is not None:
            asked = [(f"{source} sees t={tick}", observer.see(source, tick))]
            rows = [[*asked, (f"{target} sees t={tick}", observer.see(target, tick))], found]
        name = f"query-{source}-{target}-{'vector' if tick is None else tick}.png"
        file = path or results.folder.path / name
        try:
            return write_png(file, sheet(rows))
        except OSError as error:
            raise QueryError(f"cannot write --picture {file}: {error.strerror}") from error


def print_answer(answer: dict[str, Any]) -> None:
    """Print an answer for people."""
    console = Console(highlight=False, markup=False)
    console.print(f"{' > '.join(answer['path'])}   expected R2 {answer['expected_r2']:.3f}")
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

"""What poisoned anchors and lying peers do to an edge and to a graph, and from where on it breaks.

``python -m benchmarks.robustness`` plants agents without pixels, so that it takes minutes, and prints

    rows    held-out error of an edge, a fifth of whose anchors are poisoned, over that of clean ones
    lies    what becomes of the edges of liars and of honest agents, for six kinds of lie
    search  the worst of many attacks, for growing shares of poisoned rows and numbers of liars
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.protocol.edge import EdgeResult
from alignment.held_out import HeldOut
from alignment.linear_map import LinearMap
from alignment.outliers import find_outliers
from alignment.score import r2
from alignment.shared_subspace import find_shared
from alignment.status import Status
from benchmarks.liars import FACTORS, LIES, SPLIT, PlantedAgent, negotiate, negotiations, plant, tell
from social_jepa.graph.graph_json import edge_record
from social_jepa.graph.trust import refuse_untrusted, trust_records
from social_jepa.records import EdgeRecord, EventRecord

AGENTS, MOST_LIARS = 10, 3
ANCHORS, SHARE = 256, 0.2
SHARES = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
BROKEN = 1.5  # times the error of clean anchors
Pair = tuple[str, str]
Poison = Callable[[Tensor, np.random.Generator], Tensor]


def _turned(angle: float, planes: int, length: float = 1.0) -> Poison:
    """Return a poison that turns all rows alike, by an angle in degrees in some planes, to another length."""

    def poison(rows: Tensor, rng: np.random.Generator) -> Tensor:
        turn, radians = torch.eye(rows.shape[1], dtype=rows.dtype), np.deg2rad(angle)
        for plane in range(planes):
            a, b = 2 * plane, 2 * plane + 1
            turn[a, a] = turn[b, b] = np.cos(radians)
            turn[a, b], turn[b, a] = np.sin(radians), -np.sin(radians)
        basis = torch.from_numpy(np.linalg.qr(rng.standard_normal((rows.shape[1],) * 2))[0]).to(rows)
        return length * rows @ basis @ turn @ basis.T

    return poison


def _noise(size: float) -> Poison:
    return lambda rows, rng: torch.from_numpy(size * rng.standard_normal(rows.shape)).to(rows)


POISONS: Mapping[str, Poison] = {
    "noise": _noise(1.0),
    "noise of 3 standard deviations": _noise(3.0),
    "noise of 1000 standard deviations": _noise(1000.0),
    "rows of other ticks": lambda rows, rng: rows[rng.permutation(len(rows))],
    "opposite rows": lambda rows, _: -rows,
    "opposite rows, 3 times as long": lambda rows, _: -3 * rows,
    **{
        f"rows turned by {angle} degrees": _turned(angle, 3) for angle in (15, 30, 35, 40, 45, 50, 60, 75, 90)
    },
    "rows turned by 35 degrees, 1.3 times as long": _turned(35, 3, 1.3),
    **{f"rows turned by {angle} degrees in one plane": _turned(angle, 1) for angle in (45, 90, 180)},
}


def poison_rows(seeds: Sequence[int], share: float) -> list[dict[str, Any]]:
    """Return the held-out error under each poison over that of clean anchors, with and without the test."""
    rows = []
    for name, poison in POISONS.items():
        ratios = []
        for seed in seeds:
            source, target = plant(seed, 2)
            ratios.append(_error_ratios(source, target, poison, share, seed))
        tested, untested, false = (max(values) for values in zip(*ratios, strict=True))
        rows.append({"poison": name, "tested": tested, "untested": untested, "false_rows": false})
    return rows


def _error_ratios(
    source: PlantedAgent, target: PlantedAgent, poison: Poison, share: float, seed: int
) -> tuple[float, float, int]:
    """Return the error with and without the test, over that of clean anchors, and clean rows left out."""
    rng = np.random.default_rng([seed, int(1000 * share)])
    pick = rng.permutation(len(source.pools.anchors.ids))[:ANCHORS]
    x, y = (side.pools.anchors.vectors[pick].double() for side in (source, target))
    held = HeldOut.of_pairs(source.pools.heldout.vectors.double(), target.pools.heldout.vectors.double())
    count, poisoned = round(share * ANCHORS), x.clone()
    poisoned[:count] = poison(x[:count], rng)
    left_out = find_outliers(poisoned, y)

    shared = find_shared(x, y, held)
    axes = shared.target_axes[:, : shared.dim]  # also where poison leaves fewer directions shared

    def error(a: Tensor, b: Tensor) -> float:
        return 1 - r2(find_shared(a, b, held).map(held.source) @ axes, held.target @ axes)

    clean = error(x, y)
    tested = error(poisoned[~left_out], y[~left_out])
    return tested / clean, error(poisoned, y) / clean, int(left_out[count:].sum())


def search_rows(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the worst poison for growing shares of poisoned rows."""
    found = []
    for share in SHARES:
        worst = max(poison_rows(seeds, share), key=lambda row: row["tested"])
        found.append({"share": share, "poison": worst["poison"], "ratio": worst["tested"]})
    return found


def tell_lies(seeds: Sequence[int], lies: Sequence[str], count: int) -> list[dict[str, Any]]:
    """Return what becomes of all edges under each kind of lie."""
    cases = []
    for seed in seeds:
        agents = plant(seed, AGENTS)
        honest = _by_pair(negotiate(negotiations(agents, seed, {}))[0])
        for lie in lies:
            told = tell(lie, agents, count, seed)
            edges, proved = negotiate(negotiations(agents, seed, told))
            cases.append({"lie": lie, "seed": seed, "liars": count})
            cases[-1] |= _outcome(edges, honest, set(told), proved)
    return cases


def _outcome(
    edges: Sequence[EdgeResult], honest: Mapping[Pair, EdgeResult], liars: set[str], proved: set[str]
) -> dict[str, int]:
    """Return numbers of edges and of liars: how many there are, and how many are seen as what they are."""
    lying = {(edge.source, edge.target) for edge in edges if {edge.source, edge.target} & liars}
    others, found = _by_pair(edges).keys() - lying, _by_pair(edges)
    by_maps, stopped = _stopped(edges, set()), _stopped(edges, proved)
    return {
        "edges_of_liars": len(lying),
        "stopped_by_maps": len(lying & by_maps),
        "stopped": len(lying & stopped),
        "honest_edges": len(others),
        "honest_stopped": len(others & stopped),
        "honest_changed": sum(_content(found[pair]) != _content(honest[pair]) for pair in others),
        "proved": len(proved & liars),
        "proved_wrongly": len(proved - liars),
    }


def _stopped(edges: Sequence[EdgeResult], proved: set[str]) -> set[Pair]:
    """Return the edges that are refused, by their target or because an agent is flagged."""
    records = [edge_record(edge) for edge in edges]
    maps = {f"{e.source}/{e.target}/shared": e.shared_map for e in edges if e.shared_map is not None}
    proofs = [
        EventRecord(number=0, time=0.0, type="equivocation", details={"agent": name, "tick": 0, "file": ""})
        for name in proved
    ]
    trust = trust_records({edge.source for edge in edges}, records, maps, proofs)
    final = refuse_untrusted(records, trust)
    return {(edge.source, edge.target) for edge in final if edge.status is not Status.ACCEPTED}


def _by_pair(edges: Sequence[EdgeResult]) -> dict[Pair, EdgeResult]:
    return {(edge.source, edge.target): edge for edge in edges}


def _content(edge: EdgeResult) -> tuple[object, ...]:
    """Return all that an edge states, bit for bit."""
    maps = [edge.map, edge.shared_map, edge.regression_map]
    return edge_record(edge), [m and (m.weight.numpy().tobytes(), m.bias.numpy().tobytes()) for m in maps]


def search_liars(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return, for growing numbers of liars, the worst of many ways to show peers different rotations.

    Maps alone decide here: liars send consistent rotations of their embeddings, one to each group of peers,
    and each lets the map back agree. Groups, their sizes, and whether liars agree on them are searched.
    """
    found = []
    for count in range(1, AGENTS // 2 + 1):
        unflagged, accused = (0, ""), (0, "")
        for seed, size, agree in product(seeds, range(1, AGENTS - count), (True, False)):
            flagged = _flagged(count, size, agree, seed)
            way = f"a group of {size}, {'the same' if agree else 'another'} for each liar"
            liars = {f"agent-{k}" for k in range(AGENTS - count, AGENTS)}
            unflagged = max(unflagged, (len(liars - flagged), way))
            accused = max(accused, (len(flagged - liars), way))
        found.append({"liars": count, "unflagged": unflagged, "accused": accused})
    return found


def _flagged(count: int, size: int, agree: bool, seed: int) -> set[str]:
    """Return the flagged agents where liars show another rotation to a group of honest agents."""
    rng, first = np.random.default_rng([seed, count, size, agree]), AGENTS - count

    def rotation() -> np.ndarray:
        return np.linalg.qr(rng.standard_normal((FACTORS, FACTORS)))[0]

    names, frames = [f"agent-{k}" for k in range(AGENTS)], [rotation() for _ in range(AGENTS)]
    together, turn = rng.permutation(first)[:size], rotation()
    groups = [together if agree else rng.permutation(first)[:size] for _ in range(count)]
    turns = [turn if agree else rotation() for _ in range(count)]

    def frame(agent: int, peer: int) -> np.ndarray:
        """Return how an agent's embeddings relate to the scene, as it shows them to a peer."""
        turned = agent >= first and peer in groups[agent - first]
        return turns[agent - first] @ frames[agent] if turned else frames[agent]

    bias, maps = torch.zeros(FACTORS), {}
    for a, b in permutations(range(AGENTS), 2):
        weight = torch.from_numpy(frame(a, b).T @ frame(b, a))
        maps[f"{names[a]}/{names[b]}/shared"] = LinearMap(weight, bias)
    records = [_accepted(*key.split("/")[:2]) for key in maps]
    return {record.agent for record in trust_records(names, records, maps) if record.flagged}


def _accepted(source: str, target: str) -> EdgeRecord:
    edge = EdgeResult(source, target, 0, Status.ACCEPTED, "", "0" * 16, "0" * 16, anchors=ANCHORS)
    return edge_record(edge)


def summarize(document: Mapping[str, Any]) -> list[str]:
    """Return the document as lines of a table in Markdown."""
    lines = ["| poisoned fifth of 256 anchors | error over clean | without the test |", "|---|---|---|"]
    lines += [
        f"| {row['poison']} | {row['tested']:.2f} | {row['untested']:,.2f} |" for row in document["rows"]
    ]
    lines += [
        "",
        f"| lie of {MOST_LIARS} of {AGENTS} agents | edges of liars refused, by maps alone | with proofs "
        "| liars proved | honest edges that changed | honest edges refused |",
        "|---|---|---|---|---|---|",
    ]
    for lie in (*LIES, SPLIT):
        cases = [case for case in document["lies"] if case["lie"] == lie]
        total = {key: sum(case[key] for case in cases) for key in cases[0] if key not in ("lie", "seed")}
        cells = (
            lie, f"{total['stopped_by_maps']:,} of {total['edges_of_liars']:,}", f"{total['stopped']:,}",
            f"{total['proved']} of {total['liars']}",
            f"{total['honest_changed']:,} of {total['honest_edges']:,}", f"{total['honest_stopped']:,}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| poisoned rows | worst poison found | error over clean |", "|---|---|---|"]
    lines += [
        f"| {row['share']:.0%} | {row['poison']} | {row['ratio']:.2f} |" for row in document["row_search"]
    ]
    lines += [
        "", f"| liars of {AGENTS} | not flagged by maps alone, at worst | honest agents flagged, at worst |",
        "|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {row['liars']} | {_with(*row['unflagged'])} | {_with(*row['accused'])} |"
        for row in document["liar_search"]
    ]
    return lines


def _with(count: int, way: str) -> str:
    return f"{count} ({way})" if count else "0"


def measure(seeds: Sequence[int]) -> dict[str, Any]:
    """Return all of it as one document."""
    return {
        "seeds": list(seeds), "agents": AGENTS, "anchors": ANCHORS, "share": SHARE,
        "rows": poison_rows(seeds, SHARE), "row_search": search_rows(seeds),
        "liar_search": search_liars(seeds),
        "lies": tell_lies(seeds, (*LIES, SPLIT), MOST_LIARS),
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the agents")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    document = measure(options.seeds)
    document["table"] = summarize(document)
    print("\n".join(document["table"]))
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

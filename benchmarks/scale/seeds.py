"""Seeds: whether it works again with other seeds and other scenes, and whether equal runs are equal."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.harness import BenchmarkError, Effort, Metric, at_least, at_most, say
from benchmarks.processes import run_project
from benchmarks.scale.whole_run import mean

GOAL = 0.88
RUNS = {
    "seed 1": ("seed=1",),
    "seed 2": ("seed=2",),
    "seed 3": ("seed=3",),
    "2 objects": ("scene.objects=2",),
    "4 objects": ("scene.objects=4",),
}
AGAIN = "seed 1"
OBJECTS = {"2 objects": 2, "4 objects": 4}
# What a clock or Ray decides, and no seed.
PASSING = {"seconds", "frames_per_s", "record_seconds", "train_seconds", "node"}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every figure of a document with its path, but for those that no seed decides."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key not in PASSING:
                yield from leaves(each, f"{path}.{key}")
    elif isinstance(value, list):
        yield path, len(value)
        for index, each in enumerate(value):
            yield from leaves(each, f"{path}[{index}]")
    else:
        yield path, value


def differences(one: Any, other: Any) -> list[str]:
    """Return the paths at which two documents differ in any printed digit."""
    mine, theirs = dict(leaves(one)), dict(leaves(other))
    return [path for path in mine.keys() | theirs.keys() if repr(mine.get(path)) != repr(theirs.get(path))]


def society(document: dict[str, Any], name: str) -> list[Metric]:
    """Return how well the agents of one run understand each other, and how large their cores are."""
    edges = [edge for edge in document["edges"] if edge["r2_core"] is not None]
    if not edges:
        raise BenchmarkError(f"{name}: no edge was scored: {document['edges'][0]['reason']}")
    return [
        Metric(
            f"{name}: held-out core R2, mean", mean(edge["r2_core"] for edge in edges), "",
            "shuffled pairs", mean(edge["null_r2"] for edge in edges), at_least(GOAL),
        ),
        Metric(
            f"{name}: dimensions of the core, mean",
            mean(agent["core_dim"] for agent in document["agents"]), "",
            "coordinates that move", 2 * OBJECTS.get(name, 3),
        ),
    ]  # fmt: skip


def figures(effort: Effort) -> list[Metric]:
    """Run the project with each seed and scene, and one of them twice."""
    documents = {}
    for name, settings in [*RUNS.items(), ("again", RUNS[AGAIN])]:
        say(f"  {name}")
        documents[name] = run_project([*effort.settings, *settings]).document
    again = documents.pop("again")
    changed = differences(documents[AGAIN], again)
    for path in changed[:5]:
        say(f"  differs: {path}")
    return [
        *(figure for name, document in documents.items() for figure in society(document, name)),
        Metric(
            f"{AGAIN} run twice: figures that differ", len(changed), "", "figures compared",
            len(dict(leaves(again))), at_most(0),
        ),
    ]  # fmt: skip

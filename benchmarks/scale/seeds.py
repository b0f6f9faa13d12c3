"""Seeds: quality with other seeds and other scenes, and equality of two runs with one seed."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.harness import BenchmarkError, Effort, Metric, at_least, at_most, log
from benchmarks.processes import run_project
from benchmarks.scale.whole_run import mean

MIN_R2 = 0.88
RUNS = {
    "seed 1": ("seed=1",),
    "seed 2": ("seed=2",),
    "seed 3": ("seed=3",),
    "2 objects": ("scene.objects=2",),
    "4 objects": ("scene.objects=4",),
}
REPEATED = "seed 1"
OBJECTS = {"2 objects": 2, "4 objects": 4}
# Keys whose values depend on time or on Ray, not on the seed.
NONDETERMINISTIC = {
    "seconds", "frames_per_s", "record_seconds", "train_seconds", "node", "time", "published_at", "as_of",
}  # fmt: skip


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every deterministic value of a document with its path."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key not in NONDETERMINISTIC:
                yield from leaves(each, f"{path}.{key}")
    elif isinstance(value, list):
        yield path, len(value)
        for index, each in enumerate(value):
            yield from leaves(each, f"{path}[{index}]")
    else:
        yield path, value


def differences(one: Any, other: Any) -> list[str]:
    """Return the paths at which two documents differ in any digit."""
    mine, theirs = dict(leaves(one)), dict(leaves(other))
    return [path for path in mine.keys() | theirs.keys() if repr(mine.get(path)) != repr(theirs.get(path))]


def quality(document: dict[str, Any], name: str) -> list[Metric]:
    """Return the quality of the maps of one run, and the size of the cores."""
    edges = [edge for edge in document["edges"] if edge["r2_shared"] is not None]
    if not edges:
        raise BenchmarkError(f"{name}: no edge was scored: {document['edges'][0]['reason']}")
    return [
        Metric(
            f"{name}: held-out R2, mean", mean(edge["r2_shared"] for edge in edges), "",
            "the mean", 0.0, at_least(MIN_R2),
        ),
        Metric(
            f"{name}: dimensions of the core, mean",
            mean(agent["core_dim"] for agent in document["agents"]), "",
            "coordinates that move", 2 * OBJECTS.get(name, 3),
        ),
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Run the project with each seed and scene, and one seed twice."""
    documents = {}
    for name, settings in [*RUNS.items(), ("repeated", RUNS[REPEATED])]:
        log(f"  {name}")
        documents[name] = run_project([*effort.settings, *settings]).document
    repeated = documents.pop("repeated")
    changed = differences(documents[REPEATED], repeated)
    for path in changed[:5]:
        log(f"  differs: {path}")
    return [
        *(metric for name, document in documents.items() for metric in quality(document, name)),
        Metric(
            f"{REPEATED} run twice: values that differ", len(changed), "", "values compared",
            len(dict(leaves(repeated))), at_most(0),
        ),
    ]  # fmt: skip

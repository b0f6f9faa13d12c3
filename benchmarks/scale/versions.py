"""A ledger of so many edge versions: reading its newest edges, and recording, beside its first versions."""

import contextlib
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from agents.protocol.channel import SentMessage
from agents.protocol.topology import Topology
from alignment.status import Status
from benchmarks.harness import Effort, Metric, at_most, log, seconds
from social_jepa.records import BodyRecord, EdgeRecord, MemberRecord, replace
from social_jepa.storage.ledger import Ledger

VERSIONS = 1_000_000
RECORDS, EDGES_OF_RECORD = 30, 6  # that are recorded one by one, each as the report of one agent
READS = 5
MAP_BYTES = 600  # of two maps between cores of 8 dimensions
SLOWER = at_most(2.0, of_ratio=True)
EDGE = EdgeRecord(
    source="a", target="b", status=Status.ACCEPTED, reason="", r2=0.5, r2_shared=0.9, shared_dim=2,
    correlations=(0.9, 0.8), null_correlation=0.2, latent_shared_dim=2, latent_correlations=(0.9, 0.8),
    latent_null_correlation=0.2, kappa=1.2, isometry_deviation=0.2, retrieval_at_1=0.7, cka=0.6,
    mutual_knn=0.5, anchors=32, heldout=64, bytes=2000, method="procrustes", round=0, core_dims=(2, 2),
    source_checkpoint="0" * 16, target_checkpoint="1" * 16, source_incarnation=1, target_incarnation=1,
    time=0.0, budget=(),
)  # fmt: skip


def ledger_metrics(effort: Effort, count: int, degree: int) -> list[Metric]:
    """Return the milliseconds of a ledger in which each edge has had many versions, beside one version."""
    names = [f"agent-{number}" for number in range(count)]
    pairs = sorted(Topology("k_regular", degree).pairs(names))
    versions = max(2 * len(pairs), effort.of(VERSIONS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        with contextlib.closing(Ledger(path, create=True)) as ledger:
            members = [MemberRecord(name=name, index=k, pose="", kind="jepa") for k, name in enumerate(names)]
            ledger.join(members, [BodyRecord(0, name, "") for name in names])
            _record(ledger, pairs, 0)
        few = _measure(path, pairs, versions)
        with contextlib.closing(Ledger(path)) as ledger:
            for number in range(1, versions // len(pairs)):
                _record(ledger, pairs, number)
                if number % 20 == 0:
                    log(f"  {number * len(pairs):,} of {versions:,} edge versions")
        many = _measure(path, pairs, versions + 1)
    reference = f"after {len(pairs):,}"
    return [
        Metric(f"{versions:,} edge versions: {name}", value, "ms", reference, few[name], SLOWER)
        for name, value in many.items()
    ]


def _measure(path: Path, pairs: Sequence[tuple[str, str]], number: int) -> dict[str, float]:
    """Return milliseconds of each operation, medians; reports are recorded as versions of a number."""
    step = max(1, len(pairs) // RECORDS)
    parts = [pairs[first : first + EDGES_OF_RECORD] for first in range(0, len(pairs), step)]
    with contextlib.closing(Ledger(path)) as ledger:
        work: dict[str, list[Callable[[], object]]] = {
            "newest edge of every pair": [ledger.edges] * READS,
            "statuses and R2 for the list of runs": [ledger.edge_scores] * READS,
            "recording a report of six edges": [partial(_record, ledger, part, number) for part in parts],
        }
        return {name: 1000 * statistics.median(map(seconds, calls)) for name, calls in work.items()}


def _record(ledger: Ledger, pairs: Sequence[tuple[str, str]], number: int) -> None:
    edges = [replace(EDGE, source=source, target=target, round=number) for source, target in pairs]
    messages = [SentMessage(source, target, source, target, "Offer", 300) for source, target in pairs]
    events = [("edge", {"source": source, "target": target}) for source, target in pairs]
    ledger.record(edges=edges, messages=messages, maps=dict.fromkeys(pairs, bytes(MAP_BYTES)), events=events)

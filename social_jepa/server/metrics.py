"""Prometheus metrics: agents, edges and requests."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from social_jepa.server.responses import RunState

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0)  # seconds
AGENT_METRICS = {
    "step": "Training steps taken.",
    "loss": "Training loss.",
    "frames_per_s": "Frames read per second of training time.",
    "drift": "Share of variance lost since the published model.",
    "incarnation": "Number of its process, counted from 1.",
}
EDGE_METRICS = {
    "r2_shared": "Held-out R2 of the directions that two cores share.",
    "null_correlation": "Largest held-out correlation of any direction at any time shift.",
    "bytes": "Bytes that both peers sent for the newest round.",
}
# Edges of which each has a series: 1,000 agents have tens of thousands, and a server of Prometheus keeps
# every series that it ever saw.
MAX_EDGE_SERIES: Final = 1024
QUANTILES: Final = (0.0, 0.1, 0.5, 0.9, 1.0)  # of all edges
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class RequestMetrics:
    """Counts and times the requests of a server, whichever run they are about.

    Attributes:
        collectors: What a registry collects them from.
    """

    def __init__(self) -> None:
        labels = ["method", "route", "status"]
        self._requests = Counter("social_jepa_http_requests", "Requests answered.", labels, registry=None)
        self._seconds = Histogram(
            "social_jepa_http_request_seconds", "Time to the first byte of a response.", labels[:2],
            buckets=BUCKETS, registry=None,
        )  # fmt: skip
        self.collectors = (self._requests, self._seconds)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


class Metrics:
    """Metrics of a run, collected when they are read, and of the requests to its server."""

    def __init__(self, state: Callable[[], RunState], requests: RequestMetrics) -> None:
        """Take what they are collected from.

        Args:
            state: Returns the agents and edges at the time of the call.
            requests: Requests of the server.
        """
        self._state = state
        self._registry = CollectorRegistry()
        for collector in (self, *requests.collectors):
            self._registry.register(collector)

    def text(self) -> tuple[bytes, str]:
        """Return all metrics in the format of Prometheus, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not read the run."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the run; called by the registry."""
        state = self._state()
        yield GaugeMetricFamily("social_jepa_up", "1 while the simulation is up.", value=float(state.up))
        agents, edges = state.agents, state.edges
        yield _count("agents", "phase", [agent.phase for agent in agents])
        yield _count("edges", "status", [edge.status for edge in edges])
        for field, meaning in AGENT_METRICS.items():
            yield _family(f"social_jepa_agent_{field}", meaning, agents, field, {"agent": "name"})
        labels = {"source": "source", "target": "target"}
        for field, meaning in EDGE_METRICS.items():
            yield _quantiles(f"social_jepa_edges_{field}", meaning, edges, field)
            if len(edges) <= MAX_EDGE_SERIES:
                yield _family(f"social_jepa_edge_{field}", meaning, edges, field, labels)


def _count(name: str, label: str, values: Sequence[str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"social_jepa_{name}", f"Number of {name} by {label}.", labels=[label])
    for value, count in sorted(Tally(values).items()):
        family.add_metric([value], float(count))
    return family


def _family(
    name: str, meaning: str, records: Sequence[Any], field: str, labels: Mapping[str, str]
) -> GaugeMetricFamily:
    """Return a metric of one field of records; labels maps each label to the field of its value."""
    family = GaugeMetricFamily(name, meaning, labels=list(labels))
    for record in records:
        value = getattr(record, field)
        if value is not None:
            family.add_metric([getattr(record, key) for key in labels.values()], float(value))
    return family


def _quantiles(name: str, meaning: str, records: Sequence[Any], field: str) -> GaugeMetricFamily:
    """Return the quantiles of one field of records that have it; nothing where none has."""
    family = GaugeMetricFamily(name, f"{meaning} Quantiles of all edges.", labels=["quantile"])
    values = [value for record in records if (value := getattr(record, field)) is not None]
    if values:
        for quantile, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True):
            family.add_metric([f"{quantile:g}"], float(value))
    return family


class MetricsMiddleware:
    """Counts and times every request by the pattern of its route, of which there are finitely many."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, counted = time.perf_counter(), False

        async def send_and_count(message: Message) -> None:
            nonlocal counted
            if message["type"] == "http.response.start" and not counted:
                counted = True
                route = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._metrics.count(method, route, message["status"], time.perf_counter() - start)
            await send(message)

        await self.app(scope, receive, send_and_count)

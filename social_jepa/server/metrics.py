"""Figures for Prometheus: how agents do, what edges are worth, and how the server answers."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0)  # seconds
OF_AGENT = {
    "step": "Training steps taken.",
    "loss": "Training loss.",
    "frames_per_s": "Frames that training reads in a second of training time.",
    "drift": "Share of variance by which it has left what its peers know of it.",
    "incarnation": "Lives that it has begun.",
}
OF_EDGE = {
    "r2_core": "Held-out R2 of the orthogonal map between the cores.",
    "null_r2": "Best R2 that either map reached on shuffled pairs.",
    "bytes": "Bytes that both peers put on the wire.",
}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
Looked = tuple[bool, list[dict[str, Any]], list[Mapping[str, Any]]]


class Metrics:
    """Counts requests, and asks for the rest when it is asked."""

    def __init__(self, look: Callable[[], Looked]) -> None:
        """Args: look returns whether the simulation is up, its agents, and its edges."""
        self._look = look
        self._registry = CollectorRegistry()
        self._registry.register(self)
        labels = ["method", "route", "status"]
        self._requests = Counter(
            "social_jepa_http_requests", "Requests answered.", labels, registry=self._registry
        )
        self._seconds = Histogram(
            "social_jepa_http_request_seconds", "Time to the first byte of an answer.", labels[:2],
            buckets=BUCKETS, registry=self._registry,
        )  # fmt: skip

    def text(self) -> tuple[bytes, str]:
        """Return everything as Prometheus reads it, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def describe(self) -> list[Metric]:
        """Return nothing: what is collected needs a look at the run."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Look at the run; called by the registry."""
        up, agents, edges = self._look()
        yield GaugeMetricFamily("social_jepa_up", "1 while the simulation is up.", value=float(up))
        for what, rows, key in (("agents", agents, "phase"), ("edges", edges, "status")):
            family = GaugeMetricFamily(f"social_jepa_{what}", f"How many {what}, by {key}.", labels=[key])
            for value, count in sorted(Tally(row[key] for row in rows).items()):
                family.add_metric([value], float(count))
            yield family
        for field, meaning in OF_AGENT.items():
            yield _family(f"social_jepa_agent_{field}", meaning, agents, field, {"agent": "name"})
        for field, meaning in OF_EDGE.items():
            ends = {"source": "source", "target": "target"}
            yield _family(f"social_jepa_edge_{field}", meaning, edges, field, ends)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


def _family(
    name: str, meaning: str, rows: list[Any], field: str, labels: Mapping[str, str]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=list(labels))
    for row in rows:
        if row[field] is not None:
            family.add_metric([row[key] for key in labels.values()], float(row[field]))
    return family


class MetricsMiddleware:
    """Counts and times every request, by the pattern of its address: there are only so many of those."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, noted = time.perf_counter(), False

        async def timed(message: Message) -> None:
            nonlocal noted
            if message["type"] == "http.response.start" and not noted:
                noted = True
                route = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._metrics.count(method, route, message["status"], time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, timed)

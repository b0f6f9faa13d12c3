"""Metrics of agents and edges in Ray's own registry, which a cluster's Prometheus scrapes."""

import agents.common.ray_environment  # noqa: F401

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ray.util.metrics import Gauge

from agents.report import AgentReport

if TYPE_CHECKING:
    from agents.protocol.edge import EdgeResult

logger = logging.getLogger(__name__)

_AGENT = {
    "step": "Training steps taken",
    "loss": "Loss of the newest step",
    "frames_per_s": "Frames read per second of training time",
    "drift": "Share of variance by which the model has left the published one",
}


class Metrics:
    """Gauges ``social_jepa_agent_*`` and ``social_jepa_edge_r2_shared``, by run and name."""

    def __init__(self, run: str) -> None:
        """Register the gauges; `run` labels them, its characters that Ray does not take as escapes."""
        self._run = run.encode("ascii", "backslashreplace").decode("ascii")
        self._failed = False
        self._agent = {
            name: Gauge(f"social_jepa_agent_{name}", description=text, tag_keys=("run", "agent"))
            for name, text in _AGENT.items()
        }
        self._incarnation = Gauge(
            "social_jepa_agent_incarnation",
            description="Number of the agent's process",
            tag_keys=("run", "agent"),
        )
        self._edge = Gauge(
            "social_jepa_edge_r2_shared",
            description="Held-out R2 of the map between two cores",
            tag_keys=("run", "source", "target"),
        )

    def record(self, name: str, report: AgentReport) -> None:
        """Set the gauges of an agent and its edges from its report; a metric that cannot be set is logged."""
        try:
            self._record(name, report)
        except Exception as error:  # whatever Ray raises: an agent must not fail for its metrics
            if not self._failed:
                logger.warning("metrics cannot be recorded: %s: %s", type(error).__name__, error)
            self._failed = True

    def _record(self, name: str, report: AgentReport) -> None:
        tags = {"run": self._run, "agent": name}
        self._incarnation.set(report.events.incarnation, tags)
        if report.progress is not None:
            for key, gauge in self._agent.items():
                value = getattr(report.progress, key)
                if value == value:  # NaN before the first step
                    gauge.set(value, tags)
        self._record_edges(report.events.edges)

    def _record_edges(self, edges: Iterable["EdgeResult"]) -> None:
        for edge in edges:
            if edge.score is not None:
                tags = {"run": self._run, "source": edge.source, "target": edge.target}
                self._edge.set(edge.score.r2_shared, tags)

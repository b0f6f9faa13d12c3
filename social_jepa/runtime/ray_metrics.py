"""The agents' figures as Ray's own metrics, so that a cluster's Prometheus finds them beside Ray's."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ray.util.metrics import Gauge

from agents.report import AgentReport

if TYPE_CHECKING:
    from agents.protocol.edge import EdgeResult

_AGENT = {
    "step": "Optimiser steps that the agent has taken",
    "loss": "Loss of its newest step",
    "frames_per_s": "Frames that its training reads in a second",
    "drift": "Share of variance by which it has left what its peers know of it",
}


class Metrics:
    """Gauges ``social_jepa_agent_*`` and ``social_jepa_edge_r2_core``, by run and name."""

    def __init__(self, run: str) -> None:
        """Name the run that the figures belong to."""
        self._run = run
        self._agent = {
            name: Gauge(f"social_jepa_agent_{name}", description=text, tag_keys=("run", "agent"))
            for name, text in _AGENT.items()
        }
        self._life = Gauge(
            "social_jepa_agent_incarnation", description="Which life it is in", tag_keys=("run", "agent")
        )
        self._edge = Gauge(
            "social_jepa_edge_r2_core",
            description="Held-out R2 of the map between two cores",
            tag_keys=("run", "source", "target"),
        )

    def record(self, name: str, report: AgentReport) -> None:
        """Take over what an agent reports."""
        tags = {"run": self._run, "agent": name}
        self._life.set(report.events.incarnation, tags)
        if report.progress is not None:
            for key, gauge in self._agent.items():
                value = getattr(report.progress, key)
                if value == value:  # not before the first step
                    gauge.set(value, tags)
        self._tell_edges(report.events.edges)

    def _tell_edges(self, edges: Iterable["EdgeResult"]) -> None:
        for edge in edges:
            if edge.score is not None:
                tags = {"run": self._run, "source": edge.source, "target": edge.target}
                self._edge.set(edge.score.r2_core, tags)

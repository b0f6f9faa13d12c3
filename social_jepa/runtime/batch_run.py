"""The finite run: place agents, let them learn and negotiate, collect what came of it, and leave.

It is the living simulation with an end: the same keeper, the same agents, on a Ray that goes when it is done.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Protocol

from agents.protocol.edge import EdgeResult
from agents.spec import Progress
from alignment.status import Status
from social_jepa.config.run_config import RunConfig
from social_jepa.graph.graph_json import edge_record
from social_jepa.graph.records import EdgeRecord, FullGraphDocument
from social_jepa.graph.results import export, read_results
from social_jepa.runtime import cluster
from social_jepa.runtime.errors import AgentLostError, RunStoppedError
from social_jepa.runtime.registry import record_start
from social_jepa.runtime.supervisor import Supervisor
from social_jepa.storage.ledger import Ledger, LedgerError
from social_jepa.storage.run_folder import RunFolder

NEGOTIATION_TIMEOUT = 60.0  # seconds, and one more for each edge, before what is not settled counts as failed
POLL_SECONDS = 0.2  # seconds between two looks at how agents are doing


class ProgressObserver(Protocol):
    """Who is told how it goes."""

    def phase(self, text: str) -> None:
        """A new phase began."""

    def progress(self, agents: Mapping[str, Progress]) -> None:
        """How the agents are doing."""


@dataclass
class BatchRun:
    """One run from placing the agents to their graph.

    Attributes:
        config: What to run.
        folder: Where it is written.
        watcher: Who is told how it goes.
        resume: Whether agents go on from their checkpoints.
    """

    config: RunConfig
    folder: RunFolder
    observer: ProgressObserver
    resume: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, address: str | None = None) -> FullGraphDocument:
        """Run it and return the graph document, which is also written to the folder.

        Raises:
            ClusterError: Ray does not answer.
            AgentLostError: An agent's work failed, or its process died again and again.
            StoppedError: Interrupted from the keyboard; agents have saved what they trained.
        """
        with self.folder.lock():
            return self._run(address)

    def _run(self, address: str | None) -> FullGraphDocument:
        began = time.perf_counter()
        ledger = Ledger(self.folder.ledger_file, create=True)
        try:
            record_start(
                ledger, self.config, self.folder, "resumed" if self.resume else "started", online=False
            )
            self.observer.phase("starting Ray" if not address else f"joining the cluster at {address}")
            with cluster.cluster(address):
                self._run_agents(ledger)
            self.observer.phase("scoring and writing")
            return self._collect(ledger, began)
        except KeyboardInterrupt:
            ledger.event("stopped", reason="interrupted from the keyboard")
            raise RunStoppedError(self.folder.path) from None
        except LedgerError:
            raise  # it cannot be written any more
        except BaseException as error:
            ledger.event("stopped", reason=str(error) or type(error).__name__)
            raise
        finally:
            ledger.close()

    def _run_agents(self, ledger: Ledger) -> None:
        parts = cluster.share(self.config.agents.count, self.config.agents.threads)
        self.observer.phase(f"placing {self.config.agents.count} agents ({parts.note})")
        keeper = cluster.start_supervisor(
            Supervisor,
            self.folder.namespace,
            False,
            str(self.folder.path),
            self.folder.namespace,
            False,
            parts,
        )
        try:
            cluster.call(keeper, "begin", idempotent=True)
            self.observer.phase("recording and training, each agent alone")
            self._wait(keeper, lambda agent: bool(agent["checkpoint"]))
            self.observer.phase("negotiating every ordered pair")
            self._negotiate(keeper, ledger)
        except KeyboardInterrupt:
            self.observer.phase("stopping: every agent saves what it trained")
            cluster.call(keeper, "stop", timeout=90.0)
            raise
        finally:
            cluster.end(keeper, self.folder.namespace)

    def _wait(self, keeper: Any, done: Any, timeout: float = float("inf")) -> list[dict[str, Any]]:
        """Look at the agents until each is done, and return how they are."""
        until = time.monotonic() + timeout
        while True:
            agents = cluster.call(keeper, "status", idempotent=True)
            for agent in agents:
                if agent["failure"]:
                    raise AgentLostError(agent["name"], agent["failure"], agent["dead"])
            self.observer.progress(
                {agent["name"]: agent["progress"] for agent in agents if agent["progress"]}
            )
            if all(done(agent) for agent in agents) or time.monotonic() > until:
                return agents
            time.sleep(POLL_SECONDS)

    def _negotiate(self, keeper: Any, ledger: Ledger) -> None:
        began, names = time.perf_counter(), self.config.names()
        pairs = set(permutations(names, 2))
        deadline = time.monotonic() + NEGOTIATION_TIMEOUT + len(pairs)
        self._wait(keeper, lambda agent: agent["settled"], NEGOTIATION_TIMEOUT + len(pairs))
        versions = {name: agent.checkpoint for name, agent in ledger.agents().items()}
        while True:  # what agents have settled is on its way into the ledger
            edges = [edge for edge, _ in ledger.edges()]
            missing = pairs - {
                (edge.source, edge.target)
                for edge in edges
                if edge.source_checkpoint == versions[edge.source]
                and edge.target_checkpoint == versions[edge.target]
            }
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        self.seconds["negotiate"] = time.perf_counter() - began
        ledger.record(edges=[self._failed(*pair, versions) for pair in sorted(missing)])

    def _failed(self, source: str, target: str, versions: Mapping[str, str]) -> EdgeRecord:
        reason = f"{source} and {target} did not finish talking in time"
        return edge_record(
            EdgeResult(source, target, 0, Status.FAILED, reason, versions[source], versions[target])
        )

    def _collect(self, ledger: Ledger, began: float) -> FullGraphDocument:
        agents = ledger.agents().values()
        self.seconds |= {
            "record": max(agent.record_seconds for agent in agents),
            "train": max(agent.train_seconds for agent in agents),
            "total": time.perf_counter() - began,
        }
        ledger.event("finished", seconds=self.seconds)
        return export(read_results(self.folder, self.config, ledger))

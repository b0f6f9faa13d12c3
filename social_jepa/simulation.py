"""The main job: place agents, let them record and train, let them negotiate, and collect what came of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agents.actor import Settled
from agents.agent import Memory, Progress
from agents.edge import SettledEdge
from agents.messages import Status
from env.scene import Scene
from social_jepa import cluster
from social_jepa.config import ConfigError, RunConfig
from social_jepa.document import (
    agent_entry,
    budget_entry,
    cycle_entries,
    edge_entry,
    edge_maps,
    translation_graph,
)
from social_jepa.ledger import Ledger, LedgerError
from social_jepa.results import save_results
from social_jepa.specs import agent_specs
from social_jepa.store import RunFolder

PATIENCE = 60.0  # seconds, and one more for each edge, before what is not settled counts as failed
STOP_PATIENCE = 60.0  # seconds that agents may take to save when they are asked to stop


class Watcher(Protocol):
    """Who is told how it goes."""

    def phase(self, text: str) -> None:
        """A new phase began."""

    def progress(self, agents: Mapping[str, Progress]) -> None:
        """How the agents are doing."""


class StoppedError(RuntimeError):
    """The run was interrupted; what was trained is saved."""

    exit_status = 130  # what a shell reports of a program that was interrupted


@dataclass
class Simulation:
    """One run from placing the agents to their graph.

    Attributes:
        config: What to run.
        folder: Where it is written.
        watcher: Who is told how it goes.
        resume: Whether agents go on from their checkpoints.
    """

    config: RunConfig
    folder: RunFolder
    watcher: Watcher
    resume: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, address: str | None = None) -> dict[str, Any]:
        """Run it and return the graph document, which is also written to the folder.

        Raises:
            ClusterError: Ray does not answer.
            AgentLostError: An agent's process died or its work failed.
            StoppedError: Interrupted from the keyboard; agents have saved what they trained.
        """
        with self.folder.hold():
            return self._run(address)

    def _run(self, address: str | None) -> dict[str, Any]:
        began = time.perf_counter()
        ledger = Ledger(self.folder.ledger_file, create=True)
        try:
            self._begin(ledger)
            self.watcher.phase("starting Ray" if not address else f"joining the cluster at {address}")
            with cluster.cluster(address):
                document = self._live(ledger, began)
            ledger.event("finished", seconds=document["seconds"])
            return document
        except KeyboardInterrupt:
            ledger.event("stopped", why="interrupted from the keyboard")
            raise StoppedError(f"stopped; go on with: social-jepa resume {self.folder.path}") from None
        except LedgerError:
            raise  # it cannot be written any more
        except BaseException as error:
            ledger.event("stopped", why=str(error) or type(error).__name__)
            raise
        finally:
            ledger.close()

    def _begin(self, ledger: Ledger) -> None:
        """Note the start, unless the run began with other settings: its agents cannot go on then."""
        earlier = [event["config"] for event in ledger.events() if event["what"] == "started"]
        if earlier and earlier[-1] != self.config.hash():
            raise ConfigError(
                f"{self.folder.config_file} is not what this run began with: put it back, or start a new run"
            )
        ledger.event("resumed" if self.resume else "started", config=self.config.hash())

    def _live(self, ledger: Ledger, began: float) -> dict[str, Any]:
        parts = cluster.share(self.config.agents.count, self.config.agents.threads)
        self.watcher.phase(f"placing {self.config.agents.count} agents ({parts.note})")
        handles = cluster.place(agent_specs(self.config, self.folder), parts, self.resume)
        try:
            places = cluster.gather({name: handle.start.remote() for name, handle in handles.items()})
            ledger.event("placed", nodes={name: node for name, (node, _) in places.items()})
            self.watcher.phase("recording and training, each agent alone")
            self._train(handles)
            self.watcher.phase("finding each agent's predictable core")
            memories = self._gather_watched(handles, "settle")
            self.watcher.phase("negotiating every ordered pair")
            settled = self._negotiate(handles)
        finally:
            cluster.release(handles)
        return self._collect(ledger, began, places, memories, settled)

    def _train(self, handles: Mapping[str, Any]) -> None:
        calls = {name: handle.train.remote() for name, handle in handles.items()}
        try:
            cluster.gather(calls, lambda: self._look(handles))
        except KeyboardInterrupt:
            self.watcher.phase("stopping: every agent saves what it trained")
            for handle in handles.values():
                handle.stop.remote()
            cluster.ask(calls, STOP_PATIENCE)
            raise

    def _gather_watched(self, handles: Mapping[str, Any], method: str) -> dict[str, Any]:
        calls = {name: getattr(handle, method).remote() for name, handle in handles.items()}
        return cluster.gather(calls, lambda: self._look(handles))

    def _look(self, handles: Mapping[str, Any]) -> None:
        seen = cluster.ask({name: handle.progress.remote() for name, handle in handles.items()})
        self.watcher.progress({name: progress for name, progress in seen.items() if progress})

    def _negotiate(self, handles: Mapping[str, Any]) -> dict[str, Settled]:
        began = time.perf_counter()
        names = list(handles)
        cluster.gather({
            name: handle.meet.remote({peer: handles[peer] for peer in names if peer != name})
            for name, handle in handles.items()
        })  # fmt: skip
        cluster.gather({
            name: handle.negotiate.remote([peer for peer in names if peer != name])
            for name, handle in handles.items()
        }, every=0.02)  # fmt: skip
        while True:
            late = time.perf_counter() - began > PATIENCE + len(names) * (len(names) - 1)
            answers = cluster.gather(
                {
                    name: handle.settled.remote(0 if late else len(names) - 1)
                    for name, handle in handles.items()
                },
                every=0.02,
            )
            if all(answer is not None for answer in answers.values()):
                self.seconds["negotiate"] = time.perf_counter() - began
                return answers
            time.sleep(0.02)

    def _collect(
        self, ledger: Ledger, began: float, places: Mapping[str, Any],
        memories: Mapping[str, Memory], settled: Mapping[str, Settled],
    ) -> dict[str, Any]:  # fmt: skip
        self.watcher.phase("scoring and writing")
        config, names = self.config, list(memories)
        scene = Scene(config.scene, config.seed)
        edges = [
            settled[target].edges.get(source) or _failed(source, target, memories)
            for source in names for target in names if source != target
        ]  # fmt: skip
        entries = [edge_entry(edge, _spent(edge, settled)) for edge in edges]
        maps = edge_maps(edges)
        graph = translation_graph(names, entries, maps)
        agents = [agent_entry(memories[name], config, scene, index) for index, name in enumerate(names)]
        for agent in agents:
            agent["node"] = places[agent["name"]][0]
        self.seconds |= {
            "record": max(agent["record_seconds"] for agent in agents),
            "train": max(agent["train_seconds"] for agent in agents),
            "total": time.perf_counter() - began,
        }
        document = {
            "seed": config.seed, "config_hash": config.hash(), "scene": scene.fingerprint, "agents": agents,
            "edges": entries, "cycles": cycle_entries(graph, memories), "budget": budget_entry(edges),
            "seconds": self.seconds,
            "refused_frames": [text for each in settled.values() for text in each.refused],
        }  # fmt: skip
        log = [entry for each in settled.values() for entry in each.log]
        ledger.settle(agents, entries, log)
        save_results(self.folder, document, graph, maps, memories)
        return document


def _failed(source: str, target: str, memories: Mapping[str, Memory]) -> SettledEdge:
    return SettledEdge(
        source, target, 0, Status.FAILED, f"{source} and {target} did not finish talking in time",
        memories[source].card.checkpoint, memories[target].card.checkpoint,
    )  # fmt: skip


def _spent(edge: SettledEdge, settled: Mapping[str, Settled]) -> int:
    """Return the bytes that both ends put on the wire for an edge."""
    return sum(settled[name].sent[(edge.source, edge.target)] for name in (edge.source, edge.target))

"""What supervising 1,000 agents takes: CPU, status, messages of a join; a ledger of 10^6 edge versions.

The agents are planted: one Ray actor answers for all of them as their processes would, since a thousand of
these do not fit on a machine that runs benchmarks. The supervisor and its ledger are the project's.
"""

import agents.common.ray_environment  # noqa: F401

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from agents.activity import Activity
from agents.common.versions import process_versions
from agents.protocol.events import AgentEvents
from agents.report import AgentReport
from agents.spec import Progress
from benchmarks.harness import Effort, Metric, at_most, log, seconds
from benchmarks.scale.versions import ledger_metrics
from social_jepa.config.run_config import load_config
from social_jepa.records import AgentStatus, BodyRecord
from social_jepa.runtime.cluster import ResourceShare
from social_jepa.runtime.control import ControlClient, socket_path
from social_jepa.runtime.members import initial_members
from social_jepa.runtime.supervisor import Supervisor
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import create

COUNT, FEW = 1000, 10  # agents, and those of the reference
DEGREE = 6
SECONDS = 60.0  # for which the supervisor's CPU is measured
QUESTIONS = 40  # requests of the status
CPU_PERCENT, STATUS_MS = at_most(5.0), at_most(100.0)
JOIN_SECONDS, JOIN_MESSAGES = at_most(2.0), at_most(3 * DEGREE)
POINTS = 150  # of a loss curve
KEY = bytes(range(32))


@ray.remote(num_cpus=0)
class PlantedAgents:
    """Answers for agents that train and have no news, as `AgentActor.report` does."""

    def __init__(self) -> None:
        """Start at step 0."""
        self._known: set[str] = set()
        self._curve = tuple((10 * number, 1.0) for number in range(POINTS))

    async def report(
        self, name: str, incarnation: int, since: int, known_checkpoint: str, heartbeat: float
    ) -> AgentReport:
        """Return the report of an agent after its heartbeat; the first one at once."""
        if name in self._known:
            await asyncio.sleep(heartbeat)
        self._known.add(name)
        progress = Progress(
            name, "training", 100, 1000, 512, 1024, 9000, 1.0, 100.0, 9.0, 1.0, 9.0, "cpu",
            loss_curve=self._curve,
        )  # fmt: skip
        return AgentReport(
            events=AgentEvents(1, 0), progress=progress, snapshot=None, checkpoint=known_checkpoint,
            settled=True, failure=None, note="", node="", host="", device="cpu", pid=1,
            activity=Activity(longest_step=0.1, cpu_wait=0.1), unanswered={},
        )  # fmt: skip


@dataclass(frozen=True)
class Method:
    """A method of a handle, called as Ray's are."""

    remote: Callable[..., Any]


class PlantedHandle:
    """Handle of the planted agents; notes who is sent a peer list."""

    def __init__(self, planted: Any, sent: list[str]) -> None:
        self.report = planted.report
        self.update_peers = Method(lambda name, peers: sent.append(name))


class PlantedSupervisor(Supervisor.__ray_metadata__.modified_class):  # type: ignore[name-defined]
    """The supervisor, in this process, of planted agents."""

    def _call_begin(self) -> None:
        """Start no agent: `attach` does."""

    async def attach(self, planted: Any, sent: list[str]) -> None:
        """Take the reports of planted agents, and listen at the control socket."""
        await self._control.start(None)
        for name in self._membership.members:
            self.register_planted(name, planted, sent)
        self._watch.broadcast_peers()
        for name in self._membership.members:
            self._watch.start(name)
        while len(self._watch.seen.reports) < len(self._membership.members):
            await asyncio.sleep(0.1)

    def register_planted(self, name: str, planted: Any, sent: list[str]) -> None:
        """Do what an agent's process has its supervisor do when it starts, without the disk."""
        self._watch.handles[name] = PlantedHandle(planted, sent)
        self._watch.seen.versions[name] = process_versions()
        self._membership.incarnations[name] = 1
        self._membership._keys._keys[name] = KEY
        self._watch.peer_list(name)

    def join(self, planted: Any, sent: list[str]) -> str:
        """Let another agent join; return its name."""
        name = str(self._membership.propose().name)
        self.register_planted(name, planted, sent)
        self._membership.version += 1
        self._watch.broadcast_peers(but=name)
        self._membership.admit(name, self._watch.next_unrendered_tick())
        self._watch.broadcast_peers()
        return name

    def close(self) -> None:
        """Stop taking reports, and give up the folder."""
        self._watch.handles.clear()
        self._lock.release()
        self._ledger.close()


def metrics(effort: Effort) -> list[Metric]:
    """Supervise a few agents, then many; then fill a ledger."""
    few, many = FEW, max(2 * FEW, effort.of(COUNT))
    duration = max(2.0, SECONDS * min(1.0, effort.size))
    found: dict[int, Mapping[str, float]] = {}
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80_000_000, log_to_driver=False)
    try:
        for count in (few, many):
            log(f"  {count} planted agents for {duration:.0f} s")
            with tempfile.TemporaryDirectory() as folder:
                found[count] = asyncio.run(_supervise(Path(folder) / "run", count, duration, effort))
    finally:
        ray.shutdown()
    reference = f"{few} agents"
    bounds = {"CPU": CPU_PERCENT, "status": STATUS_MS, "messages": JOIN_MESSAGES, "join": JOIN_SECONDS}
    texts = {
        "CPU": ("supervisor, share of one CPU", "%"),
        "status": ("status at the control socket, 95th percentile", "ms"),
        "messages": ("a join: peer lists that the supervisor sends", ""),
        "join": ("a join: time in the supervisor", "s"),
    }
    rows = [
        Metric(f"{many} agents: {text}", found[many][key], unit, reference, found[few][key], bounds[key])
        for key, (text, unit) in texts.items()
    ]
    return rows + ledger_metrics(effort, many, DEGREE)


async def _supervise(path: Path, count: int, duration: float, effort: Effort) -> dict[str, float]:
    """Return CPU percent, status in ms, and messages and seconds of a join, of so many agents."""
    settings = (
        f"agents.count={count}", f"negotiation.topology=k_regular({DEGREE})", "scene.renderer=toy",
        "scene.bodies=false", *effort.settings,
    )  # fmt: skip
    config = load_config(overrides=settings)
    folder = create(config, path)
    resources = ResourceShare(cpus=0.001, gpus=0.0, threads=1, note="")
    control, sent = socket_path(folder.path), list[str]()
    members = initial_members(config)
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        ledger.join(members, [BodyRecord(0, each.name, each.pose) for each in members], incarnation=1)
    supervisor = PlantedSupervisor(str(folder.path), folder.namespace, True, resources, str(control))
    actor_class: Any = PlantedAgents  # ray.remote leaves the class without types
    planted = actor_class.options(max_concurrency=2 * count + 10).remote()
    try:
        await supervisor.attach(planted, sent)
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(duration)
        percent = 100 * (time.process_time() - cpu) / (time.perf_counter() - began)
        client = ControlClient(control)
        answered = [await asyncio.to_thread(_ask, client) for _ in range(QUESTIONS)]
        sent.clear()
        joined = seconds(lambda: supervisor.join(planted, sent))
    finally:
        supervisor.close()
        await supervisor._control.close()
        ray.kill(planted)
    status = statistics.quantiles(answered, n=20)[-1]
    return {"CPU": percent, "status": 1000 * status, "messages": len(sent), "join": joined}


def _ask(client: ControlClient) -> float:
    return seconds(lambda: client.call("status", kind=list[AgentStatus]))

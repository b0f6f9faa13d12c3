"""Profile of a whole run: where its seconds go, in CPU time of all processes and in wall time.

CPU time hardly depends on what else the machine does, wall time does. Agents are sampled with the phase that
they report; what a process does between two samples counts for the phase of the second one.
"""

import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.harness import Effort, Metric
from benchmarks.processes import run_project
from social_jepa.records import AgentStatus
from social_jepa.runtime.control import ControlClient, socket_path
from social_jepa.runtime.errors import ClusterError

POLL_SECONDS = 0.2
STATUS_TIMEOUT = 5.0  # seconds
STARTING = ("starting", "waiting", "checking")  # phases before an agent records
PHASES = ("recording", "training", "training stages", "embedding", "ready")
COMMAND, RAY, IDLE, SUPERVISOR = "command", "Ray's own processes", "workers without work", "supervisor"
AGENT_START, AGENT_OTHER = "agents: starting", "agents: other"
PARTS = {
    COMMAND: "the command: start, scoring, report",
    RAY: RAY,
    IDLE: "processes of Ray that wait for work",
    SUPERVISOR: "the supervisor",
    AGENT_START: "agents: start, imports, checks",
    **{phase: f"agents: {phase}" for phase in PHASES},
}
PARTS["ready"] = "agents: negotiating"
PARTS[AGENT_OTHER] = "agents: other"  # every phase that is not among `PHASES`
RAY_SERVICES = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")  # named as workers are


def part_of_command(command: str, is_root: bool) -> str:
    """Return the part that a process belongs to, by its command line; agents begin as `IDLE`.

    Args:
        command: The command line, or the title that Ray has given the process.
        is_root: Whether it is the command itself.
    """
    if is_root or "social_jepa.runtime.launch_process" in command:
        return COMMAND
    if not command.startswith("ray::") or command.startswith(RAY_SERVICES):
        return RAY
    return SUPERVISOR if command.startswith("ray::Supervisor") else IDLE


def part_of_phase(phase: str) -> str:
    """Return the part that an agent's process belongs to, by the phase in its status."""
    if phase in STARTING:
        return AGENT_START
    return phase if phase in PHASES else AGENT_OTHER


class Profile:
    """CPU seconds of a run by part, and the times at which its agents changed their phase."""

    def __init__(self) -> None:
        """Begin now."""
        self.began = time.perf_counter()
        self.answered = self.silent = 0.0  # when the supervisor answered first, and last
        self.entered: dict[str, dict[str, float]] = defaultdict(
            dict
        )  # when an agent entered a phase, by name
        self._cpu: dict[int, dict[str, float]] = defaultdict(
            lambda: defaultdict(float)
        )  # by process and part
        self._last: dict[int, float] = {}
        self._agents: set[int] = set()
        self._control: ControlClient | None = None

    def __call__(self, pid: int) -> None:
        """Sample the processes of the run of a root process."""
        phases = {agent.pid: agent.phase for agent in self._statuses(pid) if agent.pid}
        self._agents |= phases.keys()
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                self._sample(process, process.pid == pid, phases.get(process.pid, ""))

    def _statuses(self, pid: int) -> list[AgentStatus]:
        if self._control is None:
            words = psutil.Process(pid).cmdline()
            self._control = ControlClient(socket_path(Path(words[words.index("--out") + 1])))
        try:
            agents: list[AgentStatus] = self._control.call(
                "status", kind=list[AgentStatus], timeout=STATUS_TIMEOUT
            )
        except (ClusterError, OSError):  # it has not started, or has ended
            return []
        self.silent = now = time.perf_counter()
        self.answered = self.answered or now
        for agent in agents:
            if agent.phase not in STARTING:
                self.entered[agent.name].setdefault(agent.phase, now)
        return agents

    def _sample(self, process: psutil.Process, is_root: bool, phase: str) -> None:
        with contextlib.suppress(psutil.Error):  # it has ended
            times, command = process.cpu_times(), " ".join(process.cmdline())
            now = times.user + times.system
            part = part_of_phase(phase) if phase else part_of_command(command, is_root)
            self._cpu[process.pid][part] += now - self._last.get(process.pid, 0.0)
            self._last[process.pid] = now

    def cpu_seconds(self) -> dict[str, float]:
        """Return CPU seconds by part of `PARTS`."""
        found = dict.fromkeys(PARTS, 0.0)
        for pid, parts in self._cpu.items():
            for part, seconds in parts.items():
                was_agent = part == IDLE and pid in self._agents
                found[AGENT_START if was_agent else part] += seconds
        return found

    def wall_seconds(self, ended: float) -> dict[str, float]:
        """Return wall seconds by part; those of agents are of the one that published last.

        Args:
            ended: When the command had ended.
        """
        last = max(self.entered.values(), key=lambda entered: entered.get("ready", 0.0))
        following = [phase for phase in PHASES if phase in last]
        marks = {
            "start of Ray and of the supervisor": self.answered,
            PARTS[AGENT_START]: last[following[0]],
        }
        for phase, after in itertools.pairwise(following):
            marks[PARTS[phase]] = last[after]
        marks |= {"negotiating, end of the agents": self.silent, "end of Ray, scoring, report": ended}
        times = itertools.pairwise([self.began, *marks.values()])
        return {name: stop - start for name, (start, stop) in zip(marks, times, strict=True)}


def rows(cpu: Mapping[str, float], wall: Mapping[str, float]) -> list[Metric]:
    """Return one metric for each part, beside the sum of all."""
    total, whole = sum(cpu.values()), sum(wall.values())
    return [
        Metric("CPU: all processes", total, "CPU s", "wall time", whole),
        *(Metric(f"CPU: {PARTS[part]}", value, "CPU s", "all", total) for part, value in cpu.items()),
        *(Metric(f"wall: {name}", value, "s", "all", whole) for name, value in wall.items()),
    ]


def metrics(effort: Effort) -> list[Metric]:
    """Run the project once."""
    profile = Profile()
    run = run_project(effort.settings, (), profile, POLL_SECONDS)
    return rows(profile.cpu_seconds(), profile.wall_seconds(profile.began + run.seconds))

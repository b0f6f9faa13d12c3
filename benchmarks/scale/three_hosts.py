"""A cluster of three hosts that share no disk, started by cluster.yaml: runs, a cut link, a lost host.

The hosts are namespaces of this machine (`benchmarks.hosts`), which needs root. Host 1 is the head and holds
the run folder; the agents of the others send it their files.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from benchmarks.harness import BenchmarkError, Effort, Metric, at_least, at_most, log
from benchmarks.hosts import ROOT, Hosts, cluster_file, hosts_up, launcher
from benchmarks.soak.common import TOY

HOSTS, AGENTS = 3, 3
CUT_SECONDS = 30.0
MAX_STATUS_SECONDS = 15.0  # of `status` while a host is cut off, its start on a busy machine included
TIMEOUT = 900.0  # seconds that any step may take
SETTINGS = (*TOY, f"agents.count={AGENTS}", "training.checkpoint_every=20", "training.drift_check_every=20")
ADDRESS = "RAY_ADDRESS=auto"


@dataclass(frozen=True)
class Simulation:
    """The commands of one simulation on the cluster, given on its head as a user does.

    Attributes:
        hosts: The hosts.
        run: Its run folder on the head.
    """

    hosts: Hosts
    run: str

    def command(self, verb: str, *words: str, timeout: float = TIMEOUT) -> str:
        """Return the output of ``social-jepa VERB``."""
        return self.call(verb, *words, timeout=timeout, check=True).stdout

    def call(
        self, verb: str, *words: str, timeout: float = TIMEOUT, check: bool = False
    ) -> CompletedProcess[str]:
        """Run ``social-jepa VERB`` on host 1, and return its exit status and output."""
        line = f"{ADDRESS} social-jepa {verb} {' '.join(words)}"
        return self.hosts.shell(1, line, check=check, timeout=timeout)

    def agents(self) -> dict[str, dict[str, Any]]:
        """Return the status of every agent by name."""
        found = json.loads(self.command("status", "--json", "--run", self.run))["agents"]
        return {agent["name"]: agent for agent in found}

    def wait(self, ready: Callable[[dict[str, dict[str, Any]]], bool], what: str) -> float:
        """Return the seconds until the status of the agents meets a condition.

        Raises:
            BenchmarkError: It does not in time.
        """
        began, agents = time.perf_counter(), {}
        while time.perf_counter() - began < TIMEOUT:
            try:
                agents = self.agents()
            except BenchmarkError as error:  # the supervisor may be busy with a lost host
                log(f"  {error}")
            else:
                if ready(agents):
                    return time.perf_counter() - began
            time.sleep(1.0)
        raise BenchmarkError(f"{what}: not within {TIMEOUT:g} s; newest status: {json.dumps(agents)[:2000]}")


def settled(agents: dict[str, dict[str, Any]]) -> bool:
    """Return whether all agents run and have settled their edges."""
    return all(agent["settled"] and not agent["failure"] for agent in agents.values())


def steps(agents: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Return the number of steps that each agent has trained."""
    return {name: agent["progress"]["step"] for name, agent in agents.items() if agent["progress"]}


def places(agents: Iterable[dict[str, Any]]) -> int:
    """Return on how many nodes agents run."""
    return len({agent["node"] for agent in agents})


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return (seconds, result) of a call."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def bring_up(hosts: Hosts) -> list[Metric]:
    """Run `ray up` and wait until every host has joined."""
    launcher(hosts, "ray", "get-auth-token", "--generate")
    file = str(cluster_file(hosts))
    began = time.perf_counter()
    launcher(hosts, "ray", "up", "--yes", file)
    head = time.perf_counter() - began
    while (joined := len(nodes(hosts))) < HOSTS and time.perf_counter() - began < 2 * TIMEOUT:
        time.sleep(10.0)  # each look starts a process that joins
    every = time.perf_counter() - began
    return [
        Metric("ray up: until the head is up", head, "s", "", float("nan")),
        Metric("ray up: until every host has joined", every, "s", "until the head is up", head),
        Metric("ray up: hosts that joined", joined, "", "hosts in cluster.yaml", HOSTS, at_least(1, True)),
    ]


def nodes(hosts: Hosts) -> dict[str, str]:
    """Return the addresses of the nodes that are alive, by id; none while the cluster does not answer."""
    script = (
        "import json, ray; ray.init('auto', logging_level='ERROR', log_to_driver=False); "
        "print(json.dumps({n['NodeID']: n['NodeManagerAddress'] for n in ray.nodes() if n['Alive']}))"
    )
    done = hosts.shell(1, f'RAY_AUTH_MODE=token python -c "{script}"', check=False)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    return found


def agents_on(hosts: Hosts, number: int, agents: dict[str, dict[str, Any]]) -> list[str]:
    """Return the names of the agents on a host.

    Raises:
        BenchmarkError: There are none: nothing would be measured.
    """
    known = nodes(hosts)
    found = [name for name, agent in agents.items() if known.get(agent["node"]) == hosts.address(number)]
    if not found:
        raise BenchmarkError(f"no agent runs on host {number}")
    return found


def batch_run(hosts: Hosts, settings: str) -> list[Metric]:
    """Measure `run`, and a query that needs the model of an agent on another host."""
    simulation = Simulation(hosts, "runs/batch")
    words = ("--json", "--out", simulation.run, settings)
    seconds, text = timed(lambda: simulation.command("run", *words))
    document = json.loads(text)
    return [
        Metric(
            "run: from start to exit", seconds, "s", "training, slowest agent", document["seconds"]["train"]
        ),
        Metric("run: hosts that its agents ran on", places(document["agents"]), "", "hosts", HOSTS),
        query("run", simulation),
    ]


def query(step: str, simulation: Simulation) -> Metric:
    """Encode a tick with the published model of every agent; two of them ran where the run folder is not."""
    answers = 0
    for source, target in (("agent-0", "agent-1"), ("agent-1", "agent-2"), ("agent-2", "agent-0")):
        done = simulation.call(
            "query", "--run", simulation.run, "--from", source, "--to", target, "--via", "best",
            "--tick", "12345", "--json",
        )  # fmt: skip
        answers += done.returncode == 0
        if done.returncode:
            log(f"  {done.stderr.strip()}")
    name = f"{step}: agents whose model answers query --tick"
    return Metric(name, answers, "", "agents", AGENTS, at_least(1, True))


def start_simulation(simulation: Simulation, settings: str) -> list[Metric]:
    """Measure `up` and `add-agent`."""
    began = time.perf_counter()
    simulation.command("up", "--out", simulation.run, settings)
    simulation.wait(settled, "the simulation")
    seconds = time.perf_counter() - began
    on = places(simulation.agents().values())
    adding, _ = timed(lambda: simulation.command("add-agent", "--wait", "--run", simulation.run))
    return [
        Metric("up: until every edge is settled", seconds, "s", "", float("nan")),
        Metric("up: hosts that its agents run on", on, "", "hosts", HOSTS),
        Metric("add-agent: until its edges are settled", adding, "s", "up", seconds),
    ]


def cut_link(simulation: Simulation) -> list[Metric]:
    """Cut the link of host 2 for a while; its agents come back with what they had sent."""
    before = simulation.agents()
    lost = agents_on(simulation.hosts, 2, before)
    with simulation.hosts.cut(2):
        began = time.perf_counter()
        asking, _ = timed(lambda: simulation.command("status", "--json", "--run", simulation.run))
        time.sleep(max(0.0, CUT_SECONDS - (time.perf_counter() - began)))
    seconds = simulation.wait(lambda agents: recovered(agents, before, lost), "the cut link")
    title = f"link cut for {CUT_SECONDS:g} s"
    return [
        Metric(f"{title}: status answers", asking, "s", "", float("nan"), at_most(MAX_STATUS_SECONDS)),
        Metric(
            f"{title}, agents behind it: {len(lost)}; "
            "from its mending until all have their edges and steps again",
            seconds, "s", "", float("nan"),
        ),
        lost_steps(title, simulation, before, lost),
    ]  # fmt: skip


def recovered(
    agents: dict[str, dict[str, Any]], before: dict[str, dict[str, Any]], lost: Iterable[str]
) -> bool:
    """Return whether lost agents have started again, and all are settled and at least where they were."""
    now, then = steps(agents), steps(before)
    return (
        settled(agents)
        and all(now.get(name, -1) >= step for name, step in then.items())
        and all(agents[name]["incarnation"] > before[name]["incarnation"] for name in lost)
    )


def lose_host(simulation: Simulation) -> list[Metric]:
    """Kill host 3; its agents come back on the others."""
    before = simulation.agents()
    lost = agents_on(simulation.hosts, 3, before)
    simulation.hosts.kill(3)
    seconds = simulation.wait(lambda agents: recovered(agents, before, lost), "the lost host")
    return [
        Metric(
            f"host killed, agents on it: {len(lost)}; until all have their edges and steps again",
            seconds, "s", "", float("nan"),
        ),
        lost_steps("host killed", simulation, before, lost),
    ]  # fmt: skip


def lost_steps(
    title: str, simulation: Simulation, before: dict[str, dict[str, Any]], lost: Iterable[str]
) -> Metric:
    """Return the most steps that a lost agent has to train again, as of the status before."""
    command = f"grep -H 'resumes from checkpoint' {simulation.run}/logs/agent-*.log"
    lines = simulation.hosts.shell(1, command, check=False).stdout.splitlines()
    newest = {Path(line.split(":")[0]).stem: int(line.split()[-1]) for line in lines}
    worst = max(lost, key=lambda name: steps(before)[name] - newest.get(name, 0))
    had = steps(before)[worst]
    return Metric(
        f"{title}: most steps that an agent trained again", max(0, had - newest.get(worst, 0)), "steps",
        "steps that it had", had, at_most(0.5, of_ratio=True),
    )  # fmt: skip


def resume_on_the_rest(simulation: Simulation) -> list[Metric]:
    """Measure `down` and `resume` with one host less."""
    before = simulation.agents()
    downing, _ = timed(lambda: simulation.command("down", "--run", simulation.run))
    began = time.perf_counter()
    simulation.command("resume", "--run", simulation.run)
    simulation.wait(lambda agents: recovered(agents, before, before), "the resumed simulation")
    seconds = time.perf_counter() - began
    answered = query("resume on the rest", simulation)
    simulation.command("down", "--run", simulation.run)
    return [
        Metric("down", downing, "s", "", float("nan")),
        Metric("resume on the rest: until every edge is settled", seconds, "s", "down", downing),
        answered,
    ]


def stop_cluster(hosts: Hosts) -> list[Metric]:
    """Stop the cluster; another Ray on host 2 stays up, and host 3 cannot be reached any more."""
    other = "ray start --head --port=7000 --include-dashboard=false --num-cpus=0"
    hosts.shell(2, f"RAY_AUTH_MODE=disabled {other}")
    seconds, done = timed(lambda: launcher(hosts, *stop_all(hosts), check=False))
    log("\n".join(f"  {line}" for line in done.splitlines()))
    left = [int(hosts.shell(number, "pgrep -c raylet", check=False).stdout) for number in (1, 2)]
    return [
        Metric("stop-all: raylets left of the cluster", sum(left) - 1, "", "", float("nan"), at_most(0)),
        Metric("stop-all: raylets left of another Ray on host 2", left[1], "", "", float("nan"), at_least(1)),
        Metric("stop-all, one host not reachable", seconds, "s", "", float("nan")),
    ]


def stop_all(hosts: Hosts) -> tuple[str, ...]:
    """Return the command that stops the cluster."""
    script = str(ROOT / "scripts" / "cluster_node.py")
    return sys.executable, script, "stop-all", str(hosts.folder / "cluster.yaml")


def metrics(effort: Effort) -> list[Metric]:
    """Bring the cluster up, use it, cut and kill parts of it."""
    settings = " ".join((*SETTINGS, *effort.settings))
    found: list[Metric] = []
    with (
        tempfile.TemporaryDirectory(prefix="sj-hosts-", dir="/var/tmp") as folder,
        hosts_up(Path(folder) / "hosts", HOSTS) as hosts,
    ):
        simulation = Simulation(hosts, "runs/online")
        for work in (
            lambda: bring_up(hosts), lambda: batch_run(hosts, settings),
            lambda: start_simulation(simulation, settings), lambda: cut_link(simulation),
            lambda: lose_host(simulation), lambda: resume_on_the_rest(simulation),
            lambda: stop_cluster(hosts),
        ):  # fmt: skip
            new = work()
            for each in new:
                log(f"  {each.name}: {each.value:.4g} {each.unit}")
            found += new
    return found

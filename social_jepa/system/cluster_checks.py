"""Checks of a Ray cluster: which nodes have joined, what runs on each, and what its launcher promised.

A process of its own joins the cluster, so that a Ray that hangs or crashes does not end the doctor.
"""

import contextlib
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from social_jepa.system.check import Check
from social_jepa.system.machine import is_listening
from social_jepa.system.probe import ProbeError, run_probe

CLUSTER_SECONDS = 20.0  # for all of it
ANSWER_SECONDS = 18.0  # since the probe began, for the versions of all nodes
PACKAGES = ("social-jepa", "ray", "torch")  # a node with another version may refuse or misread its peers
BOOTSTRAP = "ray_bootstrap_config.yaml"  # Ray's launcher leaves it in the home folder of the head

CLUSTER_PROBE = """
import agents.common.ray_environment
import json, logging, sys, time
began = time.monotonic()
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

address, seconds, *packages = sys.argv[1:]
ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
nodes = [
    {"address": node["NodeManagerAddress"], "host": node["NodeManagerHostname"], "id": node["NodeID"],
     "alive": node["Alive"], "cpus": node["Resources"].get("CPU", 0), "gpus": node["Resources"].get("GPU", 0)}
    for node in ray.nodes()
]
print(json.dumps(nodes), flush=True)

def last_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[-1]

@ray.remote(num_cpus=0, max_retries=0)
def versions():
    from importlib import metadata
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found

alive = {node["id"]: node for node in nodes if node["alive"]}
tasks = {
    versions.options(scheduling_strategy=NodeAffinitySchedulingStrategy(each, soft=False)).remote(): each
    for each in alive
}
left = max(0.0, float(seconds) - (time.monotonic() - began))
for task in ray.wait(list(tasks), num_returns=len(tasks), timeout=left)[0] if tasks else []:
    try:
        alive[tasks[task]]["versions"] = ray.get(task)
    except Exception as error:
        alive[tasks[task]]["error"] = last_line(error)
print(json.dumps(nodes), flush=True)
"""


@dataclass(frozen=True)
class Promise:
    """The nodes that the configuration of Ray's launcher asks for.

    Attributes:
        file: That file.
        count: Number of nodes, the head included.
        addresses: Their addresses, the head's first; empty where a cloud assigns them.
        ssh: How to reach a node: user and options.
        join: Command that a worker joins with.
    """

    file: Path
    count: int
    addresses: tuple[str, ...] = ()
    ssh: str = "ssh"
    join: str = "ray start --address=$RAY_HEAD_IP:6379"

    def line_for(self, address: str) -> str:
        """Return the line to type that makes a worker join."""
        command = f"export RAY_HEAD_IP={self.addresses[0]}; {' '.join(self.join.split())}"
        return f"{self.ssh}{address} {shlex.quote(f'bash --login -ic {shlex.quote(command)}')}"


def check_cluster(
    address: str, probe: Callable[..., str] = run_probe, listens: Callable[[str], bool] = is_listening,
    promise: Promise | None = None,
) -> Iterator[Check]:  # fmt: skip
    """Check that a cluster answers, that all promised nodes have joined, and their versions.

    Args:
        address: host:port, or "auto" for the cluster that runs on this machine.
        probe: Runs `CLUSTER_PROBE`.
        listens: Whether a port is open.
        promise: What the launcher was asked for; by default what `find_promise` finds.
    """
    if address != "auto" and not listens(address):
        yield Check("ray cluster", False, f"{address} does not answer", _start_line(address))
        return
    try:
        nodes = json.loads(
            probe(CLUSTER_PROBE, address, f"{ANSWER_SECONDS:g}", *PACKAGES, seconds=CLUSTER_SECONDS)
        )
    except (ProbeError, ValueError) as error:
        yield Check("ray cluster", False, f"{address}: {error}", _start_line(address))
        return
    alive = [node for node in nodes if node["alive"]]
    promise = promise or find_promise()
    if promise is not None and promise.addresses:
        known = {node["address"] for node in nodes}
        promise = promise if promise.addresses[0] in known else None  # else it is about another cluster
    yield _check_nodes(address, alive, len(nodes) - len(alive), promise)
    addresses = [node["address"] for node in alive]
    for node in alive:
        several = addresses.count(node["address"]) > 1
        name = f"node {node['address']}" + (f" {node['id'][:6]}" if several else "")
        yield _check_node(name, node)


def _start_line(address: str) -> str:
    token = "" if os.environ.get("RAY_AUTH_MODE") == "token" else " (RAY_AUTH_MODE=token if it has a token)"
    if address == "auto":
        return f"start one on this machine: ray start --head; or `unset RAY_ADDRESS`{token}"
    return f"start that cluster, or `unset RAY_ADDRESS` to run on this machine{token}"


def _check_nodes(address: str, alive: list[dict[str, Any]], gone: int, promise: Promise | None) -> Check:
    """Check that the promised nodes have joined."""
    found = f"{address}: {len(alive)} node{'' if len(alive) == 1 else 's'}"
    found += f", {sum(node['cpus'] for node in alive):g} CPUs, {sum(node['gpus'] for node in alive):g} GPUs"
    if gone:
        found += f", {gone} left"
    if promise is None:
        return Check("ray cluster", bool(alive), found, "start nodes: ray start --address=HEAD:6379 on each")
    missing = [each for each in promise.addresses if each not in {node["address"] for node in alive}]
    found += f" of {promise.count} in {promise.file}" + (
        f"; missing: {', '.join(missing)}" if missing else ""
    )
    workers = [each for each in missing if each != promise.addresses[0]]
    if workers:
        remedy = f"start {workers[0]} by hand: {promise.line_for(workers[0])}"
    else:
        remedy = (
            f"ray up {promise.file.name}, and read what its launcher does: ray monitor {promise.file.name}"
        )
    ok = len(alive) >= max(1, promise.count) and not missing
    return Check("ray cluster", ok, found, remedy)


def _check_node(name: str, node: Mapping[str, Any]) -> Check:
    """Check that a node answers and has the versions of this machine."""
    found = f"{node['host']}, {node['cpus']:g} CPUs, {node['gpus']:g} GPUs"
    versions = node.get("versions")
    if versions is None:
        reason = node.get("error", f"no answer within {ANSWER_SECONDS:g} s")
        remedy = "try again; if it stays so, read raylet.out and the newest worker log in /tmp/ray there"
        return Check(name, False, f"{found}: {reason}", remedy)
    here = {package: _version(package) for package in PACKAGES}
    other = [package for package in PACKAGES if versions.get(package) != here[package]]
    found += "".join(f", {package} {versions.get(package) or 'not installed'}" for package in PACKAGES)
    expected = " and ".join(f"{package} {here[package]}" for package in other)
    remedy = f"this machine has {expected}: install that there, with pip install -c constraints.txt ."
    return Check(name, not other, found, remedy)


def find_promise(folders: tuple[Path, ...] | None = None) -> Promise | None:
    """Return the nodes that Ray's launcher was asked for, if its configuration is here.

    Args:
        folders: Folders that may hold it; by default the home folder, on a head node, and the current one.
    """
    home, here = folders or (Path(os.environ.get("HOME") or "/"), Path.cwd())
    try:
        import yaml  # comes with Ray
    except ImportError:
        return None
    for file in (home / BOOTSTRAP, here / "cluster.yaml"):
        # most of these: it is another kind of file
        with contextlib.suppress(OSError, ValueError, yaml.YAMLError, LookupError, TypeError, StopIteration):
            return _read_promise(file, yaml.safe_load(file.read_text(encoding="utf-8")))
    return None


def _read_promise(file: Path, config: Mapping[str, Any]) -> Promise:
    provider, auth = config["provider"], config.get("auth") or {}
    user, key = auth.get("ssh_user"), auth.get("ssh_private_key")
    ssh = f"ssh {f'-i {shlex.quote(key)} ' if key else ''}{f'{user}@' if user else ''}"
    join = next(each for each in reversed(config["worker_start_ray_commands"]) if "ray start" in each)
    if "head_ip" in provider:
        addresses = (provider["head_ip"], *provider.get("worker_ips", ()))
        return Promise(file, len(addresses), addresses, ssh, join)
    kinds = (config.get("available_node_types") or {}).values()
    return Promise(file, 1 + sum(kind.get("min_workers", 0) for kind in kinds), (), ssh, join)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""

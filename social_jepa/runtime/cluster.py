"""Ray: start it or join it, give every agent its share, and wait for answers without going blind."""

import contextlib
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from social_jepa.doctor import is_listening, usable_cpus

# A training step frees and takes back tens of megabytes. By default glibc returns them to the system and
# every step pays for the page faults anew: a quarter of its time where this was measured.
MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
}


RAY_SETTINGS = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # not 15: agents make way for each other where they learn, and only there
}
CONNECT_TIMEOUT = 5.0  # seconds to wait for a cluster's port
RESTART_TIMEOUT = 20.0  # seconds that a keeper whose process died may take to come back
SUPERVISOR = "supervisor"  # name of the actor that keeps a simulation
MAX_RESTARTS = 3  # lives that an agent of a finite run may lose; more would be the same failure again


class ClusterError(RuntimeError):
    """Ray could not do what was asked; the text names the remedy."""


class AddressError(ValueError):
    """Nobody listens where a cluster was said to be."""


class AgentLostError(RuntimeError):
    """An agent's process died or its work failed; the text says whose and why."""


@dataclass(frozen=True)
class ResourceShare:
    """What each agent gets."""

    cpus: float
    gpus: float
    threads: int
    note: str  # one line for people: who shares what


def check_address(address: str | None) -> None:
    """Raise AddressError if nobody listens there: Ray itself would go on trying for minutes."""
    address = address or os.environ.get("RAY_ADDRESS")
    if address and address not in ("auto", "local") and not is_listening(address, CONNECT_TIMEOUT):
        raise AddressError(
            f"nobody answers at {address}: an address is written host:port, for example 10.0.0.1:6379; "
            "ray status on the head node names it, and without one a local Ray is started"
        )


@contextlib.contextmanager
def cluster(address: str | None = None) -> Iterator[None]:
    """Start a small local Ray, or join the one at an address or at RAY_ADDRESS; leave it as it was found."""
    started = connect(address)
    if started and threading.current_thread() is threading.main_thread():
        # the same as Ctrl-C; Ray's own handler aborts, and nothing is saved
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def connect(address: str | None = None) -> bool:
    """Start or join Ray unless this process has; return whether it did.

    Raises:
        AddressError, ClusterError: Nobody listens there, or Ray does not answer.
    """
    # said outright, because Ray may otherwise write a token into the home folder
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
    if ray.is_initialized():
        return False
    check_address(address)
    _connect(address or os.environ.get("RAY_ADDRESS"))
    return True


def _connect(address: str | None) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address and address != "local":
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local", num_cpus=usable_cpus(), include_dashboard=False,
                object_store_memory=120_000_000, **quiet,
            )  # fmt: skip
    except Exception as error:  # no narrower: a Ray that is slow to start raises exactly this
        where = f"the Ray cluster at {address}" if address else "a local Ray"
        raise ClusterError(
            f"{where} does not answer ({error}); run social-jepa doctor, or check the address with ray status"
        ) from error


def share(count: int, threads: int, capacity: int = 0) -> ResourceShare:
    """Return what each of `count` agents gets: a GPU where the cluster has any, else CPU cores.

    Args:
        count: How many agents there are.
        threads: CPU threads of each agent; 0: its share of the cores.
        capacity: How many agents the cluster is divided for, so that others may come later.
    """
    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 1.0), resources.get("GPU", 0.0)
    capacity = max(capacity, count)
    slots, per_gpu = _part(cpus, capacity), _part(gpus, capacity)
    own = threads or max(1, int(cpus // count))
    device = "no GPU"
    if gpus:
        device = "one GPU each" if per_gpu == 1 else f"{capacity} agents share {gpus:g} GPUs"
    cpu = f"{own} thread{'s' if own > 1 else ''} each" + (f", sharing {cpus:g} cores" if cpus < count else "")
    return ResourceShare(slots, per_gpu, own, f"{device}; {cpu}")


def _part(units: float, count: int) -> float:
    """Return what of a core or GPU each gets when none may straddle two: 3 GPUs hold 4 agents by halves."""
    return int(1e4 / math.ceil(count / units)) / 1e4 if units else 0.0


def agent_options(resources: ResourceShare, gpus: float, detached: bool) -> dict[str, Any]:
    """Return what Ray is told of an agent's process: its share, its place, how often it may return."""
    return {
        "num_cpus": resources.cpus, "num_gpus": gpus or resources.gpus, "scheduling_strategy": "SPREAD",
        "runtime_env": {"env_vars": MALLOC}, "max_restarts": -1 if detached else MAX_RESTARTS,
        "lifetime": "detached" if detached else None,
    }  # fmt: skip


def shortage(options: Mapping[str, Any]) -> str:
    """Return what the cluster lacks for a process with these options: one line for people."""
    have, free = ray.cluster_resources(), ray.available_resources()
    for wanted, unit in ((options["num_gpus"], "GPU"), (options["num_cpus"], "CPU")):
        if wanted > free.get(unit, 0.0):
            return (
                f"{wanted:g} {unit}{'s' if wanted > 1 else ''}: {free.get(unit, 0.0):g} of "
                f"{have.get(unit, 0.0):g} in the cluster are free"
            )
    return ""


def start_supervisor(make: Any, namespace: str, detached: bool, *arguments: Any) -> Any:
    """Start the actor that keeps a simulation, on this node, where its folder is."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return make.options(
        name=SUPERVISOR, namespace=namespace, num_cpus=0, scheduling_strategy=here,
        max_restarts=-1 if detached else MAX_RESTARTS, lifetime="detached" if detached else None,
    ).remote(*arguments)  # fmt: skip


def find_supervisor(namespace: str) -> Any | None:
    """Return the actor that keeps a simulation, or None where there is none."""
    try:
        return ray.get_actor(SUPERVISOR, namespace)
    except ValueError:
        return None


def call(
    supervisor: Any, method: str, *arguments: Any, timeout: float = 60.0, idempotent: bool = False
) -> Any:
    """Ask the keeper and return its answer.

    Args:
        supervisor: Its handle.
        method: What to ask.
        arguments: Of the method.
        timeout: Seconds that it may take.
        idempotent: Whether asking twice does no harm: then a keeper that is coming back is asked once more.

    Raises:
        ValueError: The keeper refused; as it put it.
        ClusterError: It does not answer.
    """
    until = time.monotonic() + (RESTART_TIMEOUT if idempotent else 0.0)
    while True:
        try:
            return _call(supervisor, method, arguments, timeout)
        except _AwayError as error:
            if time.monotonic() > until:
                raise ClusterError(f"the simulation's keeper does not answer ({error})") from error
            time.sleep(0.1)


class _AwayError(Exception):
    """The keeper's process is gone, perhaps to come back."""


def _call(supervisor: Any, method: str, arguments: Sequence[Any], timeout: float) -> Any:
    try:
        return ray.get(getattr(supervisor, method).remote(*arguments), timeout=timeout)
    except RayTaskError as error:
        cause = error.cause if isinstance(error.cause, ValueError | LookupError) else None
        if cause is None:
            raise ClusterError(f"the simulation's keeper failed: {error.cause or error}") from error
        raise cause from None
    except GetTimeoutError as error:
        raise ClusterError(f"the simulation's keeper did not answer within {timeout:g} s") from error
    except RayActorError as error:
        raise _AwayError(" ".join(str(error).split())) from error


def end(supervisor: Any, namespace: str) -> None:
    """End every process of a simulation for good, the keeper first, so that it starts none again."""
    ray.kill(supervisor)
    for name in names_in(namespace):
        with contextlib.suppress(ValueError):  # it ended by itself
            ray.kill(ray.get_actor(name, namespace))


def names_in(namespace: str) -> list[str]:
    """Return the names of all actors of a simulation that are alive."""
    found = ray.util.list_named_actors(all_namespaces=True)
    return [entry["name"] for entry in found if entry["namespace"] == namespace]


def is_connected() -> bool:
    """Whether this process speaks to a Ray."""
    return bool(ray.is_initialized())


def disconnect() -> None:
    """Leave the Ray that this process speaks to."""
    ray.shutdown()

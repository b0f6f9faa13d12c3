"""Ray: join a cluster, divide its resources among agents, start and call the supervisor."""

from agents.common.ray_environment import uploads_folder

import contextlib
import functools
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import ray
import ray._private.services as services
from ray._private.accelerators import get_accelerator_manager_for_resource
from ray._private.state import actors, available_resources_per_node
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from social_jepa.runtime.capacity import Node
from social_jepa.runtime.control import RESTART_TIMEOUT
from social_jepa.runtime.deaths import one_line, read_death
from social_jepa.runtime.errors import (
    AddressError,
    NotOnClusterError,
    RayImportedFirstError,
    RayUnavailableError,
    SupervisorFailedError,
    SupervisorUnavailableError,
)
from social_jepa.runtime.private_ray import find_private_raylets
from social_jepa.system.machine import is_listening

logger = logging.getLogger(__name__)

# A training step allocates and frees tens of megabytes. By default glibc returns them to the system, and
# every step pays for the page faults again: a quarter of its time where this was measured.
MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
}
# A thread of torch that waits for the others gives its CPU back at once. By default it spins, and agents that
# share CPUs take them from one another: three processes of two threads on two CPUs train half as fast.
OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
CONNECT_TIMEOUT = 5.0  # seconds to wait for a cluster's port
SUPERVISOR = "supervisor"  # name of the supervisor actor of a simulation
# Times that Ray restarts the process of a supervisor: where it dies again and again, as for want of memory,
# that ends; agents go on, and commands say that it does not answer.
SUPERVISOR_RESTARTS = 16
# Least number of agents that the resources of a simulation are divided for: others may join.
MIN_CAPACITY = 16

P = ParamSpec("P")
T = TypeVar("T")


def _translated(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function with errors of Ray raised as RayUnavailableError."""

    @functools.wraps(function)
    def call_ray(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (RayError, OSError) as error:  # OSError: a lost connection, or a timeout
            raise RayUnavailableError("", one_line(error)) from error

    return call_ray


@dataclass(frozen=True)
class ResourceShare:
    """Resources of each agent.

    Attributes:
        cpus: CPUs that its process reserves.
        gpus: GPUs that its process reserves.
        threads: CPU threads that torch may use.
        note: One line for people: how the resources are shared.
        nice: Least niceness of its process.
    """

    cpus: float
    gpus: float
    threads: int
    note: str
    nice: int = 0


def check_address(address: str) -> None:
    """Raise an error if a simulation cannot be started at an address.

    Raises:
        NotOnClusterError: It is one of Ray Client, or this machine is no node of a cluster.
        AddressError: Nothing listens there. For either, Ray itself would retry for minutes.
    """
    if address.startswith("ray://"):
        raise NotOnClusterError(address, "not through Ray Client")
    if address in ("auto", "local"):
        return
    if not is_listening(address, CONNECT_TIMEOUT):
        raise AddressError(address)
    if not services.find_node_ids():
        raise NotOnClusterError(address, "and no node of Ray runs on this machine")


def connect(address: str, private: bool = False) -> str:
    """Join a Ray and return its address as host:port. Only processes that end soon may join a private one.

    Args:
        address: Address of the Ray, or "auto".
        private: Whether it is one that `start_local_ray` started.

    Raises:
        NotOnClusterError: This machine is no node of the cluster.
        AddressError: Nothing listens at the address.
        RayImportedFirstError: Ray would upload the current folder.
        RayUnavailableError: Ray does not answer.
    """
    if uploads_folder():
        raise RayImportedFirstError
    if private:  # its node may still be starting, which Ray waits for
        find_private_raylets()
    else:
        check_address(address)
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # not narrower: this is what Ray raises when it is slow to start
        raise RayUnavailableError(address, one_line(error)) from error
    found: str = ray.get_runtime_context().gcs_address
    logger.info("connected to Ray at %s", found)
    return found


def disconnect() -> None:
    """Disconnect this process from Ray."""
    ray.shutdown()


@_translated
def share(count: int, threads: int, capacity: int = 0, nice: int = 0) -> ResourceShare:
    """Return the resources of each of `count` agents: a share of the GPUs if there are any, and of the CPUs.

    Args:
        count: Number of agents.
        threads: CPU threads of each agent; 0: an equal share of the CPUs.
        capacity: Number of agents that the cluster is divided for, so that others may join later.
        nice: Least niceness of each process.
    """
    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 1.0), resources.get("GPU", 0.0)
    capacity = max(capacity, count)
    cpu_share, gpu_share = _share_of(cpus, capacity), _share_of(gpus, capacity)
    own_threads = threads or max(1, int(cpus // count))
    device = "no GPU"
    if gpus:
        device = "one GPU each" if gpu_share == 1 else f"{capacity} agents share {gpus:g} GPUs"
    cpu = f"{own_threads} thread{'s' if own_threads > 1 else ''} each"
    if cpus < count:
        cpu += f", sharing {cpus:g} CPUs"
    return ResourceShare(cpu_share, gpu_share, own_threads, f"{device}; {cpu}", nice)


def _share_of(units: float, count: int) -> float:
    """Return each agent's part of a CPU or GPU when none may span two: 3 GPUs hold 4 agents as halves."""
    return int(1e4 / math.ceil(count / units)) / 1e4 if units else 0.0


def agent_options(resources: ResourceShare, gpus: float) -> dict[str, Any]:
    """Return Ray's options for the process of an agent: resources, restarts and lifetime.

    Ray restarts none: the supervisor does, after a pause and on a node that it chooses.

    Args:
        resources: Share of the cluster's resources.
        gpus: GPUs that the agent reserves instead; 0: those of `resources`.
    """
    return {
        "num_cpus": resources.cpus, "num_gpus": gpus or resources.gpus,
        "runtime_env": {"env_vars": agent_environment()}, "max_restarts": 0,
        "lifetime": "detached",
    }  # fmt: skip


def agent_environment() -> dict[str, str]:
    """Return the environment variables of an agent's process; what the user has set stays.

    They are set before its process imports torch, which reads them once.
    """
    return {name: os.environ.get(name, value) for name, value in {**MALLOC, **OPENMP}.items()}


def local_gpus() -> float:
    """Return the GPUs that a Ray which is started on this machine would assign, as Ray counts them."""
    manager: Any = get_accelerator_manager_for_resource("GPU")
    if manager is None:
        return 0.0
    count, visible = manager.get_current_node_num_accelerators(), None
    if count:
        visible = manager.get_current_process_visible_accelerator_ids()
    return float(count if visible is None else min(count, len(visible)))


def placement_options(node: str) -> dict[str, Any]:
    """Return Ray's option that starts a process on a node while it has room; "" lets Ray choose."""
    if not node:
        return {"scheduling_strategy": "SPREAD"}
    return {
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=True, _spill_on_unavailable=True)
    }


@_translated
def read_nodes() -> list[Node]:
    """Return the nodes that are alive, with what they hold and what is free there."""
    free = available_resources_per_node()
    return [
        Node(
            id=node["NodeID"], host=node["NodeManagerHostname"],
            cpus=node["Resources"].get("CPU", 0.0), gpus=node["Resources"].get("GPU", 0.0),
            free_cpus=free.get(node["NodeID"], {}).get("CPU", 0.0),
            free_gpus=free.get(node["NodeID"], {}).get("GPU", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]  # fmt: skip


@_translated
def has_process(handle: Any) -> bool:
    """Return whether an actor that is not ready yet has a process already, and so its resources."""
    return bool(actors(handle._actor_id.hex()).get("Pid"))


@_translated
def start_supervisor(actor_class: Any, namespace: str, *arguments: Any) -> Any:
    """Start the supervisor of a simulation on this machine, where its run folder is; return its handle."""
    # not soft: on another machine, or after this one is lost, it would find no run folder
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return actor_class.options(
        name=SUPERVISOR, namespace=namespace, num_cpus=0, scheduling_strategy=here,
        max_restarts=SUPERVISOR_RESTARTS, lifetime="detached",
    ).remote(*arguments)  # fmt: skip


@_translated
def find_supervisor(namespace: str) -> Any | None:
    """Return the handle of the supervisor of a simulation, or None where there is none."""
    try:
        return ray.get_actor(SUPERVISOR, namespace)
    except ValueError:
        return None


def call(
    supervisor: Any, method: str, *arguments: Any, timeout: float = 60.0, idempotent: bool = False
) -> Any:
    """Call a method of the supervisor and return its result.

    Args:
        supervisor: Its handle.
        method: Name of the method.
        arguments: Arguments of the method.
        timeout: Seconds that the call may take.
        idempotent: Whether repeating the call is harmless: then it is retried while the supervisor restarts.

    Raises:
        ValueError, LookupError: The method refused the request.
        SupervisorFailedError: The method raised another error.
        SupervisorUnavailableError: The supervisor does not answer.
    """
    deadline, reason = time.monotonic() + (RESTART_TIMEOUT if idempotent else 0.0), ""
    while True:
        try:
            return _call(supervisor, method, arguments, timeout)
        except (RayError, OSError) as error:  # OSError: a lost connection
            reason = _more_telling(reason, error)
            if time.monotonic() > deadline:
                raise SupervisorUnavailableError(reason) from error
            time.sleep(0.1)


def _more_telling(reason: str, error: Exception) -> str:
    """Return why a process does not answer: how it died once that is known, else Ray's newest text."""
    death = read_death(error)
    return death.text if death else reason if reason.startswith("its ") else one_line(error)


def _call(supervisor: Any, method: str, arguments: Sequence[Any], timeout: float) -> Any:
    try:
        return ray.get(getattr(supervisor, method).remote(*arguments), timeout=timeout)
    except RayTaskError as error:
        cause = error.cause if isinstance(error.cause, ValueError | LookupError) else None
        if cause is None:
            raise SupervisorFailedError(one_line(error.cause or error)) from error
        raise cause from None
    except GetTimeoutError as error:
        raise SupervisorUnavailableError(f"no reply within {timeout:g} s") from error


@_translated
def end(namespace: str) -> None:
    """End all processes of a simulation without restart; the supervisor first, so that it starts none."""
    for name in sorted(names_in(namespace), key=lambda name: name != SUPERVISOR):
        with contextlib.suppress(ValueError):  # it has ended meanwhile
            ray.kill(ray.get_actor(name, namespace))


@_translated
def names_in(namespace: str) -> list[str]:
    """Return the names of all actors of a simulation that are alive."""
    found = ray.util.list_named_actors(all_namespaces=True)
    return [entry["name"] for entry in found if entry["namespace"] == namespace]

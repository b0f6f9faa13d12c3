"""Start the supervisor of a run on a Ray, and undo that if anything fails."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from social_jepa.records import AgentStatus
from social_jepa.runtime.control import RESTART_TIMEOUT, ControlClient, socket_path
from social_jepa.runtime.errors import AddressError, AlreadyUpError, SupervisorUnavailableError
from social_jepa.runtime.launcher import launch
from social_jepa.runtime.local_ray import LocalRay, start_local_ray
from social_jepa.storage import simulation_file
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.simulation_file import SimulationFile
from social_jepa.system.machine import usable_cpus
from social_jepa.system.process_identity import MachineIdentity

logger = logging.getLogger(__name__)

STATUS_TIMEOUT = 60.0  # seconds
AGENTS_OF_A_POLL = 32


@dataclass(frozen=True)
class Started:
    """A run whose supervisor has started.

    Attributes:
        control: Client of the supervisor.
        local_ray: The Ray that was started for it; None where it joined a cluster.
        note: How the resources are shared, one line.
        address: host:port of the Ray.
    """

    control: ControlClient
    local_ray: LocalRay | None
    note: str
    address: str


@contextlib.contextmanager
def started(folder: RunFolder, address: str | None, online: bool) -> Iterator[Started]:
    """Start the supervisor of a run folder; an error, before or inside the block, ends all that has started.

    A local Ray ends with the block, or with this process, unless the block calls `LocalRay.keep`.

    Args:
        folder: Run folder; the caller holds its command lock.
        address: Ray cluster to join; None or "local": a local Ray is started.
        online: Whether it is a simulation that stays up, and simulation.json says where.

    Raises:
        AddressError, ClusterError, LocalRayError: Ray does not answer, or the supervisor failed.
        RunFolderError: Another process runs in the folder.
    """
    joins = address not in (None, "", "local")
    nice = folder.config().agents.nice
    local_ray = None if joins else start_local_ray(folder.path, usable_cpus(), nice)
    place = local_ray.address if local_ray is not None else str(address)
    written = launching = False
    try:
        folder.acquire_lock().release()  # the supervisor takes it; here its absence can be said in a sentence
        if online:
            written = True
            _write_file(folder, place, local_ray)
        launching = True
        reply = launch("start", folder.path, place, local_ray is not None, online)
        if online and reply.address != place:
            _write_file(folder, reply.address, local_ray)
        yield Started(ControlClient(socket_path(folder.path)), local_ray, reply.note, reply.address)
    except BaseException as error:  # Ctrl-C too
        if local_ray is not None:
            local_ray.stop()
        elif launching and not isinstance(error, AlreadyUpError | AddressError):
            with contextlib.suppress(Exception):  # the cause is raised
                end_on_cluster(folder, place)
        if written and not isinstance(error, AlreadyUpError):
            folder.simulation_file.unlink(missing_ok=True)
        raise
    if local_ray is not None and not local_ray.kept:
        local_ray.stop()


def end_on_cluster(folder: RunFolder, address: str) -> None:
    """End what a run has on a cluster that it joined, without its supervisor.

    Raises:
        ClusterError: The cluster does not answer.
    """
    with contextlib.suppress(AddressError):  # the cluster has ended
        launch("end", folder.path, address, private=False)


def _write_file(folder: RunFolder, address: str, local_ray: LocalRay | None) -> None:
    place = folder.path.stat()
    content = SimulationFile(
        folder=str(folder.path), control=str(socket_path(folder.path)), address=address,
        machine=MachineIdentity.current(), leader=local_ray.leader if local_ray is not None else None,
        session=local_ray.session if local_ray is not None else "",
        device=place.st_dev, inode=place.st_ino,
    )  # fmt: skip
    simulation_file.write(folder.path, content)


def poll_pause(seconds: float, agents: int) -> float:
    """Return the pause between two polls of all agents: longer for more than AGENTS_OF_A_POLL."""
    return seconds * max(1, agents / AGENTS_OF_A_POLL)


def status_of(
    control: ControlClient, timeout: float = STATUS_TIMEOUT, check: Callable[[], object] = lambda: None
) -> list[AgentStatus]:
    """Return the status of every agent; wait for a supervisor that is restarting.

    Args:
        control: Client of the supervisor.
        timeout: Seconds that a reply, or the restart, may take.
        check: Called when there is no reply; it raises if there cannot be one.

    Raises:
        SupervisorUnavailableError: It does not answer.
    """
    deadline = time.monotonic() + min(RESTART_TIMEOUT, timeout)
    while True:
        try:
            agents: list[AgentStatus] = control.call("status", kind=list[AgentStatus], timeout=timeout)
            return agents
        except SupervisorUnavailableError as error:
            check()
            if error.timed_out or time.monotonic() > deadline:
                raise
            time.sleep(0.1)

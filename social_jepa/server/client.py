"""A client of the simulation of a run folder, which may go down and be resumed."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from social_jepa.records import AgentStatus
from social_jepa.runtime.errors import NotUpError
from social_jepa.storage.run_folder import RunFolder, RunFolderError, SimulationAddress
from social_jepa.system.machine import is_listening

if TYPE_CHECKING:
    from social_jepa.runtime.simulation import Simulation

T = TypeVar("T")

logger = logging.getLogger(__name__)

STATUS_MAX_AGE = 0.5  # seconds for which one reply of the supervisor is used for all requests
CONNECT_TIMEOUT = 0.5  # seconds in which Ray's port must accept a connection


class ClientStatus(NamedTuple):
    """Status of all agents; none while the simulation is down.

    Attributes:
        agents: Status of each agent.
        trouble: Why the status is unknown although the simulation should be up; else empty.
    """

    agents: list[AgentStatus]
    trouble: str = ""


class SimulationClient:
    """A client that connects again when the simulation has been down.

    Ray ends a process whose cluster has been gone for a minute; `check_connection` disconnects before that.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._lock, self._status_lock = threading.RLock(), threading.Lock()
        self._simulation: Simulation | None = None
        self._address: SimulationAddress | None = None
        self._joined_ray = False
        self._status, self._status_at = ClientStatus([]), 0.0

    def connect(self) -> "Simulation":
        """Return the simulation.

        Raises:
            NotUpError: It is not up.
        """
        with self._lock:
            address = self._folder.simulation_address()
            if self._simulation is not None and address == self._address:
                return self._simulation
            self.disconnect()
            if address is None:
                raise NotUpError(self._folder.path)
            from social_jepa.runtime import cluster
            from social_jepa.runtime.simulation import Simulation

            was_connected = cluster.is_connected()
            self._simulation = Simulation.attach(self._folder)
            self._address, self._joined_ray = address, not was_connected
            logger.info("connected to the simulation at %s", address.address or "this process")
            return self._simulation

    def call(self, function: Callable[["Simulation"], T]) -> T:
        """Return the value of a function of the simulation, and read the status again next time.

        Raises:
            NotUpError: The simulation is not up.
            ValueError, LookupError: It refused the request.
            RuntimeError: It does not answer.
        """
        simulation = self.connect()
        try:
            value = function(simulation)
        except RuntimeError:
            self.disconnect()  # the next call connects again
            raise
        self._status_at = 0.0
        return value

    def status(self) -> ClientStatus:
        """Return the status of all agents, at most `STATUS_MAX_AGE` old."""
        with self._status_lock:
            if self._folder.simulation_address() is None:
                self.disconnect()
                return ClientStatus([])
            if time.monotonic() - self._status_at > STATUS_MAX_AGE:
                status = self._read_status()
                if status.trouble and status.trouble != self._status.trouble:
                    logger.warning("no status: %s", status.trouble)
                self._status, self._status_at = status, time.monotonic()
            return self._status

    def _read_status(self) -> ClientStatus:
        trouble = ""
        for _ in range(2):  # a simulation that was resumed in the same Ray has another supervisor
            try:
                return ClientStatus(self.connect().status())
            except (RunFolderError, RuntimeError) as error:
                trouble = str(error)
                self.disconnect()
        return ClientStatus([], trouble)

    def check_connection(self) -> None:
        """Disconnect from a cluster that has gone; to be called about every second."""
        with self._lock:
            if self._simulation is None or not self._joined_ray or self._address is None:
                return
            moved = self._folder.simulation_address() != self._address
            if moved or not is_listening(self._address.address, CONNECT_TIMEOUT):
                self.disconnect()

    def disconnect(self) -> None:
        """Forget the simulation, and leave Ray if this client joined it."""
        with self._lock:
            if self._simulation is not None:
                logger.info("disconnected from the simulation")
            self._simulation, joined = None, self._joined_ray
            self._address, self._joined_ray = None, False
            if joined:
                from social_jepa.runtime import cluster

                with contextlib.suppress(Exception):  # it may be gone already
                    cluster.disconnect()

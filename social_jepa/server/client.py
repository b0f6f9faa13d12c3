"""A client of the simulation of a run folder, which may go down and be resumed."""

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from social_jepa.records import AgentStatus, ProgressRecord, replace
from social_jepa.runtime.errors import ClusterError, ElsewhereError, NotUpError
from social_jepa.runtime.last_known import UNKNOWN, last_known
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.ledger_errors import LedgerError
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.run_folder_errors import RunFolderError
from social_jepa.system.command_line import command

T = TypeVar("T")

logger = logging.getLogger(__name__)

STATUS_MAX_AGE = 0.5  # seconds for which one reply of the supervisor is used for all requests
STATUS_TIMEOUT = 4.0  # seconds in which the supervisor must reply


class ClientStatus(NamedTuple):
    """Status of all agents; none while the simulation is down.

    Attributes:
        agents: Status of each agent; while the supervisor does not answer, its last known one with the phase
            `last_known.UNKNOWN`.
        up: Whether the simulation is up, whether or not its supervisor answers now.
        trouble: Why the status is unknown although the simulation should be up; else empty.
    """

    agents: list[AgentStatus]
    up: bool = False
    trouble: str = ""


class SimulationClient:
    """A client that follows a simulation through any number of `down` and `resume`.

    It calls the supervisor at its control socket and never joins a Ray, which would end this process with it.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._status_lock = threading.Lock()
        self._status, self._status_at = ClientStatus([]), -STATUS_MAX_AGE
        self._calls = 0  # of `call` that have ended

    def call(self, function: Callable[[Simulation], T]) -> T:
        """Return the value of a function of the simulation, and read the status again next time.

        Raises:
            NotUpError: The simulation is not up.
            ValueError, LookupError: It refused the request.
            RuntimeError: It does not answer.
        """
        value = function(Simulation.attach(self._folder))
        self._calls += 1  # before the time: a status that is being read now is of before this call
        self._status_at = -STATUS_MAX_AGE
        return value

    def status(self) -> ClientStatus:
        """Return the status of all agents, at most `STATUS_MAX_AGE` old."""
        with self._status_lock:
            if time.monotonic() - self._status_at > STATUS_MAX_AGE:
                calls = self._calls
                status = self._read_status()
                if status.trouble and status.trouble != self._status.trouble:
                    logger.warning("no status: %s", status.trouble)
                self._status, self._status_at = status, time.monotonic()
                if calls != self._calls:
                    self._status_at = -STATUS_MAX_AGE
            return self._status

    def progress(self, name: str) -> ProgressRecord | None:
        """Return the newest progress of an agent; None while it, or the simulation, has none to tell."""
        try:
            return Simulation.attach(self._folder).progress(name)
        except (NotUpError, RunFolderError, RuntimeError) as error:
            logger.warning("no progress of %s: %s", name, error)
            return None

    def _read_status(self) -> ClientStatus:
        try:
            return ClientStatus(Simulation.attach(self._folder).status(STATUS_TIMEOUT), up=True)
        except NotUpError as error:
            return ClientStatus([], trouble=str(error) if error.ended else "")
        except ElsewhereError as error:
            trouble = f"{error}: send the request to a server there"
            return ClientStatus(self._last_known(), up=True, trouble=trouble)
        except ClusterError as error:  # it was found, and does not answer
            end = command("down", run=self._folder.path)
            trouble = f"{error}: wait a moment, or end the simulation with {end}"
            return ClientStatus(self._last_known(), up=True, trouble=trouble)
        except (RunFolderError, RuntimeError) as error:
            return ClientStatus([], trouble=str(error))

    def _last_known(self) -> list[AgentStatus]:
        """Return the status of all agents as it was heard last, or as the ledger has it."""
        if self._status.agents:
            return [replace(agent, phase=UNKNOWN) for agent in self._status.agents]
        try:
            return last_known(self._folder)
        except LedgerError as error:
            logger.warning("no status: %s", error)
            return []

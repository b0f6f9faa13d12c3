"""Errors of clusters and running simulations.

Each carries what went wrong as fields and states it in neutral words; the front ends (command line, HTTP) add
what to do about it. All fields are constructor arguments, so that the errors can be pickled.
"""

from pathlib import Path

from social_jepa.storage.run_folder import RunFolderError


class AddressError(ValueError):
    """No Ray cluster answers at an address.

    Attributes:
        address: host:port as it was given.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        return f"no Ray cluster answers at {self.address}"


class ClusterError(RuntimeError):
    """Ray, or a process that a simulation runs on it, does not work.

    Attributes:
        reason: What Ray or the process reported, in one line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RayUnavailableError(ClusterError):
    """Ray could not be started or joined.

    Attributes:
        address: Address of the cluster; empty for a local Ray.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(reason)
        self.args = (address, reason)
        self.address = address

    def __str__(self) -> str:
        place = f"the Ray cluster at {self.address}" if self.address else "a local Ray"
        return f"{place} does not answer ({self.reason})"


class SupervisorUnavailableError(ClusterError):
    """The supervisor of a simulation does not answer."""

    def __str__(self) -> str:
        return f"the supervisor of the simulation does not answer ({self.reason})"


class SupervisorFailedError(ClusterError):
    """A call of the supervisor raised an unexpected error."""

    def __str__(self) -> str:
        return f"the supervisor of the simulation failed: {self.reason}"


class LocalRayError(RuntimeError):
    """A local Ray did not start.

    Attributes:
        log: File that Ray wrote its output to.
    """

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.log = log

    def __str__(self) -> str:
        return f"Ray did not start: {self.log} says why"


class AgentLostError(RuntimeError):
    """An agent failed, or its process died more often than it is restarted.

    Attributes:
        agent: Name of the agent.
        reason: The error, or Ray's description of the death.
        process_died: Whether its process died.
    """

    def __init__(self, agent: str, reason: str, process_died: bool = False) -> None:
        super().__init__(agent, reason, process_died)
        self.agent, self.reason, self.process_died = agent, reason, process_died

    def __str__(self) -> str:
        if self.process_died:
            return f"the process of {self.agent} kept dying ({self.reason})"
        return f"{self.agent}: {self.reason}"


class RunStoppedError(RuntimeError):
    """A batch run was interrupted; its agents saved checkpoints.

    Attributes:
        folder: Its run folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return f"stopped; the checkpoints are in {self.folder}"


class NotUpError(RunFolderError):
    """The simulation of a run folder is not up.

    Attributes:
        folder: Path of the run folder.
        address: Ray address of the simulation when its Ray is gone; empty when it was taken down.
    """

    def __init__(self, folder: Path, address: str = "") -> None:
        super().__init__(folder, address)
        self.folder, self.address = folder, address

    def __str__(self) -> str:
        if self.address:
            return f"{self.folder} was up, but its Ray at {self.address} is gone"
        return f"{self.folder} is not up"


class AlreadyUpError(RunFolderError):
    """The simulation of a run folder is up already.

    Attributes:
        folder: Path of the run folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return f"{self.folder} is up already"

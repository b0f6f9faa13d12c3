"""Errors of clusters and running simulations.

Each carries what went wrong as fields and states it in neutral words; the front ends (command line, HTTP) add
what to do about it. Build them with positional arguments: Ray pickles them.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

from social_jepa.records import FailureRecord
from social_jepa.storage.run_folder import RunFolderError


@dataclass(eq=False, repr=False)
class AddressError(ValueError):
    """No Ray cluster answers at an address.

    Attributes:
        address: host:port as it was given.
    """

    address: str

    def __str__(self) -> str:
        return f"no Ray cluster answers at {self.address}"


class ClusterError(RuntimeError):
    """Ray, or a process that a simulation runs on it, does not work."""


@dataclass(eq=False, repr=False)
class RayUnavailableError(ClusterError):
    """Ray could not be started or joined.

    Attributes:
        address: Address of the cluster; empty for a local Ray.
        reason: What Ray reported.
    """

    address: str
    reason: str

    def __str__(self) -> str:
        place = f"the Ray cluster at {self.address}" if self.address else "a local Ray"
        return f"{place} does not answer ({self.reason})"


class RayImportedFirstError(ClusterError):
    """Ray was imported under `uv run` before its environment variables were set."""

    def __str__(self) -> str:
        return (
            "Ray was imported before social_jepa.Simulation, and under uv run it would upload the current "
            "folder: change the order of the imports, or export RAY_ENABLE_UV_RUN_RUNTIME_ENV=0"
        )


@dataclass(eq=False, repr=False)
class SupervisorUnavailableError(ClusterError):
    """The supervisor of a simulation does not answer.

    Attributes:
        reason: What Ray reported, in one line.
    """

    reason: str

    def __str__(self) -> str:
        return f"the supervisor of the simulation does not answer ({self.reason})"


@dataclass(eq=False, repr=False)
class SupervisorFailedError(ClusterError):
    """A call of the supervisor raised an unexpected error.

    Attributes:
        reason: The message of that error.
    """

    reason: str

    def __str__(self) -> str:
        return f"the supervisor of the simulation failed: {self.reason}"


@dataclass(eq=False, repr=False)
class LocalRayError(RuntimeError):
    """A local Ray did not start.

    Attributes:
        log: File that Ray wrote its output to.
    """

    log: Path

    def __str__(self) -> str:
        return f"Ray did not start: {self.log} says why"


@dataclass(eq=False, repr=False)
class AgentLostError(RuntimeError):
    """An agent failed, or its process died more often than it is restarted.

    Attributes:
        failure: Which agent, when, where and why.
    """

    failure: FailureRecord

    def __str__(self) -> str:
        if self.failure.cause == "process_died":
            return f"the process of {self.failure.agent} kept dying: {self.failure.summary}"
        return f"{self.failure.agent} failed: {self.failure.summary}"


@dataclass(eq=False, repr=False)
class RunStoppedError(RuntimeError):
    """A batch run was interrupted; its agents saved checkpoints.

    Attributes:
        folder: Path of the run folder.
    """

    folder: Path

    def __str__(self) -> str:
        return f"stopped; the checkpoints are in {self.folder}"


@dataclass(eq=False, repr=False)
class NotUpError(RunFolderError):
    """The simulation of a run folder is not up.

    Attributes:
        folder: Path of the run folder.
        address: Ray address of the simulation when its Ray is gone; empty when it was taken down.
    """

    folder: Path
    address: str = ""

    def __str__(self) -> str:
        if self.address:
            return f"{self.folder} was up, but its Ray at {self.address} is gone"
        return f"{self.folder} is not up"


@dataclass(eq=False, repr=False)
class AlreadyUpError(RunFolderError):
    """The simulation of a run folder is up already.

    Attributes:
        folder: Path of the run folder.
    """

    folder: Path

    def __str__(self) -> str:
        return f"{self.folder} is up already"


class MembershipError(ValueError):
    """An agent cannot join, move or leave."""


@dataclass(eq=False, repr=False)
class UnknownMemberError(MembershipError):
    """No present agent has a name.

    Attributes:
        name: The name.
        present: Names of the present agents.
    """

    name: str
    present: tuple[str, ...]

    def __str__(self) -> str:
        near = difflib.get_close_matches(self.name, self.present, n=1)
        suggestion = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(self.present)}"
        return f"no agent is named {self.name!r}: {suggestion}"


@dataclass(eq=False, repr=False)
class InvalidNameError(MembershipError):
    """A name that no agent may have.

    Attributes:
        name: The name.
        reserved: Whether it names another part of every simulation, instead of being malformed.
    """

    name: str
    reserved: bool = False

    def __str__(self) -> str:
        if self.reserved:
            return f"{self.name} is reserved: choose another name"
        return f"{self.name!r} is not a valid name: up to 64 letters, digits, dots, dashes and underscores"


@dataclass(eq=False, repr=False)
class NameTakenError(MembershipError):
    """A name that an agent has or had.

    Attributes:
        name: The name.
        present: Whether that agent is present; otherwise it has left, and its edges are in the ledger.
    """

    name: str
    present: bool

    def __str__(self) -> str:
        reason = "exists" if self.present else "belonged to an agent that left, with edges in the ledger"
        return f"the name {self.name} {reason}: choose another, or give none"


@dataclass(eq=False, repr=False)
class TooManyAgentsError(MembershipError):
    """A simulation has as many agents as it may have.

    Attributes:
        limit: That number.
    """

    limit: int

    def __str__(self) -> str:
        return f"the simulation has {self.limit} agents, the maximum: remove one first"


@dataclass(eq=False, repr=False)
class LastAgentError(MembershipError):
    """The last agent of a simulation cannot be removed.

    Attributes:
        name: Its name.
    """

    name: str

    def __str__(self) -> str:
        return f"{self.name} is the last agent: to end the simulation, take it down"


@dataclass(eq=False, repr=False)
class StartFailedError(ValueError):
    """A joiner failed before its first report; it was removed again.

    Attributes:
        failure: Which agent, where and why.
    """

    failure: FailureRecord

    def __str__(self) -> str:
        return f"{self.failure.agent} could not start: {self.failure.summary}"

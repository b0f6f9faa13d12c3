"""Errors of clusters and running simulations.

Each carries what went wrong as fields and states it in neutral words; the front ends (command line, HTTP) add
what to do about it. Build them with positional arguments: Ray pickles them.
"""

import difflib
import signal
from dataclasses import dataclass
from pathlib import Path

from social_jepa.records import FailureRecord
from social_jepa.runtime.agent_notes import list_names
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


@dataclass(eq=False, repr=False)
class NotOnClusterError(ValueError):
    """A simulation that should be started from a machine that is not of its cluster.

    Attributes:
        address: Address of the cluster as it was given.
        reason: How the machine is known not to be one of it.
    """

    address: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.address}: a simulation is started on a machine of its cluster, where its supervisor and "
            f"its run folder are, {self.reason}"
        )


class ClusterError(RuntimeError):
    """Ray, or a process that a simulation runs on it, does not work."""


@dataclass(eq=False, repr=False)
class RayUnavailableError(ClusterError):
    """Ray could not be started or joined.

    Attributes:
        address: Address of the cluster; empty for a local Ray, or where it is not known.
        reason: What Ray reported.
    """

    address: str
    reason: str

    def __str__(self) -> str:
        place = f"the Ray cluster at {self.address}" if self.address else "Ray"
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
        reason: What happened, in one line.
        timed_out: Whether it was reached and gave no reply in time.
    """

    reason: str
    timed_out: bool = False

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
class SupervisorLostError(ClusterError):
    """The supervisor of a run does not answer, and all that it had started was ended.

    Attributes:
        folder: Path of the run folder.
        reason: What happened, in one line.
    """

    folder: Path
    reason: str

    def __str__(self) -> str:
        return f"the supervisor of {self.folder} does not answer ({self.reason}), and its agents were ended"


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
class PeerLostError(RuntimeError):
    """An agent lacks edges that will never be: its peer failed.

    Attributes:
        agent: The agent that waits.
        failure: Which peer failed, when, where and why.
    """

    agent: str
    failure: FailureRecord

    def __str__(self) -> str:
        return (
            f"{self.agent} cannot settle its edges with {self.failure.agent}, which failed: "
            f"{self.failure.summary}"
        )


@dataclass(eq=False, repr=False)
class AgentLeftError(RuntimeError):
    """An agent was removed while a caller waited for it.

    Attributes:
        agent: Name of the agent.
    """

    agent: str

    def __str__(self) -> str:
        return f"{self.agent} left: it was removed before its edges were settled"


@dataclass(eq=False, repr=False)
class NotSettledError(RuntimeError):
    """Agents did not settle their edges within the time that a caller waited.

    Attributes:
        agents: Names of those that have not.
        seconds: That time.
    """

    agents: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        verb = "has" if len(self.agents) == 1 else "have"
        return f"{list_names(self.agents)} {verb} not settled all edges within {self.seconds:g} s"


@dataclass(eq=False, repr=False)
class NotEnoughMemoryError(ValueError):
    """Agents that do not fit into the memory of this machine.

    Attributes:
        agents: How many.
        each: Bytes that each needs at least.
        available: Bytes that can be had.
        base: Bytes that Ray and the supervisor need beside them; 0 where they run already.
        frames: Whether the frames of their replay buffers are among these bytes.
    """

    agents: int
    each: int
    available: int
    base: int = 0
    frames: bool = False

    @property
    def fits(self) -> int:
        """How many such agents fit."""
        return max(0, self.available - self.base) // self.each

    def __str__(self) -> str:
        need = f"{self.agents} agents need" if self.agents > 1 else "another agent needs"
        if self.base:
            need = f"Ray and {self.agents} agent{'s' if self.agents > 1 else ''} need"
        return (
            f"{need} at least {(self.base + self.agents * self.each) / 2**30:.1f} GiB of memory, and "
            f"{self.available / 2**30:.1f} GiB can be had on this machine"
        )


@dataclass(eq=False, repr=False)
class NotEnoughDiskError(ValueError):
    """Agents whose replay buffers do not fit on the disk of this machine.

    Attributes:
        agents: How many.
        each: Bytes of each buffer.
        available: Bytes that are free.
        folder: Folder that the buffers would be kept in.
    """

    agents: int
    each: int
    available: int
    folder: str

    @property
    def fits(self) -> int:
        """How many such agents fit."""
        return self.available // self.each

    def __str__(self) -> str:
        buffers = (
            f"replay buffers of {self.agents} agents need" if self.agents > 1 else "a replay buffer needs"
        )
        return (
            f"{buffers} {self.agents * self.each / 2**30:.1f} GiB in {self.folder}, where "
            f"{self.available / 2**30:.1f} GiB are free"
        )


@dataclass(eq=False, repr=False)
class NoRoomError(ValueError):
    """An agent needs resources that a local Ray will never have.

    Attributes:
        agent: Its name.
        waiting_for: What it would wait for.
    """

    agent: str
    waiting_for: str

    def __str__(self) -> str:
        return f"{self.agent} cannot start, because it waits for {self.waiting_for}"


@dataclass(eq=False, repr=False)
class RunStoppedError(RuntimeError):
    """A batch run was interrupted; its agents saved checkpoints.

    Attributes:
        folder: Path of the run folder.
        signal_number: Signal that interrupted it.
    """

    folder: Path
    signal_number: int = signal.SIGINT

    def __str__(self) -> str:
        return f"stopped; the checkpoints are in {self.folder}"


@dataclass(eq=False, repr=False)
class NotRecordedError(RuntimeError):
    """A batch run whose ledger could not be written until it ended.

    Attributes:
        folder: Path of the run folder.
        unsaved: What could not be saved, one sentence each.
    """

    folder: Path
    unsaved: tuple[str, ...]

    def __str__(self) -> str:
        return f"the results in {self.folder} are not complete"


@dataclass(eq=False, repr=False)
class NotUpError(RunFolderError):
    """The simulation of a run folder is not up.

    Attributes:
        folder: Path of the run folder.
        ended: Whether its processes ended without `down`; otherwise it was taken down, or never up.
    """

    folder: Path
    ended: bool = False

    def __str__(self) -> str:
        return (
            f"{self.folder} was up, but its processes have ended"
            if self.ended
            else f"{self.folder} is not up"
        )


@dataclass(eq=False, repr=False)
class ElsewhereError(RunFolderError):
    """The simulation of a run folder is up where this process cannot see its processes.

    Attributes:
        folder: Path of the run folder.
        host: Name of that host or container.
    """

    folder: Path
    host: str

    def __str__(self) -> str:
        return f"{self.folder} is up on {self.host}, in another container or machine than this command"


@dataclass(eq=False, repr=False)
class CopiedFolderError(RunFolderError):
    """A run folder that was copied or moved while its simulation was up.

    Attributes:
        folder: Path of the folder.
        original: Path that its simulation was started in.
    """

    folder: Path
    original: Path

    def __str__(self) -> str:
        return f"{self.folder} has the simulation.json of {self.original}, whose simulation may be up"


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
        left: Whether an agent had that name and has left.
    """

    name: str
    present: tuple[str, ...]
    left: bool = False

    def __str__(self) -> str:
        if self.left:
            return f"{self.name} has left: choose one of {list_names(self.present)}"
        near = difflib.get_close_matches(self.name, self.present, n=1)
        suggestion = f"did you mean {near[0]}?" if near else f"choose one of {list_names(self.present)}"
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

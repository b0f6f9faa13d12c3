"""Errors of clusters and running simulations.

Each carries what went wrong as fields and states it in neutral words; the front ends (command line, HTTP) add
what to do about it. Build them with positional arguments: Ray pickles them.
"""

import signal
from dataclasses import dataclass
from pathlib import Path

from social_jepa.records import FailureRecord
from social_jepa.runtime.agent_notes import list_names
from social_jepa.storage.run_folder_errors import RunFolderError


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
class NoCheckpointsError(RunFolderError):
    """A run to continue whose agents have published models, and of which no checkpoint is there.

    Attributes:
        path: The run folder.
    """

    path: Path

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"{self.path} has models without checkpoints, as an import has: its agents would start anew and "
            f"replace them; start a new run with --config {self.path / 'config.toml'}"
        )


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


@dataclass(eq=False, repr=False)
class StartFailedError(ValueError):
    """A joiner failed before its first report; it was removed again.

    Attributes:
        failure: Which agent, where and why.
    """

    failure: FailureRecord

    def __str__(self) -> str:
        return f"{self.failure.agent} could not start: {self.failure.summary}"

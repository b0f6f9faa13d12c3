"""Queries that cannot be answered, each with what the command line and HTTP phrase."""

from dataclasses import dataclass
from pathlib import Path

from agents.common.files import CHECKPOINT
from alignment.graph import NoPathError
from alignment.status import Status
from social_jepa.system.command_line import command

LAST_TICK = 2**53  # far beyond any run, and still exact as a float


class QueryError(ValueError):
    """A query that cannot be answered. Its subclasses carry what the command line and HTTP phrase."""


@dataclass(eq=False, repr=False)
class VectorAndTickError(QueryError):
    """A query for both a vector and a tick."""

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return "give a vector or a tick, not both"


@dataclass(eq=False, repr=False)
class VectorSizeError(QueryError):
    """Vectors that do not fit the core of their agent, or are not finite.

    Attributes:
        agent: The agent.
        core_dim: Dimensions of its core.
    """

    agent: str
    core_dim: int

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"the core of {self.agent} has {self.core_dim} dimensions: every vector needs {self.core_dim} "
            "finite numbers"
        )


@dataclass(eq=False, repr=False)
class FramesError(QueryError):
    """Frames that an agent's model cannot encode.

    Attributes:
        agent: The agent.
        problem: What is wrong with them.
    """

    agent: str
    problem: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.agent} cannot encode these frames: {self.problem}"


@dataclass(eq=False, repr=False)
class TickRangeError(QueryError):
    """A tick outside the scene.

    Attributes:
        tick: The tick.
        last: Largest tick that is accepted.
    """

    tick: int
    last: int = LAST_TICK

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"tick {self.tick}: choose from 0, where the scene begins, to {self.last}"


@dataclass(eq=False, repr=False)
class SameAgentError(QueryError):
    """A query from an agent to itself.

    Attributes:
        agent: The agent.
    """

    agent: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"source and target are both {self.agent}: name two agents"


@dataclass(eq=False, repr=False)
class ModelElsewhereError(QueryError):
    """A tick of an agent whose model is in another folder: a peer's own one holds its model alone.

    Attributes:
        agent: The agent.
    """

    agent: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"the model of {self.agent} is not in this folder, so that no tick of it can be encoded: give "
            "a core vector in place of a tick"
        )


@dataclass(eq=False, repr=False)
class ModelUnavailableError(QueryError):
    """A published model that is missing, damaged, or not the one in the graph.

    Attributes:
        agent: The agent.
        run: The run folder.
        reason: What is wrong with its file.
    """

    agent: str
    run: str
    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        if not (Path(self.run) / "agents" / self.agent / CHECKPOINT).exists():  # an import, or the demo
            lacks = "without a checkpoint to write it from"
            return f"{self.reason}: {lacks}, only held-out ticks can be queried here"
        return f"{self.reason}; {command('resume', run=self.run)} writes it and the graph again"


@dataclass(eq=False, repr=False)
class EdgeNotAcceptedError(NoPathError):
    """A direct edge that was not accepted.

    Attributes:
        source: Its source.
        target: Its target.
        status: refused, failed or stale.
        reason: Why.
        alternative_path: Agents of another path, both ends included; empty when there is none.
    """

    source: str
    target: str
    status: Status
    reason: str
    alternative_path: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """What became of the edge, without a remedy."""
        verb = "is" if self.status is Status.STALE else "was"
        return f"the edge {self.source} -> {self.target} {verb} {self.status}: {self.reason}"

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        path = " -> ".join(self.alternative_path)
        return self.verdict + (f"; another path is {path}" if path else "")

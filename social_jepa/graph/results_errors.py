"""Why a graph, an agent of it or its anchors cannot be read."""

from dataclasses import dataclass
from pathlib import Path

from social_jepa.storage.run_folder import RunFolderError


@dataclass(eq=False, repr=False)
class NoAgentsError(RunFolderError):
    """A time at which the run had no agents.

    Attributes:
        path: The run folder.
    """

    path: Path

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.path} had no agents at that time, so there is no graph of it"


@dataclass(eq=False, repr=False)
class NotPublishedError(RunFolderError):
    """An agent that has not published a model of its current view yet.

    Attributes:
        agent: Its name.
    """

    agent: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.agent} has not published a model of its view yet: its status shows its progress"


@dataclass(eq=False, repr=False)
class StaleAnchorsError(RunFolderError):
    """Anchors on disk that belong to another model than the graph's.

    Attributes:
        agent: Its name.
        found: Checkpoint of the anchors on disk; empty when they name none.
        expected: Checkpoint of the graph.
    """

    agent: str
    found: str
    expected: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.agent} has published another model since: read the newest graph"


@dataclass(eq=False, repr=False)
class DamagedAnchorsError(RunFolderError):
    """A file of anchors that is missing or damaged.

    Attributes:
        path: The file.
        reason: What reading it says.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.path} is missing or damaged ({self.reason}): resume the run to write it again"

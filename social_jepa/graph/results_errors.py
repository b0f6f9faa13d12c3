"""Why a graph, an agent of it or its anchors cannot be read."""

from dataclasses import dataclass
from pathlib import Path

from agents.common.files import CHECKPOINT
from social_jepa.storage.run_folder_errors import RunFolderError
from social_jepa.system.command_line import command


@dataclass(eq=False, repr=False)
class NoAgentsError(RunFolderError):
    """A run that no agent has joined, or a time at which none had joined it yet.

    Attributes:
        path: The run folder.
        joined: Whether an agent has joined it since.
    """

    path: Path
    joined: bool

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        if self.joined:
            return f"{self.path} had no agents at that time, so there is no graph of it: choose a later one"
        return (
            f"no agent has joined {self.path} yet, so there is no graph of it: wait until its agents have "
            f"started, or start them with {command('resume', run=self.path)}"
        )


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
        remedy = "resume the run to write it again"
        if not (self.path.parent / CHECKPOINT).exists():  # an import, or the demo
            remedy = "there is no checkpoint to write it from; export its run with --anchors, and import that"
        return f"{self.path} is missing or damaged ({self.reason}): {remedy}"

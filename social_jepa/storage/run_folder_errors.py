"""Errors of run folders: which cannot be created, written, found or used, and what to do."""

from dataclasses import dataclass
from pathlib import Path

from social_jepa.system.command_line import command


class RunFolderError(ValueError):
    """A run folder that cannot be used; the message says why and what to do.

    Build its subclasses with positional arguments: Ray pickles them.
    """


@dataclass(eq=False, repr=False)
class RunFolderExistsError(RunFolderError):
    """A new run's folder that has something in it.

    Attributes:
        path: The folder.
        resumable: Whether it holds a run that `resume` continues: neither an import nor that of a peer, and
            neither at work nor a copy of one whose simulation may be up.
    """

    path: Path
    resumable: bool

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.path} exists already: choose another folder{self.hint}"

    @property
    def hint(self) -> str:
        """The command that continues the run in it, if there is one."""
        return f", or continue with {command('resume', run=self.path)}" if self.resumable else ""


@dataclass(eq=False, repr=False)
class RunFolderWriteError(RunFolderError):
    """A folder that cannot be created or written.

    Attributes:
        path: The folder.
        action: What failed: "create" or "write into".
        reason: What the operating system says.
    """

    path: Path
    action: str
    reason: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"cannot {self.action} the run folder {self.path}: {self.reason}"


@dataclass(eq=False, repr=False)
class RunFolderNameError(RunFolderError):
    """A new run's folder whose name is not UTF-8, which Ray requires of every text.

    Attributes:
        path: The folder.
    """

    path: Path

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"the name of the run folder {self.path} is not UTF-8: choose another one, or set LC_ALL=C.UTF-8 "
            "and unset PYTHONUTF8 if your terminal uses UTF-8"
        )


@dataclass(eq=False, repr=False)
class RunFolderInUseError(RunFolderError):
    """A folder in which another process runs.

    Attributes:
        path: The folder.
        holder: Description of that process; empty where it is not known.
    """

    path: Path
    holder: str = ""

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.path} is in use: {self.holder or 'another process'} is running in it"


@dataclass(eq=False, repr=False)
class SimulationFileError(RunFolderError):
    """A simulation.json that cannot be read.

    Attributes:
        path: The run folder.
        reason: What is wrong with the file.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.reason}: end its processes, if any run, and delete the file"


@dataclass(eq=False, repr=False)
class NotARunFolderError(RunFolderError):
    """A folder without settings of a run.

    Attributes:
        path: The folder.
    """

    path: Path

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.path} is no run folder: it holds no config.toml"


@dataclass(eq=False, repr=False)
class NoRunError(RunFolderError):
    """No run, or none that is up, where the latest one was to be used.

    Attributes:
        root: Folder that was searched.
        up: Whether one that is up was searched.
    """

    root: Path
    up: bool

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        found = (
            f"no simulation below ./{self.root} is up" if self.up else f"there is no run below ./{self.root}"
        )
        command = "up" if self.up else "run"
        return f"{found}: start one with social-jepa {command}, or name its folder with --run"

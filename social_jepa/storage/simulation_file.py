"""simulation.json: where the simulation of a run folder is reached while it is up, and what it runs on."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from agents.common.files import write_atomically
from social_jepa.system.process_identity import MachineIdentity, ProcessIdentity

NAME = "simulation.json"


class SimulationFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the simulation of a run folder is reached.

    Attributes:
        folder: Absolute path of the run folder. A copy of the folder holds the path of the original.
        control: Unix socket of the supervisor, see `social_jepa.runtime.control`.
        address: host:port of its Ray.
        machine: Machine that the supervisor runs on.
        leader: Process that owns the local Ray which was started for it; None where it joined a cluster.
        session: Value of `SESSION_VARIABLE` in the environment of all processes of that local Ray.
        device: Device and inode of the run folder, by which it is known after it was renamed.
        inode: See `device`.
    """

    folder: str
    control: str
    address: str
    machine: MachineIdentity
    leader: ProcessIdentity | None = None
    session: str = ""
    device: int = 0
    inode: int = 0

    def is_of(self, folder: Path) -> bool:
        """Return whether this file is about that folder, and not about one that it was copied from.

        A folder that was renamed counts as the same once nothing is at its former path.
        """
        try:
            if os.path.lexists(self.folder):
                return Path(self.folder).samefile(folder)
            found = folder.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)


def read(folder: Path) -> SimulationFile | None:
    """Return the content of a folder's simulation.json, or None while no simulation is up.

    Raises:
        ValueError: The file cannot be read.
    """
    path = folder / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=SimulationFile)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error


def write(folder: Path, content: SimulationFile) -> None:
    """Write a folder's simulation.json."""
    write_atomically(folder / NAME, msgspec.json.format(msgspec.json.encode(content)))

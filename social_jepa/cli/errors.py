"""What the command line says about each error, and the exit status that follows from it."""

import errno
import sys

from social_jepa.cli.hints import hint
from social_jepa.config.time_parsing import TimeError
from social_jepa.records import FailureRecord
from social_jepa.runtime.errors import (
    AddressError,
    AgentLostError,
    AlreadyUpError,
    CopiedFolderError,
    ElsewhereError,
    LocalRayError,
    NotOnClusterError,
    NotRecordedError,
    NotUpError,
    PeerLostError,
    RayUnavailableError,
    RunStoppedError,
    SupervisorLostError,
    SupervisorUnavailableError,
)
from social_jepa.runtime.member_errors import LastAgentError
from social_jepa.runtime.remedies import find_remedy
from social_jepa.runtime.resource_errors import NoRoomError, NotEnoughDiskError, NotEnoughMemoryError
from social_jepa.storage.ledger_errors import LedgerUnavailableError
from social_jepa.storage.run_folder import RunFolder
from social_jepa.system.command_line import shown

FAILED, USAGE_ERROR = 1, 2  # exit statuses; 128 and the signal after one, as a shell reports it
WRONG_PATHS = {
    errno.ENOENT: "there is no file {}",
    errno.EISDIR: "{} is a folder: name a file",
    errno.ENOTDIR: "there is no file {}: a part of that path is a file, not a folder",
}


def describe(error: Exception) -> str:
    """Return one sentence about an error: what happened, and the command, flag or setting that helps."""
    match error:
        case TimeError():
            return f"--as-of {error}"
        case AddressError() | NotOnClusterError() | RayUnavailableError() | LocalRayError():
            return _describe_ray_error(error)
        case AgentLostError(failure=FailureRecord(cause="process_died")):
            return _describe_death(error)
        case PeerLostError(failure=failure):
            return f"{error}; {hint('remove-agent', failure.agent)} lets the others go on without it"
        case NoRoomError():
            return f"{error}; lower agents.gpus or agents.count, or name a cluster with --address"
        case NotEnoughMemoryError():
            return _describe_memory(error)
        case NotEnoughDiskError():
            return _describe_disk(error)
        case RunStoppedError():
            return f"stopped; continue with: {hint('resume', run=error.folder)}"
        case SupervisorLostError():
            return f"{error}; continue with: {hint('resume', run=error.folder)}"
        case NotUpError() | CopiedFolderError():
            return f"{error}: {find_remedy(RunFolder(error.folder), shown(error.folder)).sentence}"
        case ElsewhereError():
            return f"{error}: give the command there"
        case SupervisorUnavailableError():
            return f"{error}: wait a moment, or end the simulation with {hint('down')}"
        case AlreadyUpError():
            return f"{error}: {hint('status', run=error.folder)} shows it"
        case LastAgentError():
            return f"{error} with {hint('down')}"
        case NotRecordedError():
            return f"{error}; free some space, and continue with: {hint('resume', run=error.folder)}"
        case OSError():
            return _describe_os_error(error)
    return str(error)


def _describe_ray_error(error: Exception) -> str:
    match error:
        case AddressError():
            return (
                f"{error}: an address is written host:port, for example 10.0.0.1:6379; ray status on the "
                "head node prints it, and without --address and RAY_ADDRESS a local Ray is started"
            )
        case NotOnClusterError():
            return f"{error}: give this command there, with --address host:port or auto"
        case RayUnavailableError(address=address) if address:
            return f"{error}; run social-jepa doctor, or check the address with ray status"
    return f"{error}; social-jepa doctor checks what it needs"


def _describe_death(error: AgentLostError) -> str:
    if error.failure.type == "out_of_memory":
        fewer = "lower agents.count in a new run"
        return f"{error}; {fewer}, or free memory and continue with {hint('resume')}"
    return f"{error}; {hint('resume')} continues from the checkpoints"


def _describe_memory(error: NotEnoughMemoryError) -> str:
    frames = "keep frames in files (training.replay_storage=file), " if error.frames else ""
    others = _fewer_agents(error) + frames
    return f"{error}: {others}{'or ' if others else ''}end other programs"


def _describe_disk(error: NotEnoughDiskError) -> str:
    return (
        f"{error}: {_fewer_agents(error)}lower training.replay_ticks, set TMPDIR to a folder with more room, "
        "or keep frames in memory (training.replay_storage=memory)"
    )


def _fewer_agents(error: NotEnoughMemoryError | NotEnoughDiskError) -> str:
    if error.agents <= 1 or error.fits <= 1:
        return ""
    return (
        f"set agents.count={error.fits} or lower, or for run agents.workers={error.fits} or lower, so "
        "that agents take turns, "
    )


def _describe_os_error(error: OSError) -> str:
    place = error.filename or "a file"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"{place} cannot be written, the disk is full: free some space"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            failed = f"{place} cannot be read or written ({error.strerror})"
            return f"{failed}: change its permissions, or those of its folder"
    if wrong := _wrong_path(error):
        return wrong
    return f"{error.filename or 'writing'}: {error.strerror or error}"  # a folder was removed, a disk fails


def _wrong_path(error: OSError) -> str:
    """Return why a path of the command line is none of a file: it is missing, or names a folder; else ""."""
    number, name = error.errno, str(error.filename or "")
    if number is None and isinstance(error, FileNotFoundError):  # of safetensors: its text alone has the path
        number, name = errno.ENOENT, str(error).rpartition(": ")[2]
    given = any(name == word or word.endswith(f"={name}") for word in sys.argv[1:])
    return WRONG_PATHS[number].format(name) if name and given and number in WRONG_PATHS else ""


def exit_status(error: Exception) -> int:
    """Return 2 for a wrong request (settings, names, paths), 128 + its number after a signal, else 1."""
    if isinstance(error, RunStoppedError):
        return 128 + error.signal_number
    if isinstance(error, OSError):
        return USAGE_ERROR if _wrong_path(error) else FAILED
    if isinstance(error, LedgerUnavailableError):  # it is a ValueError
        return FAILED
    return USAGE_ERROR if isinstance(error, ValueError | LookupError) else FAILED

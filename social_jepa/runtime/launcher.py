"""Start or end a simulation on a Ray without joining it: a process of its own joins, and ends."""

from agents.common.ray_environment import RAY_SETTINGS

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from social_jepa.runtime.control_errors import RemoteError, from_remote
from social_jepa.runtime.errors import RayUnavailableError

TIMEOUT = 300.0  # seconds; a crowded machine takes minutes to start Ray's first worker
PATIENCE = {"RAY_gcs_server_request_timeout_seconds": "200"}  # for the first node, where Ray waits for 60


class LaunchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process shall do.

    Attributes:
        action: "start" the supervisor of a run folder, or "end" all of its actors.
        folder: Path of the run folder.
        address: Address of the Ray.
        private: Whether that Ray is one that `start_local_ray` started.
        online: Whether agents keep training after their schedule.
        python_path: Module search path of the caller, for custom world models; in a notebook its first entry
            is the current folder.
        reply_to: File descriptor that the reply is written to.
    """

    action: Literal["start", "end"]
    folder: str
    address: str
    private: bool
    online: bool = True
    python_path: list[str] = []
    reply_to: int = 1


class LaunchReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it did.

    Attributes:
        address: host:port of the Ray.
        note: How the resources are shared, one line.
        error: Error that it ended with.
    """

    address: str = ""
    note: str = ""
    error: RemoteError | None = None


def launch(
    action: Literal["start", "end"], folder: Path, address: str, private: bool, online: bool = True
) -> LaunchReply:
    """Have the process start or end a simulation; return its reply. See `LaunchRequest`.

    The process of a caller that is interrupted is ended.

    Raises:
        AddressError, ClusterError: Ray does not answer, or the supervisor failed.
        RunFolderError: A simulation of the folder is up.
    """
    reading, writing = os.pipe()
    request = LaunchRequest(
        action=action, folder=str(folder), address=address, private=private, online=online,
        python_path=[str(Path(path).resolve()) for path in sys.path], reply_to=writing,
    )  # fmt: skip
    with os.fdopen(reading, "rb") as pipe, (folder / "ray.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "social_jepa.runtime.launch_process"],
            stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[writing],
            start_new_session=True,  # Ctrl-C in a terminal reaches this process, which then ends that one
            env={**RAY_SETTINGS, **PATIENCE, **os.environ},
        )  # fmt: skip
        os.close(writing)
        try:
            process.communicate(msgspec.json.encode(request), TIMEOUT)
            answer = pipe.read()
        except subprocess.TimeoutExpired:
            raise RayUnavailableError(address, f"no reply within {TIMEOUT:g} s") from None
        finally:
            process.kill()
            process.wait()
    if not answer:
        raise RayUnavailableError(address, f"{folder / 'ray.log'} says why")
    reply = msgspec.json.decode(answer, type=LaunchReply)
    if reply.error is not None:
        raise from_remote(reply.error)
    return reply

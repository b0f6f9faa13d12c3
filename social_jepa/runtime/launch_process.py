"""The process that joins a Ray to start or end a simulation there, and then ends; run as ``python -m``.

Ray ends a process that has joined it when the Ray ends. So no command, server or notebook joins: it starts
this process, which reads one `LaunchRequest` from standard input and writes one `LaunchReply` to a pipe. It
leads an operating-system session.
"""

import math
import os
import sys
from typing import Any

import msgspec

from agents.common.niceness import raise_session_niceness
from social_jepa.runtime import cluster
from social_jepa.runtime.control import socket_path
from social_jepa.runtime.control_errors import to_remote
from social_jepa.runtime.errors import AlreadyUpError, SupervisorLostError, SupervisorUnavailableError
from social_jepa.runtime.launcher import LaunchReply, LaunchRequest
from social_jepa.runtime.logs import log_to_file
from social_jepa.storage.run_folder import RunFolder


def launch(request: LaunchRequest) -> LaunchReply:
    """Start the supervisor that a request describes, or end all actors of its simulation."""
    folder = RunFolder.at(request.folder)
    log_to_file(folder.path, "driver")
    if request.action == "start":
        raise_session_niceness(folder.config().agents.nice)
    address = cluster.connect(request.address, request.private)
    try:
        if request.action == "end":
            cluster.end(folder.namespace)
            return LaunchReply(address=address)
        return LaunchReply(address=address, note=_start(request, folder))
    finally:
        cluster.disconnect()


def _start(request: LaunchRequest, folder: RunFolder) -> str:
    """Start the supervisor and return how resources are shared.

    Raises:
        AlreadyUpError: The cluster has a supervisor of this folder.
        SupervisorLostError: It does not answer: its process was killed, or waits for a node.
    """
    if cluster.find_supervisor(folder.namespace) is not None:
        raise AlreadyUpError(folder.path)
    agents = folder.config().agents
    capacity = math.ceil(cluster.MIN_CAPACITY / agents.per_actor) if request.online else 0
    resources = cluster.share(agents.processes, agents.threads, capacity, agents.nice)
    arguments = (str(folder.path), folder.namespace, request.online, resources, str(socket_path(folder.path)))
    supervisor = cluster.start_supervisor(_supervisor_class(agents.workers > 0), folder.namespace, *arguments)
    try:
        cluster.call(supervisor, "begin", idempotent=True, timeout=200.0)
    except SupervisorUnavailableError as error:
        cluster.end(folder.namespace)
        raise SupervisorLostError(folder.path, error.reason) from error
    except BaseException:
        cluster.end(folder.namespace)
        raise
    together = f"{agents.per_actor} agents in a process; " if agents.per_actor > 1 else ""
    return together + resources.note


def _supervisor_class(takes_turns: bool) -> Any:
    if takes_turns:
        from social_jepa.runtime.turn_supervisor import TurnSupervisor

        return TurnSupervisor
    from social_jepa.runtime.supervisor import Supervisor

    return Supervisor


def main() -> None:
    """Serve the request on standard input."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=LaunchRequest)
    sys.path.extend(path for path in request.python_path if path not in sys.path)
    try:
        reply = launch(request)
    except Exception as error:  # it crosses to the process that asked
        reply = LaunchReply(error=to_remote(error))
    with os.fdopen(request.reply_to, "wb") as pipe:
        pipe.write(msgspec.json.encode(reply))


if __name__ == "__main__":
    main()

"""A Ray head node that other programs of the machine do not find; run as ``python -m``, it starts one.

``ray.init("auto")`` of any program joins a cluster of the machine: the one that the default temporary folder
names, else any whose raylet is in the list of processes. So a local Ray has a temporary folder of its own,
and its raylet runs under another name. Our own programs look for that name, too: `find_private_raylets`.
"""

import agents.common.ray_environment  # noqa: F401

import contextlib
import os
import sys
import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import psutil
import ray._private.services as services

from social_jepa.runtime.session_leader import REGISTERED

REGISTRATION_TIMEOUT = 150.0  # seconds that the node may take to do so; Ray itself gives up after 30
POLL_SECONDS = 0.1
RAYLET = "social-jepa-node"  # does not contain "raylet", which is what Ray looks for


class RayletEndedError(Exception):
    """The raylet of a node ended before the node had registered."""

    def __str__(self) -> str:
        return "the node's raylet ended while it started"


def hide_raylet(folder: Path) -> None:
    """Have Ray start its raylet through a link in a folder."""
    link = folder / RAYLET
    link.symlink_to(services.RAYLET_EXECUTABLE)
    services.RAYLET_EXECUTABLE = str(link)


def raylet_runs() -> bool:
    """Return whether a child of this process is a raylet that `hide_raylet` has hidden."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it has ended, or is a zombie
            if _is_hidden_raylet(child.cmdline()):
                return True
    return False


def wait_for_registration(folder: Path) -> None:
    """Have Ray wait for its node for as long as a crowded machine takes, and then write a file.

    Where the node's raylet ends before, a RayletEndedError ends the start at once: Ray itself asks for the
    node for half a minute without a look at its raylet.
    """
    get_node = services.get_node

    def ask(answer: Future[Any], gcs_address: str, node_id: str) -> None:
        deadline = time.monotonic() + REGISTRATION_TIMEOUT
        while not answer.done():
            try:
                answer.set_result(get_node(gcs_address, node_id))
            except RuntimeError as error:  # it has not registered
                if time.monotonic() > deadline:
                    answer.set_exception(error)
                time.sleep(POLL_SECONDS)
            except Exception as error:  # it is raised where the answer is waited for
                answer.set_exception(error)

    def get_registered_node(gcs_address: str, node_id: str) -> Any:
        answer = Future[Any]()
        threading.Thread(target=ask, args=(answer, gcs_address, node_id), daemon=True).start()
        while not answer.done():
            if not raylet_runs():
                raise RayletEndedError
            wait([answer], POLL_SECONDS)
        found = answer.result()
        (folder / REGISTERED).touch()
        return found

    services.get_node = get_registered_node


def find_private_raylets() -> None:
    """Have `ray.init` with an address find raylets that `hide_raylet` has hidden."""
    is_raylet = services._is_raylet_process

    def is_any_raylet(cmdline: list[str] | None) -> bool:
        return is_raylet(cmdline) or _is_hidden_raylet(cmdline)

    services._is_raylet_process = is_any_raylet


def _is_hidden_raylet(cmdline: list[str] | None) -> bool:
    return bool(cmdline and Path(cmdline[0]).name == RAYLET)


def main() -> None:
    """Run ``ray start`` with the arguments of this process; the first is the temporary folder."""
    from ray.scripts.scripts import main as ray_command

    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    hide_raylet(folder)
    wait_for_registration(folder)
    sys.argv = ["ray", "start", "--head", "--block", f"--temp-dir={folder}", *arguments]
    try:
        ray_command()
    except RayletEndedError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)  # at its exit Ray drains the node for up to 30 s; the session leader ends what is left


if __name__ == "__main__":
    main()

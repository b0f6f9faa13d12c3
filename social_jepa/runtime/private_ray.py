"""A Ray head node that other programs of the machine do not find; run as ``python -m``, it starts one.

``ray.init("auto")`` of any program joins a cluster of the machine: the one that the default temporary folder
names, else any whose raylet is in the list of processes. So a local Ray has a temporary folder of its own,
and its raylet runs under another name. Our own programs look for that name, too: `find_private_raylets`.
"""

import agents.common.ray_environment  # noqa: F401

import sys
import time
from pathlib import Path
from typing import Any

import ray._private.services as services

from social_jepa.runtime.session_leader import REGISTERED

REGISTRATION_TIMEOUT = 150.0  # seconds that the node may take to do so; Ray itself gives up after 30
POLL_SECONDS = 0.1
RAYLET = "social-jepa-node"  # does not contain "raylet", which is what Ray looks for


def hide_raylet(folder: Path) -> None:
    """Have Ray start its raylet through a link in a folder."""
    link = folder / RAYLET
    link.symlink_to(services.RAYLET_EXECUTABLE)
    services.RAYLET_EXECUTABLE = str(link)


def wait_for_registration(folder: Path) -> None:
    """Have Ray wait for its node for as long as a crowded machine takes, and then write a file."""
    get_node = services.get_node

    def get_registered_node(gcs_address: str, node_id: str) -> Any:
        deadline = time.monotonic() + REGISTRATION_TIMEOUT
        while True:
            try:
                found = get_node(gcs_address, node_id)
            except RuntimeError:  # it has not registered
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                (folder / REGISTERED).touch()
                return found

    services.get_node = get_registered_node


def find_private_raylets() -> None:
    """Have `ray.init` with an address find raylets that `hide_raylet` has hidden."""
    is_raylet = services._is_raylet_process

    def is_any_raylet(cmdline: list[str] | None) -> bool:
        return is_raylet(cmdline) or bool(cmdline and Path(cmdline[0]).name == RAYLET)

    services._is_raylet_process = is_any_raylet


def main() -> None:
    """Run ``ray start`` with the arguments of this process; the first is the temporary folder."""
    from ray.scripts.scripts import main as ray_command

    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    hide_raylet(folder)
    wait_for_registration(folder)
    sys.argv = ["ray", "start", "--head", "--block", f"--temp-dir={folder}", *arguments]
    ray_command()


if __name__ == "__main__":
    main()

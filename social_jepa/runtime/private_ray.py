"""A Ray head node that other programs of the machine do not find; run as ``python -m``, it starts one.

``ray.init("auto")`` of any program joins a cluster of the machine: the one that the default temporary folder
names, else any whose raylet is in the list of processes. So a local Ray has a temporary folder of its own,
and its raylet runs under another name. Our own programs look for that name, too: `find_private_raylets`.
"""

import agents.common.ray_environment  # noqa: F401

import sys
from pathlib import Path

import ray._private.services as services

RAYLET = "social-jepa-node"  # does not contain "raylet", which is what Ray looks for


def hide_raylet(folder: Path) -> None:
    """Have Ray start its raylet through a link in a folder."""
    link = folder / RAYLET
    link.symlink_to(services.RAYLET_EXECUTABLE)
    services.RAYLET_EXECUTABLE = str(link)


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
    sys.argv = ["ray", "start", "--head", "--block", f"--temp-dir={folder}", *arguments]
    ray_command()


if __name__ == "__main__":
    main()

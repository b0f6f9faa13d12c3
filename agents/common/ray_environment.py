"""Environment variables that Ray reads when it is imported, or that the processes it starts inherit.

Every module that imports Ray imports this one first: Ray reads some of them only once, at its own import.
What is set already stays.
"""

import os
import sys
from collections.abc import Mapping

UV_RUN = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
RAY_SETTINGS = {
    "RAY_AUTH_MODE": "disabled",  # unset, a local Ray may write a token into the home folder
    UV_RUN: "0",  # else, under `uv run`, Ray uploads the current folder and builds an environment per worker
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else a call without a connection starts a Ray, or joins any it finds
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # not Ray's 15: agents.nice sets that of all processes of a run
}


def set_ray_environment() -> None:
    """Set the variables that are not set yet."""
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)


def uploads_folder(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether Ray was imported too early, under `uv run`, and would upload the current folder."""
    return _RAY_CAME_FIRST and "UV_RUN_RECURSION_DEPTH" in environ


_RAY_CAME_FIRST = "ray" in sys.modules and UV_RUN not in os.environ

set_ray_environment()

"""The same server through Ray Serve, which places it on a cluster and restarts it."""

import agents.common.ray_environment  # noqa: F401

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from social_jepa.runtime import cluster
from social_jepa.runtime.errors import NotUpError
from social_jepa.runtime.presence import find_simulation
from social_jepa.server.auth import Access
from social_jepa.storage.run_folder import RunFolder

APPLICATION = "social-jepa"
POLL_SECONDS = 1.0  # between two checks that the simulation is still up


class ServeError(RuntimeError):
    """Ray Serve cannot be used.

    Attributes:
        missing: The package that is not installed.
    """

    def __init__(self, missing: str) -> None:
        super().__init__(missing)
        self.missing = missing

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"Ray Serve needs {self.missing}: pip install 'social-jepa[cluster]'"


@dataclass(eq=False, repr=False)
class OwnRayError(ValueError):
    """A simulation on a local Ray of its own, which a server cannot be a part of: it ends with that Ray.

    Attributes:
        folder: Path of the run folder.
    """

    folder: Path

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"{self.folder} is up on a local Ray of its own, and --on-ray is for a cluster: serve without "
            "--on-ray, or bring the simulation up with --address"
        )


def _cluster_of(folder: RunFolder) -> str:
    """Return the address of the cluster of a simulation that is up; see `serve_on_ray`."""
    simulation = find_simulation(folder)
    if simulation.leader is not None:
        raise OwnRayError(folder.path)
    return simulation.address


def _ray_serve() -> Any:
    try:
        from ray import serve
    except ImportError as error:
        raise ServeError(error.name or "ray[serve]") from error
    return serve


def serve_on_ray(
    folder: RunFolder, host: str, port: int, access: Access, on_start: Callable[[], None]
) -> None:
    """Serve a run folder through Ray Serve until Ctrl-C, or until its simulation is down.

    Args:
        folder: Run folder of a simulation that is up; the node that serves must have it at the same path.
        host: Address that Ray's proxy listens at.
        port: Port of that address.
        access: Who may send requests.
        on_start: Called once the cluster is joined.

    Raises:
        ServeError: Ray Serve is not installed.
        OwnRayError: The simulation is up on a local Ray.
        NotUpError: The simulation is not up; without --on-ray the folder can still be served.
    """
    cluster.connect(_cluster_of(folder))
    on_start()
    serve, path = _ray_serve(), str(folder.path)

    def build() -> Any:
        from social_jepa.runtime.logs import log_to_file
        from social_jepa.server.app import make_app
        from social_jepa.server.served_runs import ServedRuns

        log_to_file(Path(path), "server")
        return make_app(ServedRuns([Path(path)]), access)

    deployment = serve.deployment(num_replicas=1)(serve.ingress(build)(type("Server", (), {})))
    serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})
    serve.run(deployment.bind(), name=APPLICATION, route_prefix="/")
    try:
        while find_simulation(folder):
            time.sleep(POLL_SECONDS)
    except NotUpError:
        pass
    finally:
        serve.shutdown()
        cluster.disconnect()

"""The same server through Ray Serve, on a cluster that has it: Ray places it and starts it again."""

import time
from pathlib import Path
from typing import Any

from social_jepa.runtime import cluster
from social_jepa.storage.run_folder import RunFolder, RunFolderError

APPLICATION = "social-jepa"
LOOK_EVERY = 1.0  # seconds between two looks at whether Ray is still there


class ServeError(RuntimeError):
    """Ray Serve cannot be used; the text names the remedy."""


def serve_on_ray(folder: RunFolder, host: str, port: int, token: str | None) -> None:
    """Serve a run folder through Ray Serve until Ctrl-C.

    Args:
        folder: Of a simulation that is up, on a path that the node which serves sees.
        host: Address that Ray's proxy listens at.
        port: Its port.
        token: What every request must carry, if anything.

    Raises:
        ServeError: Ray Serve is not installed.
        StoreError: The simulation is not up.
    """
    living = folder.simulation_address()
    if living is None:
        raise RunFolderError(f"{folder.path} is not up: without --on-ray it is served all the same")
    cluster.connect(living.address)
    try:
        from ray import serve
    except ImportError as error:
        raise ServeError(f"Ray Serve needs {error.name}: pip install 'social-jepa[cluster]'") from error
    path = str(folder.path)

    def build() -> Any:
        from social_jepa.server.app import make_app

        return make_app(RunFolder(Path(path)), token)

    front = serve.deployment(num_replicas=1)(serve.ingress(build)(type("Front", (), {})))
    serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})
    serve.run(front.bind(), name=APPLICATION, route_prefix="/")
    try:
        while folder.simulation_address() is not None:
            time.sleep(LOOK_EVERY)
    finally:
        serve.shutdown()
        cluster.disconnect()

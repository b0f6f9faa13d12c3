"""An HTTP API and a page over a run folder, whether its simulation is up or down.

::

    GET  /  /docs  /metrics  /api/status  /api/agents  /api/graph  /api/edges  /api/events  /api/stream  ...
    POST /api/translate  /api/nearest  /api/agents      PATCH, DELETE /api/agents/{name}

Nothing that blocks runs on the event loop: the ledger and tensors are read on worker threads, everything that
is drawn is drawn on one thread (`eyes`), and one look at the ledger serves every listener.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

import torch
import uvicorn
from fastapi import FastAPI

from social_jepa.server.auth import AuthMiddleware, check_access
from social_jepa.server.client import SimulationClient
from social_jepa.server.metrics import Metrics, MetricsMiddleware
from social_jepa.server.problems import add_handlers
from social_jepa.server.render_thread import RenderThread
from social_jepa.server.routes import query as ask
from social_jepa.server.routes import read
from social_jepa.server.routes import write as act
from social_jepa.server.service import Service
from social_jepa.server.snapshots import SnapshotCache
from social_jepa.server.sse import EventBroadcaster
from social_jepa.storage.run_folder import RunFolder

SWITCH = (
    0.001  # seconds that one thread may keep Python before another has a turn; by default five times that
)
LINGER = 3  # seconds that answers on their way may take when the server ends


def make_app(folder: RunFolder, token: str | None = None) -> FastAPI:
    """Return the server of a run folder as an ASGI app; every request needs the token if there is one."""
    view, living = SnapshotCache(folder), SimulationClient(folder)

    metrics = Metrics(lambda: parts.look())
    parts = Service(view, living, RenderThread(), EventBroadcaster(view, living.watch), metrics)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        chores = [
            asyncio.create_task(parts.bell.watch()),
            asyncio.create_task(asyncio.to_thread(living.status)),
        ]
        yield
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await asyncio.to_thread(_close, parts)

    app = FastAPI(
        title="Social-JEPA", version="1", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json",
        lifespan=life, description="The social translation graph of a run, and the simulation that grows it.",
    )  # fmt: skip
    app.state.service = parts
    for module in (read, ask, act):
        app.include_router(module.router)
    add_handlers(app)
    app.add_middleware(AuthMiddleware, token=token)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    return app


def _close(parts: Service) -> None:
    parts.eyes.close()
    parts.view.close()
    parts.living.leave()


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 finds a free one.

    Raises:
        ValueError: The port is taken, or the host is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # said outright that it is TCP: asyncio sends small answers at once only where it is told so
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except OSError as error:
        raise ValueError(
            f"cannot listen at {host}:{port} ({error.strerror or error}): choose another --port or --host"
        ) from error
    return found


def make_server(app: FastAPI) -> uvicorn.Server:
    """Return a server for an app, whose listeners end when it does."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, ws="none", lifespan="on",
        timeout_graceful_shutdown=LINGER, timeout_keep_alive=30, limit_concurrency=512,
    )  # fmt: skip
    server = uvicorn.Server(config)
    app.state.service.bell.closing = lambda: server.should_exit
    return server


def serve(folder: RunFolder, listening: socket.socket, host: str, token: str | None) -> None:
    """Serve a run folder until Ctrl-C.

    Raises:
        ValueError: The host lies beyond this machine, and there is no token.
    """
    check_access(host, token)
    torch.set_num_threads(1)  # maps are small: a second thread costs more than it computes
    sys.setswitchinterval(SWITCH)
    with contextlib.suppress(KeyboardInterrupt):  # that is how it is meant to end
        make_server(make_app(folder, token)).run([listening])

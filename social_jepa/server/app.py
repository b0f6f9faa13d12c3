"""The HTTP API and web page of run folders, as an ASGI app and as a server.

Nothing that blocks runs on the event loop: the ledger and tensors are read on worker threads, everything is
rendered on one thread, and one reader of the ledger serves all event streams.
"""

import asyncio
import contextlib
import functools
import logging
import socket
import sys
from collections.abc import AsyncIterator

import torch
import uvicorn
from fastapi import Depends, FastAPI
from starlette.middleware.gzip import GZipMiddleware

from social_jepa.server.auth import Access, AuthMiddleware, check_access
from social_jepa.server.head import HeadMiddleware
from social_jepa.server.metrics import MetricsMiddleware
from social_jepa.server.openapi import RUN_PREFIX, describe
from social_jepa.server.problems import add_handlers
from social_jepa.server.routes import health, page, query, read, write
from social_jepa.server.served_runs import ServedRuns, check_run

logger = logging.getLogger(__name__)

RENDER_SWITCH_INTERVAL = 0.001  # seconds that a thread may hold the interpreter lock; a fifth of the default
SHUTDOWN_SECONDS = 3  # for requests in progress when the server ends
GZIP_BYTES, GZIP_LEVEL = 1000, 4  # smallest response that is compressed, and how well


def make_app(runs: ServedRuns, access: Access | None = None) -> FastAPI:
    """Return the server of some runs as an ASGI app; by default for loopback hosts, without a token.

    Every route of a run exists twice: as it is for the default run, and below /runs/NAME for each.

    Raises:
        ConfigError: The settings of the default run cannot be read.
    """
    default = runs.open(runs.default)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        logger.info("serving %s", ", ".join(str(folder.path) for folder in runs.folders().values()))
        await runs.service(runs.default)
        ahead = [
            asyncio.create_task(asyncio.to_thread(first))
            for first in (default.client.status, default.read_ahead)
        ]
        yield
        await asyncio.gather(*ahead, return_exceptions=True)
        await runs.close()
        logger.info("stopped serving")

    app = FastAPI(
        title="Social-JEPA", version="1", docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False, lifespan=lifespan,
        description="The social translation graph of a run, and its simulation.",
    )  # fmt: skip
    access = access or Access()
    description = functools.cache(lambda: describe(app, access, runs.default))
    app.openapi = description  # type: ignore[method-assign]  # as FastAPI documents it
    app.state.runs = runs
    _include_routes(app)
    add_handlers(app)
    app.add_middleware(AuthMiddleware, access=access)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_BYTES, compresslevel=GZIP_LEVEL)
    app.add_middleware(MetricsMiddleware, metrics=runs.requests)
    app.add_middleware(HeadMiddleware)
    return app


def _include_routes(app: FastAPI) -> None:
    routers = [module.router for module in (read, query, write, page)]
    for router in (*routers, health.router):
        app.include_router(router)
    for router in (*routers, page.without_slash):
        app.include_router(
            router, prefix=RUN_PREFIX, dependencies=[Depends(check_run)], include_in_schema=False
        )


def open_port(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 chooses a free port.

    Raises:
        ValueError: The port is in use, or the host is not an address of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio sets TCP_NODELAY, which small responses need, only if the protocol is given
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        raise ValueError(
            f"cannot listen at {host}:{port} ({error.strerror or error}): choose another --port or --host"
        ) from error
    return bound


def make_server(app: FastAPI) -> uvicorn.Server:
    """Return a server of an app; its event streams end when it shuts down."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, ws="none", lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS, timeout_keep_alive=30, limit_concurrency=512,
    )  # fmt: skip
    server = uvicorn.Server(config)
    app.state.runs.closing = lambda: server.should_exit
    return server


def serve(runs: ServedRuns, bound: socket.socket, host: str, access: Access) -> None:
    """Serve runs at a bound socket until Ctrl-C.

    Raises:
        ValueError: See `check_access`.
    """
    check_access(host, access)
    torch.set_num_threads(1)  # maps are small: a second thread costs more than it computes
    sys.setswitchinterval(RENDER_SWITCH_INTERVAL)
    with contextlib.suppress(KeyboardInterrupt):  # the usual end
        make_server(make_app(runs, access)).run([bound])

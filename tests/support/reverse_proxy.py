"""A reverse proxy for tests, which serves another server below a prefix as JupyterHub or nginx do."""

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx2 as httpx
import uvicorn

from social_jepa.server.app import open_port
from social_jepa.server.auth import Access
from tests.support.servers import running, running_server

HUB = "hub.example.org"  # the name under which a browser knows the proxy
PREFIX = "/user/me/proxy/8765"
HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"}


@dataclass(frozen=True)
class ReverseProxy:
    """An ASGI app.

    Attributes:
        target: URL of the server.
        strip: Whether the server receives paths without the prefix.
        keep_host: Whether the server receives the Host header of the browser, or its own.
    """

    target: str
    strip: bool
    keep_host: bool

    async def __call__(self, scope, receive, send):
        path = scope["raw_path"].decode()
        if not path.startswith(f"{PREFIX}/"):
            await send({"type": "http.response.start", "status": 418, "headers": []})
            await send({"type": "http.response.body", "body": b"another program"})
            return
        path = path.removeprefix(PREFIX) if self.strip else path
        dropped = HOP_BY_HOP if self.keep_host else {*HOP_BY_HOP, b"host"}
        url = httpx.URL(f"{self.target}{path}?{scope['query_string'].decode()}".rstrip("?"))
        headers = [(name, value) for name, value in scope["headers"] if name not in dropped]
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream(scope["method"], url, headers=headers, content=await _body(receive)) as response,
        ):
            kept = [(name.lower(), value) for name, value in response.headers.raw]
            kept = [(name, value) for name, value in kept if name not in HOP_BY_HOP]
            await send({"type": "http.response.start", "status": response.status_code, "headers": kept})
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _body(receive):
    found, more = b"", True
    while more:
        message = await receive()
        found, more = found + message.get("body", b""), message.get("more_body", False)
    return found


@contextlib.contextmanager
def behind_proxy(folder, strip, keep_host, allowed=True, token=None) -> Iterator[int]:
    """Serve a run behind a proxy, and yield the proxy's port; the server allows the proxy's host or not."""
    bound: socket.socket = open_port("127.0.0.1", 0)
    port = bound.getsockname()[1]
    hosts, root_path = ((f"{HUB}:{port}",), PREFIX) if allowed else ((), "")
    with running(folder, Access(token, root_path, hosts)) as target:
        app = ReverseProxy(target, strip, keep_host)
        config = uvicorn.Config(app, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
        with running_server(uvicorn.Server(config), bound):
            yield port


def browser_of(port, **headers):
    """Return a client that names the proxy as a browser does; the proxy listens at a loopback address."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"Host": f"{HUB}:{port}", **headers}, timeout=30
    )


def origin_of(port):
    return {"Origin": f"http://{HUB}:{port}", "Sec-Fetch-Site": "same-origin"}


def assert_complete(browser, page):
    """Fetch a page and everything that it links to, which must lie below the prefix."""
    text = browser.get(page).raise_for_status().text
    links = re.findall(r'\b(?:href|src|action)="([^"#]+)[^"]*"', text)
    assert links
    for link in (link for link in links if link != "data:,"):
        path = urlsplit(urljoin(f"http://{HUB}{page}", link)).path
        assert path.startswith(f"{PREFIX}/"), link
        browser.get(path).raise_for_status()

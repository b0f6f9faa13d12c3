"""Access control: host, token, origin and body size are checked before a route reads the request.

Without a token only requests to a loopback host are answered: a page of another site that points its domain
here (DNS rebinding) sends another Host header. With a token, every request needs it, or the page's cookie.

Behind a reverse proxy a browser sends the proxy's name as Origin, and as Host if the proxy keeps that header:
names that `Access` allows are accepted as both. Forwarded headers are not read: any client can send them.
"""

import hashlib
import hmac
import ipaddress
import logging
import re
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from social_jepa.server import problems
from social_jepa.server.problems import Kind, ProblemError, problem_response
from social_jepa.server.static_files import sign_in_page

logger = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**20  # of a body; 10,000 vectors of 16 numbers are 3 MiB
TOKEN = re.compile(r"[\x21-\x7e]{16,256}")
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~@%-]+)+")
PROXY_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
PAGES = re.compile(r"/(runs/[^/]+/)?")  # where a browser signs in
OPEN_ROUTES = {"/healthz"}  # answered without the token: they say nothing of the run
COOKIE_DAYS = 7
WRITE_METHODS = {"POST", "PUT", "PATCH", "DELETE"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """Who may send requests, and under which address.

    Attributes:
        token: Token that every request must carry; None: none.
        root_path: Path below which a reverse proxy serves this server, "/user/me/proxy/8765"; empty: none.
        hosts: Names of reverse proxies, with the port if it is not their scheme's, "hub.example.org:8443".
    """

    token: str | None = None
    root_path: str = ""
    hosts: tuple[str, ...] = ()


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is a loopback one."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def check_access(host: str, access: Access) -> None:
    """Raise ValueError for settings that cannot be used, or give the network access without a good token."""
    token = access.token
    for name in access.hosts:
        if not PROXY_HOST.fullmatch(name):
            raise ValueError(
                f"--allow-host {name}: give the host of the proxy's address as a browser shows it, "
                "for example hub.example.org or hub.example.org:8443"
            )
    if access.root_path and not ROOT_PATH.fullmatch(access.root_path):
        raise ValueError(
            f"--root-path {access.root_path}: give the path of the proxy's address with a slash in front and "
            "none at its end, for example /user/me/proxy/8765"
        )
    if token is not None and not TOKEN.fullmatch(token):
        raise ValueError(
            "--token needs 16 to 256 letters, digits or punctuation marks without spaces: "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    if token is None and not is_loopback(host):
        raise ValueError(
            f"--host {host} gives the network access without a token: set SOCIAL_JEPA_TOKEN or --token, or "
            "use --host 127.0.0.1 and forward the port with ssh -L"
        )


def cookie_name(token: str) -> str:
    """Return the name of the page's cookie, which differs between servers of one host."""
    return f"social_jepa_{_digest(token)[:8]}"


def _digest(token: str | None) -> str:
    return hmac.new((token or "").encode(), b"social-jepa page", hashlib.sha256).hexdigest()


class AuthMiddleware:
    """Refuses requests that are not allowed, and adds security headers to every response."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self._root_path = app, access.root_path
        self._token = access.token.encode() if access.token else None
        self._hosts = {host.lower() for host in access.hosts}
        self._cookie, self._cookie_value = cookie_name(access.token or ""), _digest(access.token)[8:].encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        # a proxy may strip the prefix or keep it; routes expect it
        path, root = scope["path"], self._root_path
        if root and path != root and not path.startswith(f"{root}/"):
            path = root + path
        scope.update(path=path, root_path=root)
        route = path.removeprefix(root) or "/"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            response = self._check(scope, route, Headers(scope=scope))
        except ProblemError as error:
            logger.debug("%s %s refused: %s", scope["method"], route, error.kind.slug)
            response = problem_response(error.kind, error.detail, _challenge(error.kind), root)
            if error.kind is problems.NO_TOKEN and PAGES.fullmatch(route):
                response = Response(sign_in_page(), 401, _challenge(error.kind), "text/html")
        if response is None:
            await self.app(scope, _bounded(receive), send_with_headers)
        else:
            await response(scope, receive, send_with_headers)

    def _check(self, scope: Scope, route: str, headers: Headers) -> Response | None:
        """Return the redirect of a sign-in, None for an allowed request, or raise ProblemError."""
        self._check_origin(scope, headers)
        if self._token:
            redirect = self._sign_in(scope, route)
            if redirect is not None:
                return redirect
            if route not in OPEN_ROUTES and not self._is_authorized(headers):
                raise ProblemError(
                    problems.NO_TOKEN,
                    "send the header Authorization: Bearer TOKEN with the token that the server was "
                    "started with, or open the page once as /?token=TOKEN",
                )
        _check_length(headers)
        return None

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        hosts = [host.lower() for host in headers.getlist("host")]
        allowed = len(hosts) == 1 and (
            self._token or hosts[0] in self._hosts or is_loopback(_hostname(hosts[0]))
        )
        if not allowed:
            raise ProblemError(
                problems.OTHER_HOST,
                "without a token this server answers requests to localhost and 127.0.0.1 only: use one "
                "of them, or start it with --token, or behind a proxy with --allow-host NAME",
            )
        # only a page of another site needs the browser's credentials; it cannot send the header of a token
        if scope["method"] not in WRITE_METHODS or self._has_bearer(headers):
            return
        origin = headers.get("origin")
        cross_origin = origin is not None and _netloc(origin) not in {hosts[0], *self._hosts}
        if cross_origin or headers.get("sec-fetch-site") == "cross-site":
            raise ProblemError(
                problems.FORBIDDEN,
                "pages of other sites cannot send this: use this server's page or a program; behind a proxy, "
                "start the server with --allow-host and the host of the page's address",
            )

    def _sign_in(self, scope: Scope, route: str) -> Response | None:
        """Return a redirect to the page that moves the token from the URL into a cookie, if there is one."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if (
            not PAGES.fullmatch(route)
            or scope["method"] != "GET"
            or not given
            or not self._is_token(given[0])
        ):
            return None
        response = RedirectResponse("./", 303)
        response.set_cookie(
            self._cookie,
            self._cookie_value.decode(),
            max_age=COOKIE_DAYS * 86400,
            path=f"{self._root_path}/",
            httponly=True,
            samesite="strict",
        )
        return response

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self._token or b"")

    def _has_bearer(self, headers: Headers) -> bool:
        """Return whether the Authorization header holds the token."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return bool(self._token) and scheme.lower() == "bearer" and self._is_token(token.strip())

    def _is_authorized(self, headers: Headers) -> bool:
        if headers.get("authorization", "").lower().startswith("bearer "):
            return self._has_bearer(headers)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        value = b"" if cookie is None else cookie.value.encode("utf-8", "replace")
        return hmac.compare_digest(value, self._cookie_value)


def _check_length(headers: Headers) -> None:
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise ProblemError(problems.MALFORMED, "Content-Length must be the number of bytes of the body")
    if int(length) > MAX_BYTES:
        raise ProblemError(problems.TOO_LARGE, _too_large())


def _bounded(receive: Receive) -> Receive:
    """Return a receive function that refuses a body that is too large, whatever its Content-Length is."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BYTES:
            raise HTTPException(413, _too_large())
        return message

    return bounded


def _too_large() -> str:
    return f"a body has at most {MAX_BYTES // 2**20} MiB: send several requests with fewer vectors each"


def _challenge(kind: Kind) -> dict[str, str]:
    return {"WWW-Authenticate": "Bearer"} if kind is problems.NO_TOKEN else {}


def _hostname(host: str) -> str:
    """Return a Host header without its port."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:[0-9]{1,5})?", host)
    return found[1] if found else ""


def _netloc(origin: str) -> str:
    """Return host and port of an Origin header; empty when it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""

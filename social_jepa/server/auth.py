"""Who may ask, and how: checked before anything reads the request.

Without a token only this machine is served, by its own names: a page elsewhere that points its domain here
(DNS rebinding) brings the wrong Host. With one, every request carries it, or the cookie that the page got.
"""

import hashlib
import hmac
import ipaddress
import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from social_jepa.server import problems
from social_jepa.server.problems import Kind, ProblemError, problem
from social_jepa.server.static_files import sign_in_page

MOST_BYTES = 8 * 2**20  # of a body: ten thousand vectors of sixteen numbers are three MiB
TOKEN = re.compile(r"[\x21-\x7e]{16,256}")
COOKIE_DAYS = 7
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}
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


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def check_access(host: str, token: str | None) -> None:
    """Raise ValueError for a host or token that would leave the server open."""
    if token is not None and not TOKEN.fullmatch(token):
        raise ValueError(
            "--token needs 16 to 256 letters, digits or signs without spaces: "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    if token is None and not is_loopback(host):
        raise ValueError(
            f"--host {host} would open the simulation to the network without a token: set SOCIAL_JEPA_TOKEN "
            "or --token, or stay at 127.0.0.1 and forward the port with ssh -L"
        )


class AuthMiddleware:
    """Lets through what may pass, and dresses every answer with the headers that keep a browser safe."""

    def __init__(self, app: ASGIApp, token: str | None = None) -> None:
        self.app, self._token = app, token.encode() if token else None
        seal = hmac.new(self._token or b"", b"social-jepa page", hashlib.sha256).hexdigest()
        self._cookie, self._seal = f"social_jepa_{seal[:8]}", seal[8:].encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            answer = self._turn_away(scope, Headers(scope=scope))
        except ProblemError as error:
            answer = problem(error.kind, error.detail, _challenge(error.kind))
            if error.kind is problems.NO_TOKEN and scope["path"] == "/":
                answer = Response(sign_in_page(), 401, _challenge(error.kind), "text/html")
        if answer is None:
            await self.app(scope, _bounded(receive), dressed)
        else:
            await answer(scope, receive, dressed)

    def _turn_away(self, scope: Scope, headers: Headers) -> Response | None:
        """Return an answer for a request that goes no further, or raise ProblemError."""
        self._check_site(scope, headers)
        if self._token:
            entered = self._enter(scope)
            if entered is not None:
                return entered
            if not self._knows_token(headers):
                raise ProblemError(
                    problems.NO_TOKEN,
                    "send the header Authorization: Bearer TOKEN with the token that social-jepa serve was "
                    "given, or open the page as /?token=TOKEN once",
                )
        _check_body(scope, headers)
        return None

    def _check_site(self, scope: Scope, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or (not self._token and not is_loopback(_name(hosts[0]))):
            raise ProblemError(
                problems.OTHER_HOST,
                "without a token this server answers to localhost and 127.0.0.1 alone: use one of them, or "
                "start it with a token",
            )
        origin = headers.get("origin")
        foreign = origin is not None and _netloc(origin) != hosts[0].lower()
        if scope["method"] in CHANGES and (foreign or headers.get("sec-fetch-site") == "cross-site"):
            raise ProblemError(
                problems.FORBIDDEN, "changes are made from this server's own page or a program"
            )

    def _enter(self, scope: Scope) -> Response | None:
        """Take the page's token out of its address and into a cookie that scripts cannot read."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["path"] != "/" or scope["method"] != "GET" or not given or not self._is_token(given[0]):
            return None
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self._cookie, self._seal.decode(), max_age=COOKIE_DAYS * 86400, httponly=True, samesite="strict"
        )
        return answer

    def _is_token(self, word: str) -> bool:
        return hmac.compare_digest(word.encode("utf-8", "replace"), self._token or b"")

    def _knows_token(self, headers: Headers) -> bool:
        scheme, _, word = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._is_token(word.strip())
        try:
            sealed = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return sealed is not None and hmac.compare_digest(sealed.value.encode("utf-8", "replace"), self._seal)


def _check_body(scope: Scope, headers: Headers) -> None:
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise ProblemError(problems.MALFORMED, "Content-Length is the number of bytes of the body")
    if int(length) > MOST_BYTES:
        raise ProblemError(problems.TOO_LARGE, _too_large())
    has_body = int(length) > 0 or "transfer-encoding" in headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and (
        scope["method"] in CHANGES - {"DELETE"} or (scope["method"] == "DELETE" and has_body)
    ):
        raise ProblemError(
            problems.NOT_JSON, "send the body as JSON, with the header Content-Type: application/json"
        )


def _bounded(receive: Receive) -> Receive:
    """Return a body that stops when it grows too large, whatever its header promised."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MOST_BYTES:
            raise HTTPException(413, _too_large())
        return message

    return bounded


def _too_large() -> str:
    return f"a body has at most {MOST_BYTES // 2**20} MiB: send fewer vectors in each request"


def _challenge(kind: Kind) -> dict[str, str]:
    return {"WWW-Authenticate": "Bearer"} if kind is problems.NO_TOKEN else {}


def _name(host: str) -> str:
    """Return a Host header without its port."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:[0-9]{1,5})?", host)
    return found[1] if found else ""


def _netloc(origin: str) -> str:
    """Return host and port of an Origin header; empty when it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""

"""HTTP client for a worker process: valid requests at a steady rate, and malformed requests."""

import contextlib
import http.client
import itertools
import json
import random
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.harness import BenchmarkError

HOST = "127.0.0.1"
PATH = "/api/translate"
JSON = {"Content-Type": "application/json"}
TIMEOUT = 10.0  # seconds to wait for a reply
THREADS = 8  # concurrent requests
REFUSED = "4xx"


class Request(NamedTuple):
    """A request to send; without a method its body is sent as raw bytes."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str] = JSON


class Client:
    """Sends requests to one server."""

    def __init__(self, port: int) -> None:
        """Store the server's port."""
        self._port = port

    def __call__(self, task: str, **options: Any) -> dict[str, Any]:
        """Run a task: request or send_malformed."""
        return self.request(**options) if task == "request" else self.send_malformed(**options)

    def request(
        self, method: str, path: str, body: str, status: int, rate: float, seconds: float
    ) -> dict[str, Any]:
        """Send one request at a steady rate and return its latency in milliseconds.

        Latency counts from the time at which each request was due, so that one slow reply is not hidden by
        the requests that it delays (coordinated omission).

        Raises:
            BenchmarkError: A reply has another status.
        """
        request, took = Request(method, path, body.encode()), list[float]()
        began = time.perf_counter() + 0.1

        def each(number: int, connection: http.client.HTTPConnection) -> None:
            due = began + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            reply = send(connection, request)
            took.append(1e3 * (time.perf_counter() - due))
            if reply != str(status):
                raise BenchmarkError(f"{method} {path} returned {reply}, not {status}")

        self._run_threads(each, round(rate * seconds))
        return {"p50": statistics.median(took), "p99": percentile(took, 99), "count": len(took)}

    def send_malformed(self, count: int, seed: int, body: str) -> dict[str, Any]:
        """Send malformed requests and return the number of replies by "kind: reply"."""
        replies: Counter[str] = Counter()

        def each(number: int, connection: http.client.HTTPConnection) -> None:
            kind, request = malformed_request(random.Random(seed + number), json.loads(body))
            reply = send(connection, request) if request.method else self._send_raw(request.body)
            replies[f"{kind}: {REFUSED if reply.startswith('4') else reply}"] += 1

        self._run_threads(each, count)
        return dict(replies)

    def _run_threads(self, work: Callable[[int, http.client.HTTPConnection], None], count: int) -> None:
        numbers, failures = itertools.count(), list[Exception]()

        def run() -> None:
            with contextlib.closing(http.client.HTTPConnection(HOST, self._port, TIMEOUT)) as connection:
                try:
                    while (number := next(numbers)) < count and not failures:
                        work(number, connection)
                except Exception as error:  # raised by the calling thread
                    failures.append(error)

        threads = [threading.Thread(target=run) for _ in range(THREADS)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        if failures:
            raise failures[0]

    def _send_raw(self, data: bytes) -> str:
        try:
            with socket.create_connection((HOST, self._port), TIMEOUT) as plain:
                plain.sendall(data)
                words = plain.makefile("rb").readline().split()
        except TimeoutError:
            return "timeout"
        except OSError:
            return "closed"
        return words[1].decode("ascii", "replace") if len(words) > 1 else "closed"


def send(connection: http.client.HTTPConnection, request: Request) -> str:
    """Return the status of the reply, "timeout" or "closed"; the connection stays usable."""
    try:
        connection.request(request.method, request.path, request.body, dict(request.headers))
        response = connection.getresponse()
        response.read()
        return str(response.status)
    except TimeoutError:
        connection.close()
        return "timeout"
    except (OSError, http.client.HTTPException):
        connection.close()
        return "closed"


def percentile(values: list[float], percent: int) -> float:
    """Return a percentile of the values."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def malformed_request(rng: random.Random, good: Mapping[str, Any]) -> tuple[str, Request]:
    """Return a malformed request derived from a valid one, and its kind."""
    kind = rng.choice(("bytes", "broken JSON", "wrong types", "huge numbers", "wrong path", "wrong method"))
    text = json.dumps(good)
    if kind == "bytes":
        data = rng.randbytes(rng.randint(1, 400)).replace(b"\n", b"?")
        if rng.random() < 0.5:
            return kind, Request("POST", PATH, data)
        return kind, Request("", "", b"\xff" + data + b"\r\n\r\n")
    if kind == "broken JSON":
        at = rng.randrange(1, len(text))
        return kind, Request("POST", PATH, (text[:at] if rng.random() < 0.5 else text + text[at:]).encode())
    if kind == "wrong types":
        return kind, Request("POST", PATH, json.dumps(_with_wrong_value(rng, good)).encode())
    if kind == "huge numbers":
        number = rng.choice(("1e400", "-1e308", "9" * 5000, "Infinity", "NaN", "1" + 400 * "0"))
        vectors = json.dumps(good["vectors"])
        return kind, Request("POST", PATH, text.replace(vectors, f"[[{number}]]").encode())
    if kind == "wrong path":
        letters = "".join(rng.choices("abc/.%~-_09", k=rng.randint(1, 60)))
        return kind, Request("POST", f"/api/no-{letters}", text.encode())
    return kind, Request(rng.choice(("GET", "PUT", "PATCH", "DELETE", "BREW")), PATH, text.encode())


def _with_wrong_value(rng: random.Random, good: Mapping[str, Any]) -> Any:
    """Return a request body with one invalid value."""
    wrong: list[Any] = [None, True, -1, 1.5, "", "no-agent", [], {}, [[]], [[None]], [["1"]], [[True]], [{}]]
    key = rng.choice(sorted(good))
    return rng.choice(
        (
            {**good, key: rng.choice(wrong)},
            {**good, rng.choice(("form", "__proto__", "nearest ", "")): rng.choice(wrong)},
            {name: value for name, value in good.items() if name != key},
            {**good, "vectors": [[*good["vectors"][0], 0.5]]},
            rng.choice(wrong),
        )
    )

"""A client of the HTTP interface, in a process of its own: questions at a steady rate, and nonsense."""

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
TIMEOUT = 10.0  # seconds after which no answer is one
HANDS = 8  # requests that may be under way at once
REFUSED = "4xx"


class Request(NamedTuple):
    """What is sent; a request without a method is bytes that are no HTTP."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str] = JSON


class Client:
    """Asks one server."""

    def __init__(self, port: int) -> None:
        """Take the server's port."""
        self._port = port

    def __call__(self, task: str, **options: Any) -> dict[str, Any]:
        """Do a task: ask or annoy."""
        return self.ask(**options) if task == "ask" else self.annoy(**options)

    def ask(
        self, method: str, path: str, body: str, status: int, rate: float, seconds: float
    ) -> dict[str, Any]:
        """Ask one question at a steady rate, whether answers come or not, and return the milliseconds.

        Each is counted from the moment at which it was due, so that one slow answer is not hidden by those
        that had to wait for it.

        Raises:
            BenchmarkError: An answer has another status.
        """
        request, took = Request(method, path, body.encode()), list[float]()
        began = time.perf_counter() + 0.1

        def each(number: int, connection: http.client.HTTPConnection) -> None:
            due = began + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            answer = send(connection, request)
            took.append(1e3 * (time.perf_counter() - due))
            if answer != str(status):
                raise BenchmarkError(f"{method} {path} was answered with {answer}, not {status}")

        self._share(each, round(rate * seconds))
        return {"p50": statistics.median(took), "p99": percentile(took, 99), "count": len(took)}

    def annoy(self, count: int, seed: int, body: str) -> dict[str, Any]:
        """Send nonsense, and return how often what came back for what kind, as "kind: answer"."""
        answers: Counter[str] = Counter()

        def each(number: int, connection: http.client.HTTPConnection) -> None:
            kind, request = nonsense(random.Random(seed + number), json.loads(body))
            answer = send(connection, request) if request.method else self._blurt(request.body)
            answers[f"{kind}: {REFUSED if answer.startswith('4') else answer}"] += 1

        self._share(each, count)
        return dict(answers)

    def _share(self, work: Callable[[int, http.client.HTTPConnection], None], count: int) -> None:
        numbers, failures = itertools.count(), list[Exception]()

        def hand() -> None:
            with contextlib.closing(http.client.HTTPConnection(HOST, self._port, TIMEOUT)) as connection:
                try:
                    while (number := next(numbers)) < count and not failures:
                        work(number, connection)
                except Exception as error:  # a thread tells nobody: kept for who waits
                    failures.append(error)

        hands = [threading.Thread(target=hand) for _ in range(HANDS)]
        for each in hands:
            each.start()
        for each in hands:
            each.join()
        if failures:
            raise failures[0]

    def _blurt(self, data: bytes) -> str:
        try:
            with socket.create_connection((HOST, self._port), TIMEOUT) as plain:
                plain.sendall(data)
                words = plain.makefile("rb").readline().split()
        except TimeoutError:
            return "silence"
        except OSError:
            return "closed"
        return words[1].decode("ascii", "replace") if len(words) > 1 else "closed"


def send(connection: http.client.HTTPConnection, request: Request) -> str:
    """Return the status of the answer, or in a word why there is none; the connection can be used again."""
    try:
        connection.request(request.method, request.path, request.body, dict(request.headers))
        answer = connection.getresponse()
        answer.read()
        return str(answer.status)
    except TimeoutError:
        connection.close()
        return "silence"
    except (OSError, http.client.HTTPException):
        connection.close()
        return "closed"


def percentile(values: list[float], percent: int) -> float:
    """Return the value that so many percent lie at or below."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def nonsense(rng: random.Random, good: Mapping[str, Any]) -> tuple[str, Request]:
    """Return a request that no server should take, made from a good question, and its kind."""
    kind = rng.choice(("bytes", "broken JSON", "wrong types", "huge numbers", "wrong path", "wrong method"))
    text = json.dumps(good)
    if kind == "bytes":
        noise = rng.randbytes(rng.randint(1, 400)).replace(b"\n", b"?")
        if rng.random() < 0.5:
            return kind, Request("POST", PATH, noise)
        return kind, Request("", "", b"\xff" + noise + b"\r\n\r\n")
    if kind == "broken JSON":
        at = rng.randrange(1, len(text))
        return kind, Request("POST", PATH, (text[:at] if rng.random() < 0.5 else text + text[at:]).encode())
    if kind == "wrong types":
        return kind, Request("POST", PATH, json.dumps(_mistaken(rng, good)).encode())
    if kind == "huge numbers":
        number = rng.choice(("1e400", "-1e308", "9" * 5000, "Infinity", "NaN", "1" + 400 * "0"))
        vectors = json.dumps(good["vectors"])
        return kind, Request("POST", PATH, text.replace(vectors, f"[[{number}]]").encode())
    if kind == "wrong path":
        letters = "".join(rng.choices("abc/.%~-_09", k=rng.randint(1, 60)))
        return kind, Request("POST", f"/api/no-{letters}", text.encode())
    return kind, Request(rng.choice(("GET", "PUT", "PATCH", "DELETE", "BREW")), PATH, text.encode())


def _mistaken(rng: random.Random, good: Mapping[str, Any]) -> Any:
    """Return a question in which one thing is not what it should be."""
    wrong: list[Any] = [None, True, -1, 1.5, "", "nobody", [], {}, [[]], [[None]], [["1"]], [[True]], [{}]]
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

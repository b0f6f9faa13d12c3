"""API: latency of HTTP requests while the agents of a simulation train, and replies to malformed ones."""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.harness import BenchmarkError, Effort, Metric, at_most, log
from benchmarks.processes import OUTPUT_TAIL, ROOT, Worker
from benchmarks.soak.client import HOST, PATH, REFUSED
from benchmarks.soak.common import TOY, simulation_up, wait_until
from social_jepa.runtime.simulation import Simulation
from social_jepa.system.machine import is_listening

MAX_P99_MS = 50.0
RATE, SECONDS, MALFORMED, SEED = 100, 60, 10_000, 0
UNKNOWN_PATH = "/api/nothing-is-here"


@contextlib.contextmanager
def served(simulation: Simulation) -> Iterator[int]:
    """Serve a simulation and yield the port; the server is stopped on exit."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    command = ["serve", "--run", str(simulation.folder.path), "--port", str(port)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "social_jepa", *command], stdout=output, stderr=output, cwd=ROOT
        )

        def ready() -> bool:
            if process.poll() is not None:
                output.seek(0)
                raise BenchmarkError(f"social-jepa serve exited: {output.read()[-OUTPUT_TAIL:].strip()}")
            return is_listening(f"{HOST}:{port}", 0.2)

        try:
            wait_until("social-jepa serve", ready, 60.0)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def translation_request(simulation: Simulation) -> dict[str, Any]:
    """Return the body of a translation request between the first two agents."""
    size = simulation.results().agent("agent-0").core_dim
    return {"from": "agent-0", "to": "agent-1", "vectors": [[0.5] * size]}


def rows(
    answered: Mapping[str, float], unknown: Mapping[str, float], replies: Mapping[str, int]
) -> list[Metric]:
    """Return the metrics of valid requests, requests to an unknown path, and malformed requests."""
    unexpected = sum(count for reply, count in replies.items() if not reply.endswith(f": {REFUSED}"))
    rate, reference = f"{RATE} requests/s", "404 at the same rate"
    return [
        Metric(f"{rate}: latency, median", answered["p50"], "ms", reference, unknown["p50"]),
        Metric(
            f"{rate}: latency, 99th percentile", answered["p99"], "ms", reference, unknown["p99"],
            at_most(MAX_P99_MS),
        ),
        Metric(
            "malformed requests without a 4xx reply", unexpected, "", "requests", sum(replies.values()),
            at_most(0),
        ),
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Send requests at a steady rate, then malformed ones, then check that the server still replies."""
    with simulation_up((*TOY, *effort.settings)) as simulation:
        simulation.wait(timeout=120.0)
        body = json.dumps(translation_request(simulation))
        with served(simulation) as port, Worker("benchmarks.soak.client:Client", port=port) as client:
            good = {
                "task": "request",
                "method": "POST",
                "path": PATH,
                "body": body,
                "status": 200,
                "rate": RATE,
            }
            client(**good, seconds=1)  # caches fill
            log("  valid requests")
            answered = client(**good, seconds=effort.of(SECONDS))
            unknown = client(**{**good, "path": UNKNOWN_PATH, "status": 404}, seconds=effort.of(SECONDS // 4))
            log("  malformed requests")
            replies = client(task="send_malformed", count=effort.of(MALFORMED), seed=SEED, body=body)
            for reply, count in sorted(replies.items()):
                log(f"  {count:6} {reply}")
            client(**good, seconds=1)
    return rows(answered, unknown, replies)

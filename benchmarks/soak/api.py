"""API: how fast a living simulation answers over HTTP while its agents learn on, and what nonsense does."""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.harness import BenchmarkError, Effort, Metric, at_most, say
from benchmarks.processes import ROOT, TAIL, Worker
from benchmarks.soak.all_parts import TOY, living, until
from benchmarks.soak.client import HOST, PATH, REFUSED
from social_jepa.doctor import is_listening
from social_jepa.runtime.simulation import Simulation

MILLISECONDS = 50.0
RATE, SECONDS, NONSENSE, SEED = 100, 60, 10_000, 0
NOWHERE = "/api/nothing-is-here"


@contextlib.contextmanager
def served(simulation: Simulation) -> Iterator[int]:
    """Serve a simulation and yield the port; the server ends whatever happens."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    command = ["serve", "--run", str(simulation.folder.path), "--port", str(port)]
    with tempfile.TemporaryFile(mode="w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "social_jepa", *command], stdout=said, stderr=said, cwd=ROOT
        )

        def ready() -> bool:
            if process.poll() is not None:
                said.seek(0)
                raise BenchmarkError(f"social-jepa serve ended: {said.read()[-TAIL:].strip()}")
            return is_listening(f"{HOST}:{port}", 0.2)

        try:
            until("social-jepa serve", ready, 60.0)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def question(simulation: Simulation) -> dict[str, Any]:
    """Return a translation between the first two agents of a simulation."""
    size = simulation.results().agent("agent-0").core_dim
    return {"from": "agent-0", "to": "agent-1", "vectors": [[0.5] * size]}


def rows(told: Mapping[str, float], empty: Mapping[str, float], replies: Mapping[str, int]) -> list[Metric]:
    """Return the figures of questions, of requests for nothing, and of the replies to nonsense."""
    strange = sum(count for reply, count in replies.items() if not reply.endswith(f": {REFUSED}"))
    rate, there = f"{RATE} questions/s", "404 at the same rate"
    return [
        Metric(f"{rate}: answered within, half of them", told["p50"], "ms", there, empty["p50"]),
        Metric(
            f"{rate}: answered within, 99 %", told["p99"], "ms", there, empty["p99"], at_most(MILLISECONDS)
        ),
        Metric("nonsense not answered with 4xx", strange, "", "requests", sum(replies.values()), at_most(0)),
    ]  # fmt: skip


def figures(effort: Effort) -> list[Metric]:
    """Ask steadily, then send nonsense, then see that it still answers."""
    with living((*TOY, *effort.settings)) as simulation:
        simulation.wait(timeout=120.0)
        body = json.dumps(question(simulation))
        with served(simulation) as port, Worker("benchmarks.soak.client:Client", port=port) as client:
            good = {"task": "ask", "method": "POST", "path": PATH, "body": body, "status": 200, "rate": RATE}
            client(**good, seconds=1)  # caches fill
            say("  questions")
            told = client(**good, seconds=effort.of(SECONDS))
            empty = client(**{**good, "path": NOWHERE, "status": 404}, seconds=effort.of(SECONDS // 4))
            say("  nonsense")
            replies = client(task="annoy", count=effort.of(NONSENSE), seed=SEED, body=body)
            for reply, count in sorted(replies.items()):
                say(f"  {count:6} {reply}")
            client(**good, seconds=1)
    return rows(told, empty, replies)

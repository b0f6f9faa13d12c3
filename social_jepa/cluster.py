"""Ray: start it or join it, give every agent its share, and wait for answers without going blind."""

import contextlib
import logging
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from agents.actor import AgentActor
from agents.agent import AgentSpec
from social_jepa.doctor import answers, usable_cores

# A training step frees and takes back tens of megabytes. By default glibc returns them to the system and
# every step pays for the page faults anew: a quarter of its time where this was measured.
MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
}


CONNECT_PATIENCE = 5.0  # seconds to wait for a cluster's port


class ClusterError(RuntimeError):
    """Ray could not do what was asked; the text names the remedy."""


class AddressError(ValueError):
    """Nobody listens where a cluster was said to be."""


class AgentLostError(RuntimeError):
    """An agent's process died or its work failed; the text says whose and why."""


@dataclass(frozen=True)
class Share:
    """What each agent gets."""

    cpus: float
    gpus: float
    threads: int
    note: str  # one line for people: who shares what


def check_address(address: str | None) -> None:
    """Raise AddressError if nobody listens there: Ray itself would go on trying for minutes."""
    address = address or os.environ.get("RAY_ADDRESS")
    if address and address not in ("auto", "local") and not answers(address, CONNECT_PATIENCE):
        raise AddressError(
            f"nobody answers at {address}: an address is written host:port, for example 10.0.0.1:6379; "
            "ray status on the head node names it, and without one a local Ray is started"
        )


@contextlib.contextmanager
def cluster(address: str | None = None) -> Iterator[None]:
    """Start a small local Ray, or join the one at an address or at RAY_ADDRESS; leave it as it was found."""
    # said outright, because Ray may otherwise write a token into the home folder
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    started = not ray.is_initialized()
    if started:
        check_address(address)
        _connect(address or os.environ.get("RAY_ADDRESS"))
        if threading.current_thread() is threading.main_thread():
            # the same as Ctrl-C; Ray's own handler aborts, and nothing is saved
            signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def _connect(address: str | None) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address and address != "local":
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local", num_cpus=usable_cores(), include_dashboard=False,
                object_store_memory=120_000_000, **quiet,
            )  # fmt: skip
    except Exception as error:  # no narrower: a Ray that is slow to start raises exactly this
        where = f"the Ray cluster at {address}" if address else "a local Ray"
        raise ClusterError(
            f"{where} does not answer ({error}); run social-jepa doctor, or check the address with ray status"
        ) from error


def share(count: int, threads: int) -> Share:
    """Return what each of `count` agents gets: a GPU where the cluster has any, else CPU cores."""
    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 1.0), resources.get("GPU", 0.0)
    slots, per_gpu = _part(cpus, count), _part(gpus, count)
    own = threads or max(1, int(cpus // count))
    device = "no GPU"
    if gpus:
        device = "one GPU each" if per_gpu == 1 else f"{count} agents share {gpus:g} GPUs"
    cpu = f"{own} thread{'s' if own > 1 else ''} each" + (f", sharing {cpus:g} cores" if cpus < count else "")
    return Share(slots, per_gpu, own, f"{device}; {cpu}")


def _part(units: float, count: int) -> float:
    """Return what of a core or GPU each gets when none may straddle two: 3 GPUs hold 4 agents by halves."""
    return int(1e4 / math.ceil(count / units)) / 1e4 if units else 0.0


def place(specs: Sequence[AgentSpec], parts: Share, resume: bool) -> dict[str, Any]:
    """Start one actor for each agent, spread over the cluster's nodes; return their handles by name."""
    options = {
        "num_cpus": parts.cpus, "num_gpus": parts.gpus, "scheduling_strategy": "SPREAD",
        "runtime_env": {"env_vars": MALLOC},
    }  # fmt: skip
    actor: Any = AgentActor  # ray.remote leaves the class without types
    return {
        spec.name: actor.options(**options).remote(replace(spec, threads=parts.threads), resume)
        for spec in specs
    }


def gather(
    calls: Mapping[str, Any], watch: Callable[[], None] = lambda: None, every: float = 0.5
) -> dict[str, Any]:
    """Wait for one answer from each agent, looking around in between.

    Args:
        calls: Pending answers by agent.
        watch: Called every so often while waiting.
        every: Seconds between looks.

    Raises:
        AgentLostError: A process died or its work raised; the first one found is named.
    """
    waiting = {reference: name for name, reference in calls.items()}
    done: dict[str, Any] = {}
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=every)
        for reference in ready:
            name = waiting.pop(reference)
            done[name] = _answer(name, reference)
        watch()
    return {name: done[name] for name in calls}


def ask(calls: Mapping[str, Any], timeout: float = 2.0) -> dict[str, Any]:
    """Return the answers that come within a time; who is busy or gone is left out."""
    ready, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=timeout)
    answers = {}
    for name, reference in calls.items():
        if reference in ready:
            with contextlib.suppress(RayError, GetTimeoutError):
                answers[name] = ray.get(reference)
    return answers


def _answer(name: str, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise AgentLostError(f"{name}: {error.cause or error}") from error
    except RayActorError as error:
        why = " ".join(str(error).split("The actor is dead because")[-1].split(". ")[0].split())
        raise AgentLostError(
            f"the process of {name} died ({why}); social-jepa resume goes on from what was saved. "
            "If memory ran out, run again with agents.count or training.window lower"
        ) from error


def release(handles: Mapping[str, Any]) -> None:
    """End the agents' processes."""
    for handle in handles.values():
        ray.kill(handle)

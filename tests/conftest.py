"""Fixtures of all tests: a temporary home folder, a small Ray, and a small run."""

import atexit
import contextlib
import dataclasses
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

# Set at import, not in a fixture: Ray reads them when it is imported, which may be while tests are collected,
# and its worker processes inherit them.
os.environ["HOME"] = tempfile.mkdtemp(prefix="social-jepa-home-")
atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
os.environ["RAY_AUTH_MODE"] = "disabled"  # unset, a local Ray writes a token into the home folder
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # under uv, Ray would build an environment for each worker
os.environ.pop("RAY_ADDRESS", None)  # tests never join an existing cluster
os.environ["PYGLET_HEADLESS"] = "True"
os.environ["LP_NUM_THREADS"] = "0"
os.environ["MPLBACKEND"] = "Agg"

# A shell without job control starts background processes with SIGINT ignored; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it

# The models of the tests are so small that a second thread costs more than it computes, and one order of
# summation makes their metrics equal on every machine.
torch.set_num_threads(1)

# No test needs an idle machine.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Return the scheduler of `pytest -n`."""
    from tests.support.ray_beside import RayBeside

    return RayBeside(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of a GPU where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="torch finds no GPU"))


@pytest.fixture(autouse=True)
def restore_loggers() -> Iterator[None]:
    """Undo what a test's command set on our loggers: levels would hide records from later tests."""
    yield
    for name in ("env", "alignment", "agents", "social_jepa"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.NOTSET)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()


@pytest.fixture(scope="session")
def ray_local(tmp_path_factory) -> Iterator[str]:
    """Start a Ray with two CPUs and the smallest object store that works; return its address."""
    import ray

    from tests.support.failing_models import WaitsForGate

    gate = {WaitsForGate.VARIABLE: str(tmp_path_factory.mktemp("gate") / "open")}
    os.environ |= gate
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=0,
        object_store_memory=80_000_000,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | gate},
    )
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


SMALL = (
    "agents.count=4 scene.renderer=toy scene.frame_size=32 scene.objects=1 scene.bodies=false "
    "model.dim=4 model.width=8 model.hidden=32 training.steps=60 training.segments=32 "
    "training.replay_ticks=1024 training.new_ticks_per_step=8 training.core_eval_ticks=512 "
    "negotiation.pool_ticks=128 negotiation.anchors=32 negotiation.heldout=64"
)  # settings of the smallest run in which agents agree


def negotiate_small_run(membership):
    """Train the agents of the smallest run in this process and let them negotiate.

    agent-3 claims another scene, so that its edges are refused, and the offer of agent-0 to it is lost.

    Returns:
        (agents by name, their protocols by name)
    """
    from agents.agent import Agent
    from agents.protocol.messages import Offer
    from tests.support.swarm import connect_protocols, publish_all

    agents = {name: Agent(membership.spec(name, threads=1)) for name in membership.members}
    for name, agent in agents.items():
        membership.next_incarnation(name)
        agent.train()
        agent.publish()
    of_another_scene = agents["agent-3"].negotiation
    of_another_scene.peer_info = dataclasses.replace(of_another_scene.peer_info, scene="0" * 16)
    protocols, transport = connect_protocols(
        agents, drops=lambda message: isinstance(message, Offer) and message.edge == ("agent-0", "agent-3")
    )
    publish_all(protocols, {name: agent.negotiation for name, agent in agents.items()})
    transport.run()
    return agents, protocols


def report_of(agent, protocol):
    """Return the report of an agent that was trained in this process."""
    from agents.report import AgentReport

    snapshot = agent.published.snapshot
    return AgentReport(
        events=protocol.events(1, since=0), progress=snapshot.progress, snapshot=snapshot,
        checkpoint=snapshot.peer_info.checkpoint, settled=True, failure=None, note="", node="here",
        host="this", device="cpu", pid=1, activity=None, unanswered={},
    )  # fmt: skip


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """Return the results of a small run in this process: three agents that agree, and agent-3.

    The edges of agent-3 are refused, except for the one from agent-0, which has failed.
    """
    from rich.console import Console

    from social_jepa.config.run_config import load_config
    from social_jepa.graph.results import full_document, load_results
    from social_jepa.runtime.batch_run import BatchRun, failed_edge
    from social_jepa.runtime.console_progress import ProgressDisplay
    from social_jepa.runtime.ledger_writer import LedgerWriter
    from social_jepa.runtime.membership import Membership, record_start
    from social_jepa.storage.ledger import Ledger
    from social_jepa.storage.run_folder import create

    began, config = time.perf_counter(), load_config(overrides=SMALL.split())
    folder = create(config, tmp_path_factory.mktemp("small") / "run")
    run = BatchRun(config, folder, ProgressDisplay(Console(quiet=True)), seconds={"negotiate": 0.0})
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        record_start(ledger, config, folder, "started", online=False)
        membership = Membership(config, folder, ledger, online=False)
        writer = LedgerWriter(config, folder, ledger)
        agents, protocols = negotiate_small_run(membership)
        for name, agent in agents.items():
            writer.write(name, membership.members, report_of(agent, protocols[name]))
        versions = {name: agent.published.snapshot.peer_info.checkpoint for name, agent in agents.items()}
        ledger.record(edges=[failed_edge("agent-0", "agent-3", versions)])
        run.collect(ledger, began)
    results = load_results(folder)
    return dataclasses.replace(results, document=full_document(results))

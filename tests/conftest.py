"""What all tests share: a home folder of their own, and one small Ray for those that ask for it."""

import atexit
import contextlib
import dataclasses
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# Set at import, not in a fixture: Ray reads them when it is imported, which may be while tests are collected,
# and the worker processes inherit them.
os.environ["HOME"] = tempfile.mkdtemp(prefix="social-jepa-home-")
atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
os.environ["RAY_AUTH_MODE"] = "disabled"  # unset, a local Ray writes a token into the home folder
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # under uv, Ray would build an environment for each worker
os.environ.pop("RAY_ADDRESS", None)  # tests never join somebody's cluster
os.environ["PYGLET_HEADLESS"] = "True"
os.environ["LP_NUM_THREADS"] = "0"
os.environ["MPLBACKEND"] = "Agg"

# A shell without job control starts what it sends to the background deaf to Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The models of the tests are so small that a second thread costs more than it computes, and sums in one
# order make their figures equal on every machine size.
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """A Ray on this machine, with two CPUs and the smallest object store that works."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=0,
        object_store_memory=80_000_000,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()


SMALL = (
    "agents.count=4 scene.renderer=toy scene.frame_size=32 scene.objects=1 scene.bodies=false "
    "model.dim=4 model.width=8 model.hidden=32 training.steps=60 training.segments=32 "
    "training.replay_ticks=1024 training.new_ticks_per_step=8 training.core_eval_ticks=512 "
    "negotiation.pool_ticks=128 negotiation.anchors=32 negotiation.heldout=64"
)  # settings of the smallest run in which agents agree


def small_society(registry):
    """The agents of the smallest run and the voices with which they negotiated, one edge aside."""
    from agents.agent import Agent
    from agents.protocol.messages import Offer
    from tests.support.swarm import connect_protocols, publish_all

    agents = {name: Agent(registry.spec(name, threads=1)) for name in registry.members}
    for name, agent in agents.items():
        registry.next_incarnation(name)
        agent.train()
        agent.publish()
    stranger = agents["agent-3"].negotiation
    stranger.peer_info = dataclasses.replace(stranger.peer_info, scene="0" * 16)
    protocols, transport = connect_protocols(
        agents, drops=lambda message: isinstance(message, Offer) and message.edge == ("agent-0", "agent-3")
    )
    publish_all(protocols, {name: agent.negotiation for name, agent in agents.items()})
    transport.run()
    return agents, protocols


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """A small run in this process: three agents that agree, and one that thinks it is in another scene.

    Edges with the last are refused, but for one: what agent-0 offered it was lost, and failed in the end.
    """
    from rich.console import Console

    from agents.report import AgentReport
    from social_jepa.cli.console_progress import ProgressDisplay
    from social_jepa.config.run_config import load_config
    from social_jepa.graph.results import full_document, load_results
    from social_jepa.runtime.batch_run import BatchRun
    from social_jepa.runtime.ledger_writer import LedgerWriter
    from social_jepa.runtime.registry import Registry, record_start
    from social_jepa.storage.ledger import Ledger
    from social_jepa.storage.run_folder import create

    began, config = time.perf_counter(), load_config(overrides=SMALL.split())
    folder = create(config, tmp_path_factory.mktemp("small") / "run")
    run = BatchRun(config, folder, ProgressDisplay(Console(quiet=True)), seconds={"negotiate": 0.0})
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        record_start(ledger, config, folder, "started", online=False)
        registry, chronicle = (
            Registry(config, folder, ledger, online=False),
            LedgerWriter(config, folder, ledger),
        )
        agents, protocols = small_society(registry)
        for name, agent in agents.items():
            memory = agent.published.snapshot
            told = {
                "events": protocols[name].events(1, since=0),
                "progress": memory.progress,
                "snapshot": memory,
            }
            place = {"settled": True, "failure": "", "note": "", "node": "here", "device": "cpu", "pid": 1}
            report = AgentReport(**told, **place, checkpoint=memory.peer_info.checkpoint)
            chronicle.write(name, registry.members, report)
        versions = {name: agent.published.snapshot.peer_info.checkpoint for name, agent in agents.items()}
        ledger.record(edges=[run._failed("agent-0", "agent-3", versions)])
        run._collect(ledger, began)
    results = load_results(folder)
    return dataclasses.replace(results, document=full_document(results))

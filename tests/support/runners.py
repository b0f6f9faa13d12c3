"""Runners on threads, with a transport between them, for their tests."""

import threading
import time
from dataclasses import replace

import numpy as np

from agents.agent import Agent
from agents.protocol.peer_protocol import PeerProtocol
from agents.runner import AgentRunner
from agents.training.settings import DistillationConfig
from env.camera import RingConfig, ring_pose
from tests.support.keys import known_peers, local_peer
from tests.support.swarm import LossyTransport, tiny_spec

SHORT_TRAINING = {
    "steps": 8,
    "segments": 8,
    "replay_ticks": 256,
    "core_eval_ticks": 256,
    "drift_check_every": 4,
    "online_new_ticks": 8,
}

MOVED_POSE = ring_pose(2, RingConfig())


def runner_spec(folder, index=0, online=True, **changes):
    """Return the spec of an agent that publishes after eight steps."""
    return replace(tiny_spec(index, folder, **SHORT_TRAINING), online=online, **changes)


def student_spec(folder, **changes):
    """Return the spec of agent-1 that learns from agent-0 by distillation."""
    distillation = DistillationConfig(ticks=256, steps=6, batch=64)
    return runner_spec(folder, 1, teacher="agent-0", distillation=distillation, **changes)


class RunnerGroup:
    """Runners on threads and the transport between them."""

    def __init__(self):
        self.transport, self.protocols, self.runners, self.threads = LossyTransport(), {}, {}, {}

    def start(self, spec, incarnation=1):
        """Start an agent, broadcast the peers, and return its runner."""
        protocol = PeerProtocol(local_peer(spec.name, incarnation), self.transport)
        self.protocols[spec.name] = protocol
        self.transport.listen(spec.name, protocol.receive)
        self.broadcast_peers()
        runner = self.runners[spec.name] = AgentRunner(protocol)
        self.threads[spec.name] = threading.Thread(target=runner.run, args=(spec,), daemon=True)
        self.threads[spec.name].start()
        return runner

    def add_protocol(self, name):
        """Add a peer without an agent and return its protocol."""
        protocol = self.protocols[name] = PeerProtocol(local_peer(name), self.transport)
        self.transport.listen(name, protocol.receive)
        return protocol

    def broadcast_peers(self):
        """Give every protocol the list of its peers."""
        incarnations = {name: protocol.channel.incarnation for name, protocol in self.protocols.items()}
        for name, protocol in self.protocols.items():
            protocol.update_peers(
                known_peers({peer: each for peer, each in incarnations.items() if peer != name})
            )

    def wait_until(self, ready, timeout=60):
        """Deliver messages until `ready()` is true."""
        end = time.monotonic() + timeout
        while not ready():
            assert time.monotonic() < end, {name: state(runner) for name, runner in self.runners.items()}
            self.transport.run()
            time.sleep(0.005)

    def stop(self, name="agent-0"):
        """Stop an agent, wait for its thread, and return its runner."""
        self.runners[name].stop()
        self.threads[name].join(timeout=30)
        assert not self.threads[name].is_alive()
        return self.runners[name]


def state(runner):
    """Return the progress and the failure of a runner."""
    return runner.agent.progress() if runner.agent else None, runner.failure


def step(runner):
    """Return the training step that a runner's agent has reached."""
    return runner.agent.trainer.step if runner.agent else 0


def uninterrupted_losses(folder, **changes):
    """Return the losses of the same agent, trained for 40 steps without a runner."""
    agent = Agent(runner_spec(folder, **changes))
    agent.train()
    agent.train(until=40)
    return agent.trainer.losses


def constant_rows(rows, dim=2, value=0.0):
    """Return rows * dim equal little-endian float32 as bytes."""
    return np.full((rows, dim), value, "<f4").tobytes()

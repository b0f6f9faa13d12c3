"""Lives on threads, with frames between them: what tests of lives share."""

import threading
import time
from dataclasses import replace

import numpy as np

from agents.agent import Agent
from agents.protocol.peer_protocol import PeerProtocol
from agents.runner import AgentRunner
from agents.training.settings import DistillationConfig
from env.camera import RingConfig, ring_pose
from tests.support.swarm import Lossy, tiny_spec

SHORT = {
    "steps": 8,
    "segments": 8,
    "replay_ticks": 256,
    "core_eval_ticks": 64,
    "drift_check_every": 4,
    "online_new_ticks": 8,
}

MOVED = ring_pose(2, RingConfig())


def spec(folder, index=0, online=True, **changes):
    return replace(tiny_spec(index, folder, **SHORT), online=online, **changes)


class World:
    """Lives on threads, and the frames between them."""

    def __init__(self):
        self.transport, self.protocols, self.lives, self.threads = Lossy(), {}, {}, {}

    def begin(self, wanted, life=1):
        """Have somebody born, and tell everybody of it."""
        protocol = PeerProtocol(wanted.name, self.transport, incarnation=life)
        self.protocols[wanted.name] = protocol
        self.transport.listen(wanted.name, protocol.receive)
        self.tell()
        born = self.lives[wanted.name] = AgentRunner(protocol)
        self.threads[wanted.name] = threading.Thread(target=born.run, args=(lambda: wanted,), daemon=True)
        self.threads[wanted.name].start()
        return born

    def tell(self):
        lives = {name: protocol.channel.incarnation for name, protocol in self.protocols.items()}
        for name, protocol in self.protocols.items():
            protocol.update_peers({peer: life for peer, life in lives.items() if peer != name})

    def until(self, ready, patience=60):
        """Carry frames until something is so."""
        end = time.monotonic() + patience
        while not ready():
            assert time.monotonic() < end, {name: life.facts() for name, life in self.lives.items()}
            self.transport.run()
            time.sleep(0.005)

    def end(self, name="agent-0"):
        self.lives[name].stop()
        self.threads[name].join(timeout=30)
        assert not self.threads[name].is_alive()
        return self.lives[name]


def step(life):
    return life.agent.trainer.step if life.agent else 0


def losses_of(folder, **changes):
    """What an agent loses whose life nobody interrupts, for as many steps as asked."""
    alone = Agent(spec(folder, **changes))
    alone.train()
    alone.train(until=40)
    return alone.trainer.losses


def pupil_spec(folder, **changes):
    lesson = DistillationConfig(ticks=256, steps=6, batch=64)
    return spec(folder, 1, teacher="agent-0", distillation=lesson, **changes)


def numbers(rows, dim=2, value=0.0):
    return np.full((rows, dim), value, "<f4").tobytes()

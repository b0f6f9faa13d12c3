"""Lives on threads, with frames between them: what tests of lives share."""

import threading
import time
from dataclasses import replace

import numpy as np

from agents.agent import Agent
from agents.protocol.peer_protocol import PeerProtocol
from agents.runner import AgentRunner
from agents.settings import DistillationConfig
from env.camera import RingConfig, ring_pose
from tests.support.swarm import Lossy, tiny_spec

SHORT = {"steps": 8, "segments": 8, "window": 256, "calibration": 64, "review": 4, "onward": 8}

MOVED = ring_pose(2, RingConfig())


def spec(folder, index=0, living=True, **changes):
    return replace(tiny_spec(index, folder, **SHORT), living=living, **changes)


class World:
    """Lives on threads, and the frames between them."""

    def __init__(self):
        self.transport, self.voices, self.lives, self.threads = Lossy(), {}, {}, {}

    def begin(self, wanted, life=1):
        """Have somebody born, and tell everybody of it."""
        voice = PeerProtocol(wanted.name, self.transport, incarnation=life)
        self.voices[wanted.name] = voice
        self.transport.listen(wanted.name, voice.hear)
        self.tell()
        born = self.lives[wanted.name] = AgentRunner(voice)
        self.threads[wanted.name] = threading.Thread(target=born.live, args=(lambda: wanted,), daemon=True)
        self.threads[wanted.name].start()
        return born

    def tell(self):
        lives = {name: voice.mailbox.incarnation for name, voice in self.voices.items()}
        for name, voice in self.voices.items():
            voice.meet({peer: life for peer, life in lives.items() if peer != name})

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
    return spec(folder, 1, taught_by="agent-0", teaching=lesson, **changes)


def numbers(rows, dim=2, value=0.0):
    return np.full((rows, dim), value, "<f4").tobytes()

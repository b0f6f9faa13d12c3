"""Hostile bytes for the fuzz tests: random ones, mutations of valid envelopes, and well-formed nonsense."""

import os
import random
import struct

import msgpack

from agents.protocol.envelope import HEADER_BYTES, PURPOSE, VERSION
from agents.protocol.messages import encode
from tests.support.keys import identity_of, signed
from tests.support.swarm import negotiation_messages, planted_negotiations

FRAMES = int(os.environ.get("SOCIAL_JEPA_FUZZ_FRAMES", "200000"))  # `make fuzz` sets a million
VERSIONS = (VERSION - 1, VERSION, VERSION, VERSION, VERSION + 1)
LENGTHS = (0, 1, 2, 15, 16, 31, 32, 127, 128, 255, 256, 65535, 65536, 2**31, 2**32 - 1)


class FrameSource:
    """Draws frames of all kinds for agent-1, from a seed."""

    def __init__(self, seed):
        """Keep one valid envelope of every message that agent-0 sends to agent-1."""
        self.rng = random.Random(seed)
        messages = negotiation_messages(planted_negotiations(2))
        self.messages = [message for message in messages if message.receiver == "agent-1"]
        self.valid = [signed(message, sequence=9) for message in self.messages]

    def draw(self):
        """Return one frame; the cheap kinds come more often than those that are signed anew."""
        kind = self.rng.randrange(10)
        if kind < 5:
            return self.mutation()
        if kind < 7:
            return self.rng.randbytes(self.rng.randrange(300))
        if kind < 9:
            return self.header_of_random_fields()
        return self.signed_nonsense()

    def mutation(self):
        """Return a valid envelope with a few bytes flipped, removed, doubled or moved."""
        data = bytearray(self.valid[self.rng.randrange(len(self.valid))])
        for _ in range(self.rng.randrange(1, 4)):
            place = self.rng.randrange(len(data))
            match self.rng.randrange(5):
                case 0:
                    data[place] ^= 1 << self.rng.randrange(8)
                case 1:
                    del data[place : place + self.rng.randrange(1, 40)]
                case 2:
                    data[place:place] = data[: self.rng.randrange(1, 40)]
                case 3:
                    data[place] = self.rng.choice([0, 1, 0x7F, 0x80, 0xC1, 0xDF, 0xFF])
                case 4:
                    del data[self.rng.randrange(1, len(data) + 1) :]
            data = data or bytearray(1)
        return bytes(data)

    def header_of_random_fields(self):
        """Return bytes that begin like an envelope."""
        lengths = [self.rng.choice(LENGTHS) for _ in range(3)]
        header = (
            struct.pack(">4sHBB", b"SJPA", self.rng.choice(VERSIONS), self.rng.randrange(4), 0)
            + self.rng.randbytes(48)
            + struct.pack(">BBI", lengths[0] & 255, lengths[1] & 255, lengths[2])
        )
        assert len(header) == HEADER_BYTES
        return header + self.rng.randbytes(self.rng.randrange(400))

    def signed_nonsense(self):
        """Return an envelope that agent-0 signed, with a body that is no message."""
        body = bytearray(encode(self.messages[self.rng.randrange(len(self.messages))]))
        match self.rng.randrange(4):
            case 0:
                body = self.rng.randbytes(self.rng.randrange(200))
            case 1:
                body = b"\x91" * self.rng.randrange(1, 3000)
            case 2:
                body = msgpack.packb({"type": "offer", "x": float("nan"), "dim": self.rng.randrange(2**40)})
            case 3:
                for _ in range(3):
                    body[self.rng.randrange(len(body))] = self.rng.randrange(256)
        sequence = self.rng.randrange(10, 2**40)
        if self.rng.randrange(2):
            return signed(self.messages[0], body=bytes(body), sequence=sequence)
        unsigned = self.mutation()[:-64]  # a layout of any kind under a signature that holds
        return unsigned + identity_of("agent-0").sign(PURPOSE + unsigned)

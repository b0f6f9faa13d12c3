"""What a coverage-guided fuzzer calls, and the inputs that it starts from.

The first byte of an input says whether the rest is an envelope as it arrives, or a body that agent-0 signs:
no mutation gets past a signature by chance. What comes out is a message of agent-0, or an EnvelopeRejected.
"""

import itertools

from agents.protocol.budget import Allowance, PeerLimits
from agents.protocol.channel import Channel
from agents.protocol.inspection import inspect
from agents.protocol.messages import AnyMessage, encode
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.wire import EnvelopeRejected
from tests.support.keys import known_peers, local_peer, signed
from tests.support.swarm import negotiation_messages, planted_negotiations

UNLIMITED = PeerLimits(*[Allowance(1e12, 1e12)] * 4)
ARRIVED, SIGNED = b"\0", b"\xff"  # first bytes


class Target:
    """Agent-1, which knows agent-0.

    Attributes:
        accepted: How many inputs were messages.
    """

    def __init__(self):
        """Start with a channel on which nothing has arrived."""
        messages = negotiation_messages(planted_negotiations(2))
        self._messages = [message for message in messages if message.receiver == "agent-1"]
        self._channel = Channel(MemoryTransport(), local_peer("agent-1"), UNLIMITED)
        self._channel.set_peers(known_peers({"agent-0": 1}))
        self._sequences = itertools.count(2**20)  # above those of the corpus: none is a replay
        self.accepted = 0

    def __call__(self, data):
        """Receive one input; any error but EnvelopeRejected is a finding."""
        frame = data[1:]
        if data[:1] > b"\x7f":
            frame = signed(self._messages[0], body=frame, sequence=next(self._sequences))
        try:
            message = self._channel.receive(frame)
        except EnvelopeRejected:
            return
        assert isinstance(message, AnyMessage)
        assert message.sender == "agent-0"
        inspect(frame)  # the second decoder reads what the first one does
        self.accepted += 1

    def corpus(self):
        """Return inputs of both kinds for every message."""
        arrived = [
            ARRIVED + signed(message, sequence=number) for number, message in enumerate(self._messages, 1)
        ]
        return arrived + [SIGNED + encode(message) for message in self._messages]

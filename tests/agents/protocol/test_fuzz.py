"""Any bytes are a message of a peer, or an EnvelopeRejected that is quick and leaves nothing behind."""

import resource
import time

from agents.protocol.budget import Allowance, PeerLimits
from agents.protocol.channel import Channel
from agents.protocol.inspection import InspectionError, inspect
from agents.protocol.messages import AnyMessage
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.wire import EnvelopeRejected
from tests.support.frames import FRAMES, FrameSource
from tests.support.fuzz_target import Target
from tests.support.keys import known_peers, local_peer

MAX_SECONDS = 0.05  # of CPU time for one frame
MAX_GROWTH = 16 * 2**20  # bytes, of the peak of the process
UNLIMITED = PeerLimits(*[Allowance(1e12, 1e12)] * 4)


def receiver():
    channel = Channel(MemoryTransport(), local_peer("agent-1"), UNLIMITED)
    channel.set_peers(known_peers({"agent-0": 1}))
    return channel


def test_any_frame_is_a_message_or_refused_quickly_and_leaves_nothing_behind():
    channel, source = receiver(), FrameSource(0)
    slowest = accepted = 0.0
    for number in range(FRAMES):
        data = source.draw()
        if number == FRAMES // 20:  # what the first frames allocate stays allocated
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.thread_time()
        try:
            message = channel.receive(data)
        except EnvelopeRejected:
            pass
        else:  # only what agent-0 itself has signed
            assert isinstance(message, AnyMessage)
            assert message.sender == "agent-0"
            accepted += 1
        slowest = max(slowest, time.thread_time() - began)

    growth = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert slowest < MAX_SECONDS
    assert growth < MAX_GROWTH
    assert len(channel.verifier.refusals) < 40
    assert accepted < 0.05 * FRAMES


def test_the_second_decoder_refuses_what_the_first_one_refuses():
    channel, source = receiver(), FrameSource(1)
    for _ in range(FRAMES // 4):
        data = source.draw()
        try:
            inspect(data)
        except InspectionError:
            refused = True
        else:
            refused = False
        try:
            channel.receive(data)
        except EnvelopeRejected:
            continue
        assert not refused


def test_a_coverage_guided_fuzzer_starts_from_inputs_that_are_messages():
    """`make fuzz` runs the fuzzer itself where atheris is installed."""
    target = Target()
    inputs = target.corpus()
    for data in inputs:
        target(data)
    assert target.accepted == len(inputs)

    for data in (b"", b"\0", b"\xff", inputs[0][:-1], inputs[-1][:-1], inputs[0]):  # the last one: a replay
        target(data)
    assert target.accepted == len(inputs)

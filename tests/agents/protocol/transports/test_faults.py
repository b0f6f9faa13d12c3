from collections import Counter

import pytest

from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.transports.faults import Faults, FaultsError, FaultyTransport, ThreadScheduler
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.wire import Reason
from tests.support.frames import FRAMES
from tests.support.keys import known_peers, local_peer
from tests.support.peers import planted_model
from tests.support.schedule import VirtualScheduler
from tests.support.swarm import comparable

EVERYTHING = "drop=0.3,dup=0.3,reorder=32,delay=0.5,corrupt=0.05"
MAX_ROUNDS = 60


def negotiate(count, text="", seed=0):
    """Return the protocols of agents that negotiated all edges over faulty transports, and the transports."""
    scheduler, memory = VirtualScheduler(), MemoryTransport()
    names = [f"agent-{index}" for index in range(count)]
    faulty = {name: FaultyTransport(memory, name, Faults.parse(text), seed, scheduler) for name in names}
    protocols = {name: PeerProtocol(local_peer(name), faulty[name]) for name in names}
    for name, protocol in protocols.items():
        memory.listen(name, protocol.receive)
        protocol.update_peers(known_peers({peer: 1 for peer in names if peer != name}))
    for index, protocol in enumerate(protocols.values()):
        protocol.publish(planted_model(index))
    for _ in range(MAX_ROUNDS):
        while memory.run() + scheduler.run():
            pass
        if all(protocol.settled() for protocol in protocols.values()):
            break
        for protocol in protocols.values():
            protocol.retry_stalled()
    return protocols, faulty


def graph_of(protocols):
    """Return all edges, bit for bit, but for the bytes that they took."""
    return {
        (edge.source, edge.target): comparable(edge)
        for protocol in protocols.values()
        for edge in protocol.negotiation.edges.values()
    }


@pytest.fixture(scope="module")
def fault_free():
    protocols, _ = negotiate(8)
    return graph_of(protocols)


@pytest.mark.parametrize("seed", range(2 if FRAMES < 1_000_000 else 100))
@pytest.mark.parametrize("text", ["drop=0.3,dup=0.3,reorder=32", EVERYTHING], ids=["loss", "everything"])
def test_eight_peers_reach_the_fault_free_graph_whatever_is_lost_doubled_reordered_or_damaged(
    fault_free, text, seed
):
    protocols, faulty = negotiate(8, text, seed)

    assert all(protocol.settled() for protocol in protocols.values())
    assert len(fault_free) == 56
    assert graph_of(protocols) == fault_free
    counts = sum((transport.counts for transport in faulty.values()), Counter())
    assert 0.2 < counts["dropped"] / counts["sent"] < 0.4
    refused = sum((Counter(protocol.refusals()) for protocol in protocols.values()), Counter())
    by_reason = Counter()
    for (_, reason), number in refused.items():
        by_reason[reason] += number
    assert by_reason[Reason.REPLAY] > 0.5 * counts["doubled"]
    if "corrupt" not in text:
        assert by_reason.keys() == {Reason.REPLAY}


def test_the_same_seed_gives_the_same_faults_and_another_seed_others():
    counts = [
        [transport.counts for transport in negotiate(3, EVERYTHING, seed)[1].values()] for seed in (1, 1, 2)
    ]
    assert counts[0] == counts[1] != counts[2]


def test_a_partition_leaves_the_edges_across_it_unsettled_and_the_others_alone():
    protocols, _ = negotiate(4, "partition=agent-0+agent-1|agent-2+agent-3")
    whole = graph_of(negotiate(4)[0])

    assert not any(protocol.settled() for protocol in protocols.values())
    assert graph_of(protocols) == {
        pair: whole[pair]
        for pair in [
            ("agent-0", "agent-1"),
            ("agent-1", "agent-0"),
            ("agent-2", "agent-3"),
            ("agent-3", "agent-2"),
        ]
    }


def test_no_envelope_is_overtaken_by_more_than_the_window():
    memory, scheduler, arrived = MemoryTransport(), VirtualScheduler(), []
    memory.listen("b", lambda data: arrived.append(int(data)))
    transport = FaultyTransport(memory, "a", Faults(reorder=5), 3, scheduler)
    for number in range(200):
        transport.send("b", str(number).encode())
    scheduler.run()
    memory.run()

    assert sorted(arrived) == list(range(200))
    assert arrived != sorted(arrived)
    for place, number in enumerate(arrived):
        assert sum(later > number for later in arrived[:place]) <= 5


def test_a_delayed_envelope_is_sent_by_the_thread_in_real_time():
    memory, arrived = MemoryTransport(), []
    memory.listen("b", arrived.append)
    transport = FaultyTransport(memory, "a", Faults(delay=0.01), 0, ThreadScheduler())
    for number in range(20):
        transport.send("b", b"%d" % number)
    while len(arrived) < 20:
        memory.run()
    assert sorted(arrived) == sorted(b"%d" % number for number in range(20))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("dorp=0.3", "'dorp=0.3' is unknown: choose from drop, dup"), ("drop", "should be a number"),
        ("drop=30", "out of range"), ("drop=-1", "out of range"), ("drop=nan", "out of range"),
        ("reorder=1.5", "should be a number"), ("partition=a", "should name two groups"),
        ("partition=a|", "should name two groups"),
    ],
)  # fmt: skip
def test_a_text_that_describes_no_faults_is_refused(text, sentence):
    with pytest.raises(FaultsError, match=sentence):
        Faults.parse(text)


def test_no_text_means_no_faults():
    assert Faults.parse("") == Faults()

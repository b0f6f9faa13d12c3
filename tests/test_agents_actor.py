import re
import time

import pytest
from agents_swarm import figures, negotiate, offer, tiny_spec

from agents.agent import Agent
from agents.messages import Call, encode
from agents.wire import Frame, pack

pytestmark = pytest.mark.ray

CALL = Call(source="agent-0", target="agent-1", round=7, anchors=8, heldout=8, nonce=0)
GARBAGE = {  # what agent-0 is told, and how it refuses it
    b"": "shorter than a header",
    b"GET / HTTP/1.1" + bytes(200): "not a Social-JEPA frame",
    pack(Frame(b"\xc1")): "not a message",
    pack(Frame(encode(offer()))): "agent-0 is nobody that agent-0 has met",
    pack(Frame(encode(offer(source="stranger", target="agent-0", scene="e15e")))): "stranger is nobody",
    pack(Frame(encode(CALL))): "was not made",
}


def settled(ray, actors, peers=1):
    """What the actors know once nobody has more to say."""
    for _ in range(500):
        found = ray.get([actor.settled.remote(peers) for actor in actors])
        if None not in found:
            return found
        time.sleep(0.02)
    raise AssertionError("the actors did not settle")


@pytest.fixture(scope="module")
def talk(ray_local, tmp_path_factory):
    """Two actors that trained, heard garbage, and negotiated; what they told on the way."""
    import ray

    from agents.actor import AgentActor

    folder = tmp_path_factory.mktemp("actors")
    actors = [AgentActor.options(num_cpus=0).remote(tiny_spec(index, folder)) for index in range(2)]
    told = {"before": ray.get(actors[0].progress.remote())}
    told["places"] = ray.get([actor.start.remote() for actor in actors])
    told["trained"] = ray.get([actor.train.remote() for actor in actors])
    told["memories"] = ray.get([actor.settle.remote() for actor in actors])
    names = ["agent-0", "agent-1"]
    with pytest.raises(RuntimeError, match="call settle and meet first"):
        ray.get(actors[0].negotiate.remote(names[1:]))
    ray.get([a.meet.remote({n: h for n, h in zip(names, actors, strict=True) if h is not a}) for a in actors])
    for frame in GARBAGE:
        ray.get(actors[0].deliver.remote(frame))
    told["early"] = ray.get(actors[0].settled.remote(1))
    ray.get([actors[index].negotiate.remote([names[1 - index]]) for index in range(2)])
    told["settled"] = settled(ray, actors)
    told["progress"] = ray.get(actors[0].progress.remote())
    yield told
    for actor in actors:
        ray.kill(actor)


def test_actors_negotiate_the_edges_that_agents_of_one_process_would(talk, tmp_path):
    agents = [Agent(tiny_spec(index, tmp_path)) for index in range(2)]
    for agent in agents:
        agent.train()
        agent.settle()
    boxes = negotiate({agent.spec.name: agent.negotiation for agent in agents})

    for agent, far in zip(agents, talk["settled"], strict=True):
        near = agent.negotiation.edges
        assert {peer: figures(edge) for peer, edge in far.edges.items()} == {
            peer: figures(edge) for peer, edge in near.items()
        }
        assert far.sent == boxes[agent.spec.name].sent
        assert sorted(far.log) == sorted(boxes[agent.spec.name].log)


def test_an_actor_tells_where_it_is_and_how_it_is_doing(talk):
    assert talk["before"] is None
    assert [device for _, device in talk["places"]] == ["cpu", "cpu"]
    assert talk["trained"] == [True, True]
    assert [memory.card.name for memory in talk["memories"]] == ["agent-0", "agent-1"]
    assert (talk["progress"].phase, talk["progress"].step) == ("ready", 40)


def test_what_cannot_be_read_is_refused_and_remembered_and_harms_nothing(talk):
    refused = talk["settled"][0].refused
    assert len(refused) == len(GARBAGE)
    for sentence, wanted in zip(refused, GARBAGE.values(), strict=True):
        assert re.search(wanted, sentence)
    assert talk["settled"][1].refused == []


def test_a_stranger_counts_neither_as_an_edge_nor_as_a_peer(talk):
    assert talk["early"] is None
    assert set(talk["settled"][0].edges) == {"agent-1"}


def test_an_actor_stops_when_asked_and_goes_on_where_it_was(talk, ray_local, tmp_path):
    import ray

    from agents.actor import AgentActor

    first = AgentActor.options(num_cpus=0).remote(tiny_spec(0, tmp_path, steps=100_000))
    ray.get(first.start.remote())
    training = first.train.remote()
    while (ray.get(first.progress.remote()).step or 0) < 2:  # it answers while it trains
        time.sleep(0.02)
    ray.get(first.stop.remote())
    assert ray.get(training, timeout=20) is False
    step = ray.get(first.progress.remote()).step
    ray.kill(first)

    second = Agent(tiny_spec(0, tmp_path, steps=100_000))
    second.load()
    assert second.trainer.step == step >= 2

import asyncio
import re
import time

import pytest

from agents.agent import Agent
from agents.protocol.messages import AnchorRequest, encode
from agents.protocol.wire import Envelope, pack
from tests.support.swarm import figures, gather, offer, publish, tiny_spec

pytestmark = pytest.mark.ray

CALL = AnchorRequest(source="agent-0", target="agent-1", round=7, anchors=8, heldout=8, nonce=0)
GARBAGE = {  # what agent-0 is told, and how it refuses it
    b"": "shorter than a header",
    b"GET / HTTP/1.1" + bytes(200): "not a Social-JEPA frame",
    pack(Envelope(b"\xc1")): "not a message",
    pack(Envelope(encode(offer()))): "agent-0 is nobody that agent-0 has met",
    pack(Envelope(encode(offer(source="stranger", target="agent-0", scene="e15e")))): "stranger is nobody",
    pack(Envelope(encode(CALL), incarnation=1)): "was not made",
    pack(Envelope(encode(CALL), incarnation=0)): "agent-1 speaks from a former life",
}


def make_registry(ray, folder, **training):
    """The least registry: it counts lives and tells who is there once it knows."""
    from agents.actor import PeerList

    specs = {f"agent-{index}": tiny_spec(index, folder, **training) for index in range(2)}

    class Registry:
        def __init__(self):
            self.lives, self.handles, self.number = dict.fromkeys(specs, 0), {}, 0

        def roll(self):
            present = {name: self.lives[name] for name in self.handles}
            self.number += 1
            return PeerList(self.number, self.handles, present, specs["agent-0"].events)

        async def register(self, name):
            self.lives[name] += 1
            return specs[name], self.lives[name], self.roll()

        async def introduce(self, handles):
            while 0 in self.lives.values():
                await asyncio.sleep(0.02)
            self.handles = handles
            for handle in handles.values():
                handle.meet.remote(self.roll())

    return ray.remote(num_cpus=0)(Registry).remote()


def start(registry, name, **options):
    from agents.actor import AgentActor

    return AgentActor.options(num_cpus=0, **options).remote(name, registry)


def reports(ray, actors, ready):
    """What the actors report once all of them are as they should be."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = ray.get([actor.report.remote(0, 0, "") for actor in actors])
        if all(report is not None and report.progress is not None and ready(report) for report in found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the actors did not come so far: {found}")


@pytest.fixture(scope="module")
def talk(ray_local, tmp_path_factory):
    """Two actors that enlisted, learned and negotiated, and then heard garbage; what they told on the way."""
    import ray

    registry = make_registry(ray, tmp_path_factory.mktemp("actors"))
    actors = {name: start(registry, name) for name in ("agent-0", "agent-1")}
    ray.get(registry.introduce.remote(actors))
    told = {"settled": reports(ray, actors.values(), lambda report: report.settled)}
    for frame in GARBAGE:
        ray.get(actors["agent-0"].deliver.remote(frame))
    told["after"] = ray.get([actor.report.remote(0, 0, "") for actor in actors.values()])
    told["known"] = ray.get(actors["agent-0"].report.remote(0, 0, told["after"][0].checkpoint))
    told["codes"] = ray.get(actors["agent-0"].encode_core.remote([0, 8]))
    yield told
    for actor in (*actors.values(), registry):
        ray.kill(actor)


def test_actors_negotiate_the_edges_that_agents_of_one_process_would(talk, tmp_path):
    agents = {f"agent-{index}": Agent(tiny_spec(index, tmp_path)) for index in range(2)}
    for agent in agents.values():
        agent.train()
        agent.publish()
    protocols, transport = gather(agents)
    publish(protocols, {name: agent.negotiation for name, agent in agents.items()})
    transport.run()

    for protocol, far in zip(protocols.values(), talk["settled"], strict=True):
        near = protocol.events(1, 0)
        assert [figures(edge) for edge in far.news.edges] == [figures(edge) for edge in near.edges]
        said = [entry for entry in far.news.posted if entry.type != "Hello"]  # who was there first hears more
        assert sorted(said) == sorted(entry for entry in near.sent if entry.type != "Hello")


def test_an_actor_tells_where_it_is_and_how_it_is_doing(talk):
    for index, report in enumerate(talk["settled"]):
        assert report.progress.name == report.snapshot.peer_info.name == f"agent-{index}"
        assert (report.progress.phase, report.progress.step, report.device) == ("ready", 40, "cpu")
        assert report.checkpoint == report.snapshot.peer_info.checkpoint
        assert (report.failure, report.news.incarnation) == ("", 1)
    assert len({report.pid for report in talk["settled"]}) == 2


def test_a_memory_is_told_only_to_who_does_not_know_that_version(talk):
    assert talk["known"].snapshot is None
    assert talk["after"][0].snapshot is not None


def test_an_actor_speaks_with_the_model_that_it_published(talk):
    heldout = talk["settled"][0].snapshot.pools.heldout
    rows = [heldout.ids.index(tick) for tick in (0, 8)]

    assert talk["codes"] == pytest.approx(heldout.core()[rows].numpy())


def test_what_cannot_be_read_is_refused_and_remembered_and_harms_nothing(talk):
    refused = talk["after"][0].news.refused
    assert len(refused) == len(GARBAGE)
    for sentence, wanted in zip(refused, GARBAGE.values(), strict=True):
        assert re.search(wanted, sentence)
    assert talk["after"][1].news.refused == ()
    assert talk["after"][0].settled
    assert {edge.source for edge in talk["after"][0].news.edges} == {"agent-1"}


def test_an_actor_stops_when_asked_and_goes_on_where_it_was(ray_local, tmp_path):
    import ray

    registry = make_registry(ray, tmp_path, steps=100_000)
    first = start(registry, "agent-0")
    reports(ray, [first], lambda report: report.progress.step >= 2)  # it answers while it trains
    ray.get(first.stop.remote(), timeout=20)
    (report,) = ray.get([first.report.remote(0, 0, "")])
    for actor in (first, registry):
        ray.kill(actor)

    second = Agent(tiny_spec(0, tmp_path, steps=100_000))
    second.load()
    assert report.progress.phase == "stopped"
    assert second.trainer.step == report.progress.step >= 2


def test_what_cannot_be_born_or_dies_of_itself_says_why(ray_local, tmp_path):
    import ray

    registry = make_registry(ray, tmp_path, learning_rate=1e30)
    blown, unknown = start(registry, "agent-0"), start(registry, "agent-7")
    (report,) = reports(ray, [blown], lambda report: report.failure)

    assert "try a lower training.learning_rate" in report.failure
    with pytest.raises(RuntimeError, match=r"try a lower training\.learning_rate"):
        ray.get(blown.encode_core.remote([0]))
    with pytest.raises(ray.exceptions.RayTaskError, match="agent-7"):
        reports(ray, [unknown], lambda report: False)
    for actor in (blown, unknown, registry):
        ray.kill(actor)

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from agents.protocol.messages import AnchorReply, AnchorRequest, Offer, Verdict
from agents.protocol.settings import NegotiationConfig
from alignment.status import Status
from tests.support.swarm import (
    CONFIG,
    CORE,
    DIM,
    FIT,
    HELD,
    agent,
    figures,
    negotiate,
    offer,
    overheard,
    swarm,
    vectors,
)


def settled(agents):
    """All edges of a swarm, by pair, in a form that == compares bit for bit."""
    return {
        (source, name): figures(edge)
        for name, side in agents.items()
        for source, edge in sorted(side.edges.items())
    }


def agreed(source=0, target=1, call=None):
    """(offer, call, ticks to fit, ticks to score) of one edge."""
    here, there = agent(source), agent(target)
    said = here.make_offers([f"agent-{target}"])[0]
    asked = there.receive(said)[0]
    return said, asked, *there.pools.choose(said, asked)


@pytest.mark.parametrize("count", [2, 4])
def test_a_swarm_ends_with_all_edges_and_both_ends_know(count):
    agents = swarm(count)
    negotiate(agents)

    for name, side in agents.items():
        peers = set(agents) - {name}
        assert set(side.edges) == set(side.verdicts) == peers
        for peer in peers:
            edge, heard = side.edges[peer], agents[peer].verdicts[name]
            assert (edge.source, edge.target, edge.status) == (peer, name, Status.ACCEPTED)
            assert (heard.status, heard.reason) == (edge.status, edge.reason)
            assert (heard.r2_core, heard.null_r2) == (edge.score.r2_core, edge.score.null_r2)
            assert edge.score.r2_core > 0.95 > 0.2 > edge.score.null_r2
            assert (edge.anchors, edge.heldout, edge.core_dims) == (16, 32, (CORE, CORE))
            assert (edge.source_checkpoint, edge.target_checkpoint) == (f"c0de{peer[-1]}", f"c0de{name[-1]}")


def test_a_negotiated_map_is_the_map_fitted_directly_from_both_anchor_sets():
    """The reference knows both spaces at once, which no agent does, and uses other solvers."""
    agents = swarm(2)
    negotiate(agents)
    edge = agents["agent-1"].edges["agent-0"]
    _, _, fit, held = agreed()
    (x, y), (x_held, y_held) = (
        (vectors(0, ticks).double().numpy(), vectors(1, ticks).double().numpy()) for ticks in (fit, held)
    )
    xc, yc = x - x.mean(0), y - y.mean(0)
    penalty = np.sqrt(CONFIG.ridge * (xc**2).mean()) * np.eye(DIM)
    ridge = np.linalg.lstsq(np.vstack([xc, penalty]), np.vstack([yc, 0 * penalty]))[0]
    turn, _ = orthogonal_procrustes(x[:, :CORE], y[:, :CORE])
    error = x_held[:, :CORE] @ turn - y_held[:, :CORE]
    spread = y_held[:, :CORE] - y_held[:, :CORE].mean(0)

    np.testing.assert_allclose(edge.map.weight, ridge, atol=1e-9)
    np.testing.assert_allclose(edge.map.bias, y.mean(0) - x.mean(0) @ ridge, atol=1e-9)
    np.testing.assert_allclose(edge.core_map.weight, turn, atol=1e-9)
    assert edge.score.r2_core == pytest.approx(1 - (error**2).sum() / (spread**2).sum())


def test_maps_are_fitted_and_scored_on_ticks_of_different_stretches():
    _, call, fit, held = agreed()

    assert set(fit) < set(FIT)
    assert set(held) < set(HELD)
    assert (len(fit), len(held)) == (call.anchors, call.heldout) == (16, 32)


@pytest.mark.parametrize("whose", ["offer", "call"])
def test_neither_nonce_alone_decides_the_ticks(whose):
    said, asked, *ticks = agreed()
    pools = agent(1).pools
    sets = {tuple(map(tuple, ticks))}
    for nonce in range(20):
        changed = {"offer": said, "call": asked}
        changed[whose] = type(changed[whose])(**{**_fields(changed[whose]), "nonce": nonce})
        sets.add(pools.choose(changed["offer"], changed["call"]))

    assert len(sets) == 21


def test_a_second_offer_meets_another_nonce_so_that_nobody_picks_the_ticks():
    """A source that heard one call could otherwise search for the nonce that gives it the ticks it likes."""
    target = agent(1)
    nonces = {target.receive(offer(nonce=nonce))[0].nonce for nonce in range(20)}

    assert len(nonces) == 20


def test_what_an_agent_offers_a_peer_does_not_tell_what_it_will_call_for():
    both = agent(1)
    (own,) = both.make_offers(["agent-0"])
    (call,) = both.receive(offer())

    assert own.nonce != call.nonce


def test_nonces_differ_between_agents_peers_and_rounds():
    offers = [
        said for index in range(3) for number in range(3)
        for said in agent(index).make_offers(["agent-7", "agent-8", "agent-9"], number)
    ]  # fmt: skip
    assert len({said.nonce for said in offers}) == len(offers) == 27


def test_equal_seeds_give_equal_edges_bit_for_bit():
    first, second = swarm(3), swarm(3)
    for agents in (first, second):
        negotiate(agents)
    assert settled(first) == settled(second)


@pytest.mark.parametrize("seed", range(4))
def test_neither_order_nor_repetition_of_delivery_changes_an_edge(seed):
    plain, disturbed = swarm(3), swarm(3)
    negotiate(plain)
    rng = np.random.default_rng(seed)
    bag = [message for name in disturbed for message in disturbed[name].make_offers(set(disturbed) - {name})]
    delivered = 0
    while bag:
        message = bag[rng.integers(len(bag))]
        if delivered > 60 or rng.random() < 0.6:  # the others stay and are heard once more
            bag.remove(message)
        bag += disturbed[message.receiver].receive(message)
        delivered += 1

    assert delivered > 30
    assert settled(disturbed) == settled(plain)
    assert all(disturbed[name].verdicts == plain[name].verdicts for name in plain)


def test_whoever_opens_first_or_joins_later_finds_the_same_edges():
    together, one_by_one = swarm(3), swarm(3)
    negotiate(together)
    bag = []
    for name in reversed(one_by_one):
        bag += one_by_one[name].make_offers(
            peer for peer in one_by_one if peer != name
        )  # an iterator will do
        while bag:
            message = bag.pop()
            bag += one_by_one[message.receiver].receive(message)

    assert settled(one_by_one) == settled(together)


def test_a_later_round_replaces_an_earlier_one():
    first, second = agent(0), agent(1)
    for number in (0, 3):
        bag = first.make_offers(["agent-1"], number)
        while bag:
            message = bag.pop()
            bag += (first if message.receiver == "agent-0" else second).receive(message)
        assert second.edges["agent-0"].round == first.verdicts["agent-1"].round == number


def test_hearing_anchors_again_costs_no_second_fit_and_better_ones_come_too_late():
    source, target = agent(0), agent(1)
    (call,) = target.receive(source.make_offers(["agent-1"])[0])
    (anchors,) = source.receive(call)
    poor = AnchorReply(**{**_fields(anchors), "data": anchors.vectors()[::-1].tobytes()})
    (verdict,) = target.receive(poor)
    edge = target.edges["agent-0"]

    assert verdict.status is Status.REFUSED
    assert target.receive(anchors) == target.receive(poor) == [verdict]
    assert target.edges["agent-0"] is edge


def test_the_conversation_of_an_edge_is_offer_call_anchors_verdict():
    heard = overheard(swarm(3))
    for edge in {message.edge for message in heard}:
        kinds = [type(message) for message in heard if message.edge == edge]
        assert kinds == [Offer, AnchorRequest, AnchorReply, Verdict]
    assert len(heard) == 4 * 6


def test_the_budget_shows_what_fewer_pairs_would_have_given():
    agents = swarm(2)
    negotiate(agents)
    edge = agents["agent-1"].edges["agent-0"]
    curve = {(row["method"], row["pairs"]): row["r2"] for row in edge.budget}

    assert {pairs for _, pairs in curve} == {2, 4, 8, 16}
    assert curve["procrustes", 16] == edge.score.r2_core
    assert curve["procrustes", 2] < 0.9 < curve["procrustes", 8]


@pytest.mark.parametrize("anchors", [4, 5, 48])
def test_any_number_of_anchors_that_the_settings_allow_settles_an_edge(anchors):
    config = NegotiationConfig(anchors=anchors, heldout=48, pool_ticks=48, ridge=1e-9)
    agents = {f"agent-{index}": agent(index, config) for index in range(2)}
    negotiate(agents)

    assert agents["agent-1"].edges["agent-0"].anchors == anchors
    assert torch.isfinite(agents["agent-1"].edges["agent-0"].map.weight).all()


def test_what_is_shown_of_a_tick_is_what_the_pool_holds():
    source = agent(0)
    (call,) = agent(1).receive(source.make_offers(["agent-1"])[0])
    (anchors,) = source.receive(call)
    fit, held = source.pools.choose(source.make_offers(["agent-1"])[0], call)

    assert (anchors.vectors() == np.concatenate([vectors(0, fit), vectors(0, held)])).all()
    assert replace(source.peer_info, name="x") == replace(agent(0).peer_info, name="x")


def _fields(message):
    return {name: getattr(message, name) for name in message.__struct_fields__}

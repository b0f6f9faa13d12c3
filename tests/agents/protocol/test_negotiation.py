from dataclasses import replace

import msgspec
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
    HELDOUT,
    comparable,
    example_offer,
    negotiate_all,
    negotiation_messages,
    planted_embeddings,
    planted_negotiation,
    planted_negotiations,
)


def comparable_edges(agents):
    """Return all edges by ordered pair, in a form that == compares bit for bit."""
    return {
        (source, name): comparable(edge)
        for name, negotiation in agents.items()
        for source, edge in sorted(negotiation.edges.items())
    }


def chosen_ticks():
    """Return (offer, request, ticks to fit on, ticks to score on) of the edge agent-0 -> agent-1."""
    source, target = planted_negotiation(0), planted_negotiation(1)
    offer = source.make_offers(["agent-1"])[0]
    request = target.receive(offer)[0]
    return offer, request, *target.pools.choose(request)


@pytest.mark.parametrize("count", [2, 4])
def test_every_ordered_pair_is_settled_at_both_ends(count):
    agents = planted_negotiations(count)
    negotiate_all(agents)

    for name, negotiation in agents.items():
        peers = set(agents) - {name}
        assert set(negotiation.edges) == set(negotiation.verdicts) == peers
        for peer in peers:
            edge, verdict = negotiation.edges[peer], agents[peer].verdicts[name]
            assert (edge.source, edge.target, edge.status) == (peer, name, Status.ACCEPTED)
            assert (verdict.status, verdict.reason) == (edge.status, edge.reason)
            for name_of_score in ("shared_dim", "r2_shared", "null_correlation"):
                assert getattr(verdict, name_of_score) == getattr(edge.score, name_of_score)
            assert edge.score.shared_dim == CORE
            assert edge.score.r2_shared > 0.95 > 0.7 > edge.score.null_correlation
            assert (edge.anchors, edge.heldout, edge.core_dims) == (16, 32, (CORE, CORE))
            assert (edge.source_checkpoint, edge.target_checkpoint) == (f"c0de{peer[-1]}", f"c0de{name[-1]}")


def test_a_negotiated_map_equals_one_fitted_directly_from_both_anchor_sets():
    """The reference reads both spaces at once, which no agent can, and uses other solvers."""
    agents = planted_negotiations(2)
    negotiate_all(agents)
    edge = agents["agent-1"].edges["agent-0"]
    _, _, fit, heldout = chosen_ticks()
    (x, y), (x_heldout, y_heldout) = (
        tuple(planted_embeddings(index, ticks).double().numpy() for index in (0, 1))
        for ticks in (fit, heldout)
    )
    xc, yc = x - x.mean(0), y - y.mean(0)
    penalty = np.sqrt(CONFIG.ridge * (xc**2).mean()) * np.eye(DIM)
    ridge = np.linalg.lstsq(np.vstack([xc, penalty]), np.vstack([yc, 0 * penalty]))[0]
    rotation, _ = orthogonal_procrustes(x[:, :CORE], y[:, :CORE])
    error = x_heldout[:, :CORE] @ rotation - y_heldout[:, :CORE]
    centered = y_heldout[:, :CORE] - y_heldout[:, :CORE].mean(0)

    np.testing.assert_allclose(edge.map.weight, ridge, atol=1e-9)
    np.testing.assert_allclose(edge.map.bias, y.mean(0) - x.mean(0) @ ridge, atol=1e-9)
    np.testing.assert_allclose(edge.shared_map.weight, rotation, atol=1e-9)
    assert edge.score.r2_shared == pytest.approx(1 - (error**2).sum() / (centered**2).sum())


def test_maps_are_fitted_and_scored_on_ticks_of_different_stretches():
    _, request, fit, heldout = chosen_ticks()

    assert set(fit) < set(FIT)
    assert set(heldout) < set(HELDOUT)
    assert (len(fit), len(heldout)) == (request.anchors, request.heldout) == (16, 32)


@pytest.mark.parametrize("which", ["offer_nonce", "nonce"])
def test_the_ticks_depend_on_both_nonces(which):
    offer, request, *ticks = chosen_ticks()
    pools = planted_negotiation(1).pools
    choices = {tuple(map(tuple, ticks))}
    for nonce in range(20):
        choices.add(pools.choose(msgspec.structs.replace(request, **{which: nonce})))

    assert request.offer_nonce == offer.nonce
    assert len(choices) == 21


def test_the_nonce_of_a_request_depends_on_that_of_the_offer():
    """A source that saw one request could otherwise search for the nonce that chooses the ticks it wants."""
    requests = [planted_negotiation(1).receive(example_offer(nonce=nonce))[0] for nonce in range(20)]

    assert len({request.nonce for request in requests}) == 20


def test_a_source_that_offers_a_model_again_gets_no_other_ticks_by_another_nonce():
    """Otherwise it could look at the ticks of many nonces before it replies to those that suit it."""
    source, target = planted_negotiation(0), planted_negotiation(1)
    (first,) = target.receive(source.make_offers(["agent-1"])[0])
    for number in range(1, 20):
        offer = source.make_offers(["agent-1"], number)[0]
        (request,) = target.receive(msgspec.structs.replace(offer, nonce=number))
        assert request == msgspec.structs.replace(first, round=number)
    (anchors,) = source.receive(request)
    (verdict,) = target.receive(anchors)

    assert (verdict.round, verdict.status) == (19, Status.ACCEPTED)
    expected = planted_negotiation(1)
    settle(planted_negotiation(0), expected, 0)
    found = target.edges["agent-0"]
    assert found.round == anchors.round == 19
    assert comparable(replace(found, round=0)) == comparable(expected.edges["agent-0"])


def test_the_nonce_of_an_offer_does_not_reveal_that_of_a_request():
    negotiation = planted_negotiation(1)
    (offer,) = negotiation.make_offers(["agent-0"])
    (request,) = negotiation.receive(example_offer())

    assert offer.nonce != request.nonce


def test_nonces_differ_between_agents_peers_and_rounds():
    offers = [
        offer for index in range(3) for number in range(3)
        for offer in planted_negotiation(index).make_offers(["agent-7", "agent-8", "agent-9"], number)
    ]  # fmt: skip
    assert len({offer.nonce for offer in offers}) == len(offers) == 27


def test_a_model_has_one_nonce_for_a_peer_and_one_edge_whatever_was_forgotten_in_between():
    """A peer list may lose a peer and take it up again at either end, at any time."""
    source, target = planted_negotiation(0), planted_negotiation(1)
    settle(source, target, 0)
    edge = target.edges["agent-0"]
    source.forget("agent-1")
    target.forget("agent-0")
    settle(source, target, 3)

    assert target.edges["agent-0"].round == 3
    assert comparable(replace(target.edges["agent-0"], round=0)) == comparable(edge)


def test_equal_seeds_give_equal_edges_bit_for_bit():
    first, second = planted_negotiations(3), planted_negotiations(3)
    for agents in (first, second):
        negotiate_all(agents)
    assert comparable_edges(first) == comparable_edges(second)


@pytest.mark.parametrize("seed", range(4))
def test_receiving_messages_in_another_order_or_twice_changes_no_edge(seed):
    ordered, shuffled = planted_negotiations(3), planted_negotiations(3)
    negotiate_all(ordered)
    rng = np.random.default_rng(seed)
    pending = [message for name in shuffled for message in shuffled[name].make_offers(set(shuffled) - {name})]
    delivered = 0
    while pending:
        message = pending[rng.integers(len(pending))]
        if delivered > 60 or rng.random() < 0.6:  # the others stay and are delivered again
            pending.remove(message)
        pending += shuffled[message.receiver].receive(message)
        delivered += 1

    assert delivered > 30
    assert comparable_edges(shuffled) == comparable_edges(ordered)
    assert all(shuffled[name].verdicts == ordered[name].verdicts for name in ordered)


def test_the_order_in_which_agents_offer_changes_no_edge():
    together, one_by_one = planted_negotiations(3), planted_negotiations(3)
    negotiate_all(together)
    pending = []
    for name in reversed(one_by_one):
        pending += one_by_one[name].make_offers(peer for peer in one_by_one if peer != name)
        while pending:
            message = pending.pop()
            pending += one_by_one[message.receiver].receive(message)

    assert comparable_edges(one_by_one) == comparable_edges(together)


def settle(source, target, number):
    """Negotiate the edge agent-0 -> agent-1 in a round of this number."""
    pending = source.make_offers(["agent-1"], number)
    while pending:
        message = pending.pop()
        pending += (source if message.receiver == "agent-0" else target).receive(message)


def test_a_later_round_replaces_the_edge_of_an_earlier_model():
    target = planted_negotiation(1)
    for number, checkpoint in ((0, "c0de0"), (3, "c0de9")):
        source = planted_negotiation(0, checkpoint=checkpoint)
        settle(source, target, number)
        edge = target.edges["agent-0"]
        assert edge.round == source.verdicts["agent-1"].round == number
        assert edge.source_checkpoint == checkpoint


@pytest.mark.parametrize("changes", [{}, {"scene": "e15e"}], ids=["accepted", "refused"])
def test_the_same_model_in_a_later_round_gets_the_verdict_that_it_has(changes):
    """Otherwise a source could offer again until ticks are drawn that suit it, and one edge had two maps."""
    source, target = planted_negotiation(0, **changes), planted_negotiation(1)
    settle(source, target, 0)
    edge, verdict = target.edges["agent-0"], source.verdicts["agent-1"]
    settle(source, target, 4)

    assert target.edges["agent-0"] is edge
    assert source.verdicts["agent-1"] == msgspec.structs.replace(verdict, round=4)


def test_only_the_first_anchor_reply_of_a_round_is_fitted():
    source, target = planted_negotiation(0), planted_negotiation(1)
    (request,) = target.receive(source.make_offers(["agent-1"])[0])
    (anchors,) = source.receive(request)
    poor = msgspec.structs.replace(anchors, data=anchors.embeddings()[::-1].tobytes())
    (verdict,) = target.receive(poor)
    edge = target.edges["agent-0"]

    assert verdict.status is Status.REFUSED
    assert target.receive(anchors) == target.receive(poor) == [verdict]
    assert target.edges["agent-0"] is edge


def test_an_edge_takes_an_offer_an_anchor_request_an_anchor_reply_and_a_verdict():
    messages = negotiation_messages(planted_negotiations(3))
    for edge in {message.edge for message in messages}:
        types = [type(message) for message in messages if message.edge == edge]
        assert types == [Offer, AnchorRequest, AnchorReply, Verdict]
    assert len(messages) == 4 * 6


def test_the_budget_curve_holds_the_r2_of_fewer_anchors():
    agents = planted_negotiations(2)
    negotiate_all(agents)
    edge = agents["agent-1"].edges["agent-0"]
    curve = {(row["method"], row["pairs"]): row["r2"] for row in edge.budget}

    assert {pairs for _, pairs in curve} == {2, 4, 8, 16}
    assert curve["procrustes", 16] == edge.score.r2_shared
    assert curve["procrustes", 8] > 0.9
    assert curve["ridge", 2] < curve["ridge", 8] < curve["ridge", 16]


def test_the_budget_curve_is_measured_at_the_budgets_that_the_settings_name():
    def edge_of(budgets):
        config = replace(planted_negotiation(0).config, budgets=budgets)
        agents = {f"agent-{index}": planted_negotiation(index, config) for index in range(2)}
        negotiate_all(agents)
        return agents["agent-1"].edges["agent-0"]

    some, none = edge_of((16, 4, 4, 512)), edge_of(())

    assert {row["pairs"] for row in some.budget} == {4, 16}
    assert none.budget == ()
    assert (none.score, none.status) == (some.score, some.status)


@pytest.mark.parametrize("anchors", [4, 5, 48])
def test_every_valid_number_of_anchors_settles_an_edge(anchors):
    config = NegotiationConfig(anchors=anchors, heldout=48, pool_ticks=48, ridge=1e-9)
    agents = {f"agent-{index}": planted_negotiation(index, config) for index in range(2)}
    negotiate_all(agents)

    assert agents["agent-1"].edges["agent-0"].anchors == anchors
    assert torch.isfinite(agents["agent-1"].edges["agent-0"].map.weight).all()


def test_an_anchor_reply_holds_the_embeddings_of_the_pools():
    source = planted_negotiation(0)
    (request,) = planted_negotiation(1).receive(source.make_offers(["agent-1"])[0])
    (anchors,) = source.receive(request)
    fit, heldout = source.pools.choose(request)

    expected = np.concatenate([planted_embeddings(0, ticks) for ticks in (fit, heldout)])
    assert (anchors.embeddings() == expected).all()
    assert replace(source.peer_info, name="x") == replace(planted_negotiation(0).peer_info, name="x")


def test_an_edge_whose_anchors_leave_a_direction_undetermined_says_so():
    flat, target = planted_negotiation(0), planted_negotiation(1)
    for pool in (flat.pools.anchors, flat.pools.heldout):
        pool.vectors[:, CORE - 1] = 0
    negotiate_all({"agent-0": flat, "agent-1": target})

    for edge in (target.edges["agent-0"], flat.edges["agent-1"]):
        assert (edge.score.shared_dim, edge.shared_map.rank) == (2, 2)
    edge = target.edges["agent-0"]
    assert edge.status is Status.ACCEPTED
    assert edge.reason == (
        "2 directions are shared, private are 1 of 3 of agent-0, 1 of 3 of agent-1; "
        "the anchors leave 1 direction of the cores undetermined: raise negotiation.anchors"
    )


def test_an_edge_of_enough_anchors_leaves_nothing_undetermined():
    agents = planted_negotiations(2)
    negotiate_all(agents)
    edge = agents["agent-1"].edges["agent-0"]

    assert edge.status is Status.ACCEPTED
    assert (edge.shared_map.undetermined, edge.map.undetermined, edge.reason) == (0, 0, "")

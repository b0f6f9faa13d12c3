"""What an agent lets its peers have of its embeddings: never more than its own settings say."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from agents.protocol.evidence import FORMAT, Evidence, EvidenceError, SignedReply, check
from agents.protocol.privacy import add_noise, coarser, in_precision, noise_key, protect, stated_noise
from agents.protocol.settings import NegotiationConfig
from agents.protocol.wire import MessageError
from alignment.status import Status
from tests.support.keys import identity_of, signed
from tests.support.swarm import CONFIG, CORE, DIM, negotiate_all, planted_negotiation

KEY = noise_key(identity_of("agent-0"))
ROWS = torch.zeros(4000, 5)
TICKS = range(7, 4007)


def noisy(index, noise, **changes):
    """Return the negotiations of a planted agent that adds noise to what it sends."""
    found = planted_negotiation(index, replace(CONFIG, noise=noise, **changes))
    found.noise_key = noise_key(identity_of(f"agent-{index}"))
    return found


def test_noise_is_standard_normal_independent_of_tick_and_dimension():
    drawn = add_noise(ROWS, TICKS, "c0de", 2.0, KEY).double() / 2

    assert torch.cov(drawn.T) == pytest.approx(np.eye(5), abs=0.07)
    assert drawn.mean(0).abs().max() < 0.07
    assert (drawn.abs() > 1.96).double().mean() == pytest.approx(0.05, abs=0.008)
    assert torch.corrcoef(torch.cat([drawn[1:].T, drawn[:-1].T]))[:5, 5:].abs().max() < 0.07


def test_noise_follows_from_key_checkpoint_and_tick_alone():
    first = add_noise(ROWS[:3], [7, 8, 9], "c0de", 0.5, KEY)

    assert torch.equal(add_noise(ROWS[:2], [9, 7], "c0de", 0.5, KEY), first[[2, 0]])
    assert torch.equal(add_noise(ROWS[:3, :2], [7, 8, 9], "c0de", 0.5, KEY), first[:, :2])
    others = [
        add_noise(ROWS[:3], [7, 8, 9], "c0de1", 0.5, KEY),
        add_noise(ROWS[:3], [7, 8, 9], "c0de", 0.5, noise_key(identity_of("agent-1"))),
        add_noise(ROWS[:3], [17, 18, 19], "c0de", 0.5, KEY),
    ]
    assert all((other - first).abs().min() > 1e-6 for other in others)


def test_without_noise_nothing_changes_and_noise_without_a_key_is_refused():
    assert add_noise(ROWS, TICKS, "c0de", 0.0, b"") is ROWS
    with pytest.raises(ValueError, match="key of 32 bytes"):
        add_noise(ROWS, TICKS, "c0de", 0.1, b"")


def test_what_a_reply_states_of_its_noise_is_rounded_up():
    assert [stated_noise(noise) for noise in (0.0, 0.0001, 0.1, 0.3, 50)] == [0, 1, 100, 300, 50_000]


def test_the_coarser_of_two_precisions_takes_fewer_bytes():
    assert coarser("float32", "int8") == coarser("int8", "float16") == "int8"
    assert coarser("float16", "float32") == "float16"


@pytest.mark.parametrize(("asked", "own"), [(("float32", 0), ("int8", 3)), (("int8", 3), ("float32", 0))])
def test_a_source_sends_no_more_than_it_is_asked_for_and_no_more_than_its_own_settings_say(asked, own):
    source, target = (
        planted_negotiation(index, replace(CONFIG, precision=precision, dims=dims))
        for index, (precision, dims) in enumerate((own, asked))
    )
    offer = source.make_offers(["agent-1"])[0]
    reply = source.receive(target.receive(offer)[0])[0]

    assert (reply.dim, reply.precision, reply.noise) == (3, "int8", 0)
    target.receive(reply)
    edge = target.edges["agent-0"]
    assert edge.status is Status.ACCEPTED
    assert (edge.core_dims, edge.score.shared_dim) == ((CORE, CORE), 3)
    assert edge.map.weight.shape == (DIM, DIM)


@pytest.mark.parametrize("changes", [{"precision": "float32"}, {"dim": 4}])
def test_a_reply_that_holds_more_than_was_asked_for_is_refused(changes):
    source = planted_negotiation(0)
    target = planted_negotiation(1, replace(CONFIG, precision="int8", dims=3))
    reply = source.receive(target.receive(source.make_offers(["agent-1"])[0])[0])[0]

    with pytest.raises(MessageError, match="more than the requested 3 in int8"):
        target.receive(msgspec.structs.replace(reply, **changes))


def test_the_edge_says_what_noise_its_source_added_and_the_map_translates_clean_latents_well():
    agents = {f"agent-{index}": noisy(index, 0.5 if index == 0 else 0.0) for index in range(2)}
    negotiate_all(agents)
    into_1, into_0 = agents["agent-1"].edges["agent-0"], agents["agent-0"].edges["agent-1"]

    assert (into_1.noise, into_0.noise) == (0.5, 0.0)
    assert "agent-0 adds noise of 0.5 standard deviations" in into_1.reason
    assert "noise" not in into_0.reason
    assert into_1.status is into_0.status is Status.ACCEPTED
    assert into_1.score.r2_shared < 0.9 < 0.95 < into_0.score.r2_shared
    held = [agents[name].pools.heldout.core() for name in ("agent-0", "agent-1")]
    error = (into_1.shared_map(held[0]) - held[1]).square().mean() / held[1].var()
    assert error < 0.1  # noise averages out in the map; it stays in the rows that were sent


def test_two_noisy_replies_never_prove_an_honest_agent_guilty():
    source, replies = noisy(0, 0.3), []
    for name in ("agent-1", "agent-2"):
        target = planted_negotiation(int(name[-1]))
        offer = source.make_offers([name])[0]
        request = target.receive(offer)[0]
        fit, heldout = target.pools.choose(request)
        replies.append(SignedReply(signed(source.receive(request)[0]), fit + heldout))

    ticks = [set(reply.ticks) for reply in replies]
    assert len(ticks[0] & ticks[1]) > 20
    with pytest.raises(EvidenceError, match="agree in all"):
        check(Evidence(FORMAT, identity_of("agent-0").public_key, "c0de0", tuple(replies)))


def test_settings_bound_what_a_student_gets_as_they_do_for_anchors():
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    config = NegotiationConfig(dims=4, precision="int8", noise=0.1)
    sent = in_precision(protect(rows, range(50), "c0de", config, KEY), config.precision)

    assert sent.shape == (50, 4)
    assert torch.equal(in_precision(rows, "float32"), rows)
    step = protect(rows, range(50), "c0de", config, KEY).abs().amax(0) / 127
    assert ((sent - rows[:, :4]).abs() > step).double().mean() > 0.5  # noise, not rounding alone

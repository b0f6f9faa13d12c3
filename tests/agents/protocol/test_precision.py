import contextlib
import tracemalloc
from dataclasses import replace
from typing import get_args

import msgspec
import numpy as np
import pytest
import torch

from agents.protocol.precision import LEVELS, pack_embeddings, pack_metric, unpack_embeddings, unpack_metric
from agents.protocol.settings import NegotiationConfig, Precision, embedding_bytes
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.wire import MessageError
from alignment.raw_map import raw_metric
from alignment.status import Status
from tests.support.swarm import CONFIG, CORE, DIM, negotiate_all, planted_negotiation

PRECISIONS = get_args(Precision)
each = pytest.mark.parametrize("precision", PRECISIONS)


def embeddings(seed=0, rows=50, dim=6):
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


@each
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_embeddings_return_within_half_a_step_of_their_precision(precision, scale):
    sent = scale * embeddings()
    received = unpack_embeddings(pack_embeddings(sent, precision), *sent.shape, precision)
    step = {
        "float32": 0.0,
        "float16": np.maximum(np.abs(sent) * 2.0**-10, 2.0**-24),
        "int8": np.abs(sent).max(0) / LEVELS,
    }[precision]

    assert (np.abs(received - sent) <= 0.5001 * step).all()


@each
def test_the_bytes_are_those_announced_and_equal_embeddings_are_equal_bytes(precision):
    data = pack_embeddings(embeddings(), precision)
    received = unpack_embeddings(data, 50, 6, precision)

    assert len(data) == embedding_bytes(50, 6, precision)
    assert pack_embeddings(received, precision) == data


@each
def test_a_dimension_that_does_not_vary_and_none_at_all_are_kept(precision):
    sent = embeddings()
    sent[:, 2] = 0
    received = unpack_embeddings(pack_embeddings(sent, precision), 50, 6, precision)

    assert (received[:, 2] == 0).all()
    assert unpack_embeddings(pack_embeddings(sent[:0], precision), 0, 6, precision).shape == (0, 6)


@each
def test_neither_end_holds_a_number_in_eight_bytes(precision):
    sent = embeddings(rows=2000, dim=100)

    def peak(work):
        tracemalloc.start()
        try:
            return work(), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    data, packing = peak(lambda: pack_embeddings(sent, precision))
    _, unpacking = peak(lambda: unpack_embeddings(data, *sent.shape, precision))

    assert max(packing, unpacking) < 7 * sent.size


@each
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_bytes_that_are_not_the_numbers_announced_are_refused(precision, change):
    with pytest.raises(MessageError, match="take"):
        unpack_embeddings(change(pack_embeddings(embeddings(), precision)), 50, 6, precision)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("precision", "dtype"), [("float32", "<f4"), ("float16", "<f2"), ("int8", "<f4")])
def test_a_number_or_a_scale_that_is_not_finite_is_refused(precision, dtype, value):
    data = bytearray(pack_embeddings(embeddings(), precision))
    number = np.array(value, dtype).tobytes()
    data[: len(number)] = number
    with pytest.raises(MessageError, match="not finite"):
        unpack_embeddings(bytes(data), 50, 6, precision)


@pytest.mark.parametrize("scale", [-1.0, 1e5, 3e38])
def test_a_scale_that_is_negative_or_too_large_is_refused(scale):
    data = np.full(6, scale, "<f4").tobytes() + bytes(300)
    with pytest.raises(MessageError, match="scale"):
        unpack_embeddings(data, 50, 6, "int8")


def test_the_level_that_has_no_opposite_is_refused():
    with pytest.raises(MessageError, match="below -127"):
        unpack_embeddings(np.ones(6, "<f4").tobytes() + b"\x80" * 300, 50, 6, "int8")


def test_every_flipped_bit_gives_finite_embeddings_or_is_refused():
    data = bytearray(pack_embeddings(embeddings(rows=2), "int8"))
    for place in range(8 * len(data)):
        data[place // 8] ^= 1 << place % 8
        with contextlib.suppress(MessageError):
            assert np.isfinite(unpack_embeddings(bytes(data), 2, 6, "int8")).all()
        data[place // 8] ^= 1 << place % 8


def test_a_metric_returns_as_it_was():
    root = np.random.default_rng(1).standard_normal((5, 5))
    metric = root @ root.T

    assert np.allclose(unpack_metric(pack_metric(metric), 5), metric, atol=1e-5)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (np.diag([1.0, -1.0]), "negative eigenvalue"),
        (np.zeros((2, 2)), "negative eigenvalue, or none"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "negative eigenvalue"),
        (np.diag([1.0, np.nan]), "not finite"),
        (np.diag([1.0, np.inf]), "not finite"),
        (np.diag([1.0, 1e13]), "too large"),
        (np.eye(3), "12 bytes"),
    ],
)
def test_what_is_no_metric_is_refused(metric, reason):
    with pytest.raises(MessageError, match=reason):
        unpack_metric(pack_metric(metric), 2)


def settle(config, **changes):
    """Return the edge from agent-0 to agent-1, and its bytes; `changes` are pools of agent-0."""
    agents = {f"agent-{index}": planted_negotiation(index, config) for index in range(2)}
    agents["agent-0"].pools = replace(agents["agent-0"].pools, **changes)
    channels = negotiate_all(agents, MemoryTransport())
    size = sum(channel.sent["agent-0", "agent-1"] for channel in channels.values())
    return agents["agent-1"].edges["agent-0"], size


@each
def test_an_edge_of_few_bytes_is_as_good_as_one_of_many(precision):
    exact, most = settle(CONFIG)
    edge, size = settle(replace(CONFIG, precision=precision, dims=CORE))

    assert edge.status is Status.ACCEPTED
    assert abs(edge.score.r2_shared - exact.score.r2_shared) < 2e-3
    rows = CONFIG.anchors + CONFIG.heldout
    saved = embedding_bytes(rows, DIM, "float32") - embedding_bytes(rows, CORE, precision)
    assert saved <= most - size <= saved + 8  # the name of the precision, twice, and a shorter length


def test_dimensions_that_were_not_sent_are_dropped_by_the_maps_and_named():
    edge, _ = settle(replace(CONFIG, dims=2))

    assert edge.status is Status.ACCEPTED
    assert edge.score.shared_dim == len(edge.score.correlations) == 2
    assert (edge.map.source_dim, edge.shared_map.source_dim, edge.core_dims) == (DIM, CORE, (CORE, CORE))
    assert (edge.map.weight[2:] == 0).all()
    assert (edge.shared_map.weight[2:] == 0).all()
    assert "2 of the 3 core dimensions of agent-0 were sent: raise negotiation.dims" in edge.reason


def test_an_edge_between_defaults_of_two_agents_takes_at_most_a_kibibyte_in_int8():
    config = NegotiationConfig(anchors=16, heldout=32, pool_ticks=48, dims=CORE, precision="int8")
    edge, size = settle(config)

    assert edge.status is Status.ACCEPTED
    assert edge.score.r2_shared > 0.9
    assert size <= 1024


def requested(config=CONFIG, **changes):
    """Return source, target, and the request of the target with fields changed."""
    source, target = planted_negotiation(0), planted_negotiation(1, config)
    (request,) = target.receive(source.make_offers(["agent-1"])[0])
    return source, target, msgspec.structs.replace(request, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"dims": DIM + 1},
        {"chosen": b"\0\0"},
        {"chosen": b"\0" * 32},
        {"chosen": np.arange(33, 49, dtype="<u2").tobytes()},
        {"chosen": np.arange(16, dtype="<u2").tobytes()[:-1]},
    ],
)
def test_a_request_for_what_the_pool_does_not_hold_is_refused(changes):
    source, _, request = requested(**changes)
    with pytest.raises(MessageError, match="requests"):
        source.receive(request)


@pytest.mark.parametrize("changes", [{"dims": DIM - 1}, {"precision": "int8"}])
def test_a_reply_in_fewer_dimensions_or_a_coarser_precision_than_requested_is_fitted(changes):
    source, target, request = requested(**changes)
    (reply,) = source.receive(request)
    target.receive(reply)

    assert target.edges["agent-0"].status is Status.ACCEPTED
    assert target.edges["agent-0"].map.weight.shape == (DIM, DIM)


def test_the_target_chooses_few_anchors_and_the_nonces_choose_many():
    source, _, few = requested(CONFIG)
    _, _, many = requested(NegotiationConfig(anchors=65, heldout=4, pool_ticks=1024))
    fit, heldout = source.pools.choose(few)

    assert len(few.chosen) == 2 * CONFIG.anchors
    assert many.chosen == b""
    assert set(fit) == {source.pools.anchors.ids[row] for row in np.frombuffer(few.chosen, "<u2")}
    assert len(heldout) == CONFIG.heldout


def test_raw_maps_are_measured_where_both_latents_have_a_scale_and_nowhere_else():
    transform = torch.from_numpy(np.random.default_rng(2).standard_normal((DIM, DIM)))
    metric = raw_metric(transform)
    without, _ = settle(CONFIG, metric=metric)
    agents = {f"agent-{index}": planted_negotiation(index) for index in range(2)}
    for agent in agents.values():
        agent.pools = replace(agent.pools, metric=metric)
    negotiate_all(agents)
    score = agents["agent-1"].edges["agent-0"].score

    assert without.score.raw is None
    assert score.raw.directions == DIM
    assert score.raw_strong.directions == CORE
    assert score.raw_strong.r2 >= score.raw_strong.r2_similarity


@pytest.mark.parametrize("metric", [b"\0" * 60, b"\xff" * 60, b"1"])
def test_a_reply_with_what_is_no_metric_is_refused(metric):
    source, target, request = requested()
    (reply,) = source.receive(request)
    with pytest.raises(MessageError, match="metric"):
        target.receive(msgspec.structs.replace(reply, metric=metric))
    assert not target.edges

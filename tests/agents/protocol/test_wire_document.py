"""docs/wire.md states the fields, sizes and counts that the code has."""

import re
import typing
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.models.settings import ModelConfig
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.messages import AnyMessage, Message
from agents.protocol.negotiation import Negotiation
from agents.protocol.settings import NegotiationConfig
from agents.protocol.wire import HEADER_BYTES, MAX_ENVELOPE_BYTES, VERSION
from agents.training.settings import DistillationConfig
from alignment.anchors import AnchorSet
from tests.support.swarm import connect_protocols

TEXT = " ".join((Path(__file__).resolve().parents[3] / "docs" / "wire.md").read_text().split())
CORE, DIM = 6, ModelConfig().dim


def default_negotiation(index):
    """Return a negotiation with default settings, between spaces that share a core of 6 dimensions."""
    config, ticks = NegotiationConfig(), NegotiationConfig().pool_ticks
    embeddings = np.random.default_rng([1, index]).standard_normal((2 * ticks, DIM))
    embeddings[:, :CORE] = np.random.default_rng(0).standard_normal((2 * ticks, CORE))
    fit, heldout = torch.from_numpy(embeddings).float().split(ticks)
    pools = AnchorPools(
        AnchorSet(tuple(range(ticks)), fit, CORE), AnchorSet(tuple(range(ticks, 2 * ticks)), heldout, CORE)
    )
    info = PeerInfo(f"agent-{index}", "0" * 16, "jepa", "0" * 16, DIM, CORE, False)
    return Negotiation(info, pools, config, np.random.default_rng([2, index]), memory_rows=1)


@pytest.mark.parametrize("kind", typing.get_args(AnyMessage), ids=lambda kind: kind.__name__)
def test_every_message_is_listed_with_its_fields(kind):
    tag, name = kind.__struct_config__.tag, kind.__name__
    (row,) = re.findall(rf"\| {tag} \| {name} \| [^|]* \| ([^|]*) \|", TEXT)
    fields = [field for field in kind.__struct_fields__ if field not in Message.__struct_fields__]

    assert [word for word in re.findall(r"`(\w+)`", row) if word in fields][: len(fields)] == fields
    assert all(f"`{name}`" in TEXT for name in Message.__struct_fields__)


def test_the_version_and_the_limits_of_an_envelope_are_those_of_the_code():
    assert f"describes version {VERSION}." in TEXT
    assert f"| 2 | version | {VERSION};" in TEXT
    assert f"a header of {HEADER_BYTES} bytes" in TEXT
    assert f"at most {MAX_ENVELOPE_BYTES // 2**20} MiB" in TEXT


def test_the_size_of_an_edge_and_of_a_distillation_reply_are_those_measured():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    for index, protocol in enumerate(protocols.values()):
        protocol.publish(default_negotiation(index))
    transport.run()
    (edge,) = protocols["agent-0"].events(1, 0).edges
    embedding_bytes = 4 * DIM * (edge.anchors + edge.heldout)
    ticks = DistillationConfig().ticks

    assert edge.reason == ""
    assert f"{edge.anchors} + {edge.heldout} anchors of {DIM} numbers: {embedding_bytes:,} bytes" in TEXT
    assert f"headers included, is {edge.bytes - embedding_bytes} bytes" in TEXT
    assert f"A core of {CORE} dimensions at 8 ticks alone would be {4 * CORE * 8} bytes" in TEXT
    assert f"holds {ticks:,} ticks: {4 * CORE * ticks:,} bytes" in TEXT

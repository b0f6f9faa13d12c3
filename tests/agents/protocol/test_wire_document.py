"""docs/wire.md states the fields, sizes and counts that the code has."""

import hashlib
import re
import typing
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.models.settings import ModelConfig
from agents.protocol.budget import PeerLimits
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.embedding_negotiation import MAX_ROWS, anchor_set_id
from agents.protocol.envelope import HEADER_BYTES, PURPOSE, VERSION, is_sealed_by, parse, session_id
from agents.protocol.identity import Identity
from agents.protocol.inspection import FIELDS, inspect, signature_holds
from agents.protocol.introduction import Introduction
from agents.protocol.messages import AnyMessage, Hello, Message, decode
from agents.protocol.negotiation import Negotiation
from agents.protocol.settings import NegotiationConfig
from agents.protocol.transports.address_book import (
    MAX_ADDRESSES,
    MAX_AGENTS,
    MAX_LENGTH,
    RENEW_SECONDS,
    SENT_STATEMENTS,
    STATEMENTS,
    VALID_SECONDS,
    AddressStatement,
    Refusal,
)
from agents.protocol.transports.address_book import PURPOSE as ADDRESSES_PURPOSE
from agents.protocol.transports.dialing import MAX_DIALS
from agents.protocol.transports.link_table import MAX_LINKS_OF_ONE, OPENINGS
from agents.protocol.trust import KeyRevocation, KeyRotation
from agents.protocol.verifier import MAX_CLOCK_DIFFERENCE, MAX_LOGGED, REPLAY_WINDOW
from agents.protocol.wire import MAX_ENVELOPE_BYTES, Reason
from agents.training.settings import DistillationConfig
from alignment.anchors import AnchorSet
from tests.support.swarm import connect_protocols

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "wire.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
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
    assert f'over the bytes "{PURPOSE[:-1].decode()}", one zero byte' in TEXT


def test_the_table_of_fields_is_that_of_the_header():
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \|", PAGE, re.MULTILINE)
    assert [(name.replace(" ", "_"), int(size)) for size, name in rows] == [*FIELDS, ("signature", 64)]
    assert sum(size for _, size in FIELDS) == HEADER_BYTES


def test_every_reason_and_limit_is_that_of_the_code():
    checks = PAGE.partition("## Checks")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z ]+)` \| [^|]*\|$", checks, re.MULTILINE)
    assert {reason.value for reason in Reason} == set(rows)
    limits = PeerLimits()
    for number in (
        MAX_CLOCK_DIFFERENCE,
        REPLAY_WINDOW,
        MAX_LOGGED,
        limits.anchors.burst,
        limits.anchors.per_second,
    ):
        assert re.search(rf"\b{number:,.0f}\b", TEXT)
    assert (
        f"{limits.bytes.per_second // 2**20:.0f} MiB and {limits.envelopes.per_second} envelopes a second "
        f"({limits.bytes.burst // 2**20:.0f} MiB and {limits.envelopes.burst:,} at once)"
    ) in TEXT
    assert f"{limits.negotiations.per_second} offers a second ({limits.negotiations.burst} at once)" in TEXT


def test_every_field_of_an_introduction_is_listed():
    section = PAGE.partition("## Connections")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == set(Introduction.__struct_fields__)
    for statement in (KeyRotation, KeyRevocation):
        assert all(f"`{name}`" in section for name in statement.__struct_fields__)


def vectors():
    """Return the hexadecimal digits of the page's test vectors, by title."""
    text = re.search(r"<!-- vectors -->\n```text\n(.*?)\n```", PAGE, re.DOTALL)[1]
    return {title: "".join(lines) for title, *lines in (part.split("\n") for part in text.split("\n\n"))}


def test_both_decoders_read_the_test_vectors():
    found = vectors()
    key = bytes.fromhex(found.pop("public key of agent-0"))
    assert key == Identity(bytes(range(32))).public_key
    del found["public key of agent-1"]
    for digits in found.values():
        data = bytes.fromhex(digits)
        envelope, plain = parse(data), inspect(data)
        assert is_sealed_by(key, data)
        assert signature_holds(data, key)
        assert (envelope.sender, envelope.recipient) == ("agent-0", "agent-1")
        assert envelope.session == plain["session"] == session_id("vectors")
        message = decode(envelope.body)
        assert {name: plain["message"][name] for name in message.__struct_fields__} == {
            name: getattr(message, name) for name in message.__struct_fields__
        }
    hello, anchors = (decode(parse(bytes.fromhex(digits)).body) for digits in found.values())
    assert hello == Hello(source="agent-0", target="agent-1", round=0, checkpoint="c0de")
    assert anchors.embeddings().tolist() == [[1, 2], [3, -4]]


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


def test_addresses_have_the_fields_reasons_and_limits_of_the_code():
    table = PAGE.partition("## Addresses")[2].partition("## Messages")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(AddressStatement.__struct_fields__)
    assert re.findall(r"\(`(\w+)`[;)]", table) == [str(reason) for reason in Refusal]
    for text in (
        f"up to {MAX_ADDRESSES} texts HOST:PORT, at most {MAX_LENGTH} letters",
        f"ends after {VALID_SECONDS / 3600:.0f} h",
        f"every {RENEW_SECONDS / 3600:.0f} h",
        f"more than {MAX_AGENTS} agents",
        f"the {SENT_STATEMENTS.per_second:.0f} statements a second ({SENT_STATEMENTS.burst:,} at once)",
        f"one in {1 / STATEMENTS.per_second:.0f} s ({STATEMENTS.burst} at once)",
        f"at most {MAX_DIALS} agents at once",
        f"at most {MAX_LINKS_OF_ONE} connections",
        f"{OPENINGS.per_second:.0f} a second ({OPENINGS.burst} at once)",
        f'the words "{ADDRESSES_PURPOSE[:-1].decode()}", a zero byte',
    ):
        assert text in TEXT, text


def test_tables_of_embeddings_are_named_as_the_page_says():
    ids = ("b", "a")
    hashed = hashlib.blake2b(
        b"".join(b"\0\0\0\x05str " + each.encode() for each in sorted(ids)), digest_size=16
    )
    assert anchor_set_id(ids, False) == f"items:2:{hashed.hexdigest()}"
    assert anchor_set_id((7,), True).startswith("ticks:1:")
    assert f"at most {MAX_ROWS:,}, and" in TEXT

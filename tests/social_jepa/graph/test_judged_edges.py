"""Who is flagged, read from a ledger that grows."""

import contextlib
import math
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save

from alignment.linear_map import LinearMap
from alignment.status import Status
from social_jepa.graph import judged_edges
from social_jepa.graph.graph_json import map_tensors
from social_jepa.graph.judged_edges import REFRESH_SECONDS, EdgeReader, FlagReader, flag_reasons
from social_jepa.records import BodyRecord, replace
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import DamagedLedgerError
from tests.support.ledger_rows import agent, edge, member

NAMES = ("a", "b", "c", "d")
CHECKPOINT = "c" * 16


def packed(weight):
    found = LinearMap(torch.from_numpy(weight), torch.zeros(len(weight), dtype=torch.float64))
    return save(map_tensors({"shared": found}))


def accepted(source, target, **changes):
    same = {"source_checkpoint": CHECKPOINT, "target_checkpoint": CHECKPOINT, "core_dims": (3, 3)}
    return edge(source=source, target=target, **same | changes)


def contradicted(ledger, liar):
    """Record a liar that accepts edges from all others, which all refuse its own."""
    refused = {"status": Status.REFUSED, "reason": "nothing is shared", "shared_dim": 0, "r2_shared": 0.0}
    others = [name for name in NAMES if name != liar]
    ledger.record([], [accepted(liar, other, **refused) for other in others], [], {}, [])


@pytest.fixture
def ledger(tmp_path):
    """A ledger of four agents whose maps agree."""
    with contextlib.closing(Ledger(tmp_path / "ledger.sqlite", create=True)) as found:
        found.join(
            [member(name, k) for k, name in enumerate(NAMES)], [BodyRecord(0, name, "here") for name in NAMES]
        )
        rng = np.random.default_rng(0)
        own = {name: np.linalg.qr(rng.standard_normal((3, 3)))[0] for name in NAMES}
        pairs = [(a, b) for a in NAMES for b in NAMES if a != b]
        maps = {(a, b): packed(own[a].T @ own[b]) for a, b in pairs}
        found.record([agent(name) for name in NAMES], [accepted(*pair) for pair in pairs], [], maps)
        yield found


def test_honest_agents_are_not_flagged_and_one_that_all_others_contradict_is_with_the_reason(ledger):
    assert flag_reasons(EdgeReader(ledger)) == {}
    contradicted(ledger, "c")
    assert flag_reasons(EdgeReader(ledger)) == {"c": "3 agents contradict it and 0 confirm it"}


def test_proof_that_an_agent_contradicted_itself_flags_it(ledger):
    ledger.event(
        "equivocation", agent="b", checkpoint=CHECKPOINT, tick=7, file="evidence/b.msgpack", peers=[]
    )
    reason = "it embedded tick 7 in two ways, which evidence/b.msgpack proves"
    assert flag_reasons(EdgeReader(ledger)) == {"b": reason}


def test_a_reader_looks_again_where_the_ledger_has_changed_and_not_more_often_than_stated(
    ledger, monkeypatch
):
    monkeypatch.setattr(judged_edges, "REFRESH_FACTOR", 0.0)  # a busy machine may take long
    monkeypatch.setattr(judged_edges, "SLOW_SECONDS", math.inf)
    reader = FlagReader(ledger)
    assert reader.reasons(now=100.0) == {}
    contradicted(ledger, "c")
    assert reader.reasons(now=100.0 + REFRESH_SECONDS / 2) == {}
    assert set(reader.reasons(now=100.0 + REFRESH_SECONDS)) == {"c"}


def test_a_reader_that_takes_long_answers_with_what_it_knows_and_looks_again_less_often(ledger, monkeypatch):
    reader, go_on = FlagReader(ledger), threading.Event()
    monkeypatch.setattr(judged_edges, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(judged_edges, "REFRESH_FACTOR", 0.0)
    assert reader.reasons(now=100.0) == {}
    reader._reader.join()
    contradicted(ledger, "c")
    read = judged_edges.flag_reasons
    monkeypatch.setattr(judged_edges, "flag_reasons", lambda found: go_on.wait(60) and read(found))
    assert reader.reasons(now=110.0) == reader.reasons(now=120.0) == {}
    go_on.set()
    reader._reader.join()
    assert set(reader.reasons(now=120.0)) == {"c"}

    monkeypatch.setattr(judged_edges, "REFRESH_FACTOR", 1e6)
    contradicted(ledger, "d")
    assert set(reader.reasons(now=130.0)) == {"c"}
    assert reader._version != ledger.version()


def test_an_accepted_edge_without_a_map_is_a_damaged_ledger(ledger):
    ledger.record([], [replace(accepted("a", "b"), round=1)], [], {("a", "b"): save({})})
    with pytest.raises(DamagedLedgerError):
        flag_reasons(EdgeReader(ledger))

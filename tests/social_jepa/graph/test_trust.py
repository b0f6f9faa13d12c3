"""Trust from records: who is flagged, who is not, and what no lie can do to honest agents."""

from itertools import permutations

import numpy as np
import pytest
import torch

from alignment.linear_map import LinearMap
from alignment.status import Status
from social_jepa.graph.trust import refuse_untrusted, trust_records
from social_jepa.records import EventRecord
from tests.support.ledger_rows import edge

DIM = 4


def planted(count, seed=0):
    """Return the edges of honest agents that share all, and their maps."""
    rng = np.random.default_rng(seed)
    names = [f"agent-{k}" for k in range(count)]
    frames = {name: np.linalg.qr(rng.standard_normal((DIM, DIM)))[0] for name in names}
    edges, maps = [], {}
    for a, b in permutations(names, 2):
        edges.append(edge(source=a, target=b, core_dims=(DIM, DIM)))
        maps[f"{a}/{b}/shared"] = linear(frames[a].T @ frames[b])
    return names, edges, maps


def linear(weight):
    return LinearMap(torch.from_numpy(weight), torch.zeros(DIM))


def refused(found, where, **changes):
    """Return edges of which some were refused because nothing is shared."""
    fields = {
        "status": Status.REFUSED,
        "reason": "nothing is shared",
        "shared_dim": 0,
        "r2_shared": 0.0,
    } | changes
    return [edge(source=e.source, target=e.target, **fields) if where(e) else e for e in found]


def by_name(names, edges, maps, proofs=()):
    return {record.agent: record for record in trust_records(names, edges, maps, proofs)}


@pytest.mark.parametrize("count", [2, 3, 10])
def test_honest_agents_confirm_each_other(count):
    names, edges, maps = planted(count)

    for record in by_name(names, edges, maps).values():
        assert (record.trust, record.confirmed, record.contradicted) == (1.0, count - 1, 0)
        assert not record.flagged
    assert refuse_untrusted(edges, trust_records(names, edges, maps)) == edges


def test_an_agent_that_accepts_what_all_others_refuse_is_flagged_and_has_no_voice():
    names, edges, maps = planted(5)
    edges = refused(edges, lambda e: e.source == "agent-4")
    found = by_name(names, edges, maps)

    assert found["agent-4"].flagged
    assert (found["agent-4"].trust, found["agent-4"].contradicted) == (0.0, 4)
    assert found["agent-4"].reason == "4 agents contradict it and 0 confirm it"
    assert all(found[name].trust == 1.0 and not found[name].flagged for name in names[:4])


def test_liars_that_confirm_each_other_are_flagged_while_they_are_fewer():
    names, edges, maps = planted(10)
    liars = set(names[7:])
    edges = refused(edges, lambda e: e.source in liars and e.target not in liars)
    found = by_name(names, edges, maps)

    assert {name for name in names if found[name].flagged} == liars
    final = refuse_untrusted(edges, found.values())
    assert all((e.status is Status.ACCEPTED) == (not {e.source, e.target} & liars) for e in final)
    honest = [e for e in edges if not {e.source, e.target} & liars]
    assert [e for e in final if not {e.source, e.target} & liars] == honest


def test_agents_that_share_nothing_are_not_accused():
    """Two rooms: no agent in one sees what is in the other."""
    names, edges, maps = planted(8)
    room = set(names[:3])
    edges = refused(edges, lambda e: (e.source in room) != (e.target in room))

    assert all(record.trust == 1.0 and not record.flagged for record in by_name(names, edges, maps).values())


def test_one_edge_that_a_weak_score_decides_differently_both_ways_is_no_contradiction():
    names, edges, maps = planted(3)
    edges = [edge(source=e.source, target=e.target, r2_shared=0.1) for e in edges]
    edges = refused(edges, lambda e: e.target == "agent-2", shared_dim=2, r2_shared=-0.1)

    assert not any(record.contradicted for record in by_name(names, edges, maps).values())


def test_a_refused_edge_that_measured_far_less_is_a_contradiction():
    names, edges, maps = planted(4)
    edges = refused(edges, lambda e: e.source == "agent-3", shared_dim=2, r2_shared=-0.1)

    assert by_name(names, edges, maps)["agent-3"].flagged


def test_two_agents_alone_are_never_flagged():
    names, edges, maps = planted(2)
    edges = refused(edges, lambda e: e.source == "agent-1")
    found = by_name(names, edges, maps)

    assert {record.trust for record in found.values()} == {0.0}
    assert not any(record.flagged for record in found.values())


def test_an_agent_without_edges_has_no_trust():
    assert by_name(["a"], [], {})["a"].trust is None


def test_anchors_that_were_left_out_lower_trust():
    names, edges, maps = planted(3)
    edges = [
        edge(source=e.source, target=e.target, anchors=80, outliers=20) if e.source == "agent-0" else e
        for e in edges
    ]
    found = by_name(names, edges, maps)

    assert found["agent-0"].trust == pytest.approx(0.8)
    assert found["agent-1"].trust == 1.0


def test_a_proved_liar_is_flagged_whatever_others_say():
    names, edges, maps = planted(4)
    details = {"agent": "agent-1", "tick": 7, "file": "evidence/agent-1.evidence"}
    proof = EventRecord(number=1, time=0.0, type="equivocation", details=details)
    found = by_name(names, edges, maps, [proof])

    assert found["agent-1"].flagged
    assert found["agent-1"].trust == 0.0
    assert "tick 7 in two ways" in found["agent-1"].reason
    assert found["agent-0"].confirmed == 2


def test_names_and_order_of_agents_do_not_matter():
    names, edges, maps = planted(6)
    edges = refused(edges, lambda e: e.source == "agent-5")

    assert trust_records(names, edges, maps) == trust_records(names[::-1], edges[::-1], maps)

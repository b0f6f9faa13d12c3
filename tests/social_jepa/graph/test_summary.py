"""The headline counts how good maps are, not how many were accepted."""

import pytest

from alignment.status import Status
from social_jepa.graph.summary import summarize
from social_jepa.records import replace
from tests.support.ledger_rows import agent, edge


@pytest.fixture
def document(small_run):
    """A graph of three agents without edges."""
    agents = tuple(agent(name) for name in "abc")
    return replace(small_run.document, agents=agents, training=(), edges=())


def with_edges(document, **r2):
    """Return the graph with an accepted edge for each keyword: "ab" is from a to b."""
    edges = tuple(edge(source=pair[0], target=pair[1], r2_shared=value) for pair, value in r2.items())
    return replace(document, edges=edges)


def test_pairs_are_counted_by_r2_and_the_worst_is_named(document):
    graph = with_edges(document, ab=0.95, ba=0.9, ac=0.5, ca=0.49, bc=0.06, cb=0.1)
    summary = summarize(graph)

    assert (summary.high, summary.middle, summary.low, summary.unmapped) == (1, 2, 3, 0)
    assert summary.headline() == (
        "Of the 6 ordered pairs of 3 agents, 1 translate with held-out R² above 0.9, 2 from 0.5 to 0.9, "
        "3 below 0.5"
    )
    assert summary.remark() == "Mean 0.50, worst 0.06 from b to c"


def test_accepted_maps_of_low_r2_are_not_presented_as_a_success(document):
    pairs = ("ab", "ba", "ac", "ca", "bc", "cb")
    headline = summarize(with_edges(document, **dict.fromkeys(pairs, 0.29))).headline()

    assert "0 translate with held-out R² above 0.9" in headline
    assert "6 below 0.5" in headline
    assert "accepted" not in headline


def test_directions_and_the_null_are_of_accepted_maps(document):
    def scored(target, shared_dim, null, **changes):
        return edge(source="a", target=target, shared_dim=shared_dim, null_correlation=null, **changes)

    refused = scored("a", 40, 0.9, status=Status.REFUSED, reason="low", r2_shared=0.1)
    found = summarize(replace(document, edges=(scored("b", 2, 0.1), scored("c", 4, 0.3), refused)))

    assert found.shared_dim == 3.0
    assert found.null_correlation == pytest.approx(0.2)
    assert found.null_highest == 0.3
    assert summarize(document).null_highest is None


def test_pairs_without_an_accepted_map_are_counted(document):
    refused = edge(source="a", target="b", status=Status.REFUSED, reason="too few", r2_shared=0.97)
    stale = edge(source="b", target="a", status=Status.STALE, reason="moved", r2_shared=0.97)
    graph = replace(document, edges=(refused, stale, edge(source="a", target="c", r2_shared=0.97)))

    assert (summarize(graph).high, summarize(graph).unmapped) == (1, 5)
    assert summarize(graph).headline().endswith("0 below 0.5, 5 have no accepted map")


def test_an_agent_that_is_learning_counts_as_present(document):
    graph = replace(with_edges(document, ab=0.95, ba=0.95), agents=document.agents[:2], training=("c",))

    assert (summarize(graph).pairs, summarize(graph).unmapped) == (6, 4)


def test_a_good_graph_one_without_maps_and_a_single_agent_have_their_own_sentences(document):
    pairs = ("ab", "ba", "ac", "ca", "bc", "cb")
    good = summarize(with_edges(document, **dict.fromkeys(pairs, 0.95)))
    alone = summarize(replace(document, agents=document.agents[:1]))

    assert good.headline() == "All 6 ordered pairs of 3 agents translate with held-out R² above 0.9"
    assert summarize(document).headline() == "None of the 6 ordered pairs of 3 agents has an accepted map"
    assert summarize(document).remark() == ""
    assert "no pair" in alone.headline()


def test_pairs_that_do_not_negotiate_are_counted_apart(document):
    ring = replace(document, topology="ring", pairs=4)
    found = summarize(with_edges(ring, ab=0.95))

    assert (found.pairs, found.along_paths) == (4, 2)
    assert "4 ordered pairs of 3 agents that negotiate (ring)" in found.headline()
    assert found.remark().endswith("2 other pairs translate along paths")

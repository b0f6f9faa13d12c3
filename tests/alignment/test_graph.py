import io
import math
import threading

import networkx
import pytest
import torch

from alignment.graph import Edge, NoPathError, TranslationGraph, UnknownAgentError
from alignment.linear_map import LinearMap


def turn(seed, dim=4):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
    return LinearMap(weight, torch.randn(dim, generator=generator, dtype=torch.float64))


def good(source, target, r2_core=0.9, found=None, **details):
    found = turn(0) if found is None else found
    return Edge(source, target, "accepted", r2=0.5, r2_core=r2_core, map=found, details=details)


def bad(source, target, reason="it does not beat chance", status="refused"):
    return Edge(source, target, status, reason)


@pytest.fixture
def chain():
    """a -> b -> c and a worse direct edge a -> c; d refuses everybody; e was never tried."""
    graph = TranslationGraph(agents=["e"])
    graph.put(good("a", "b", found=turn(1)), good("b", "c", found=turn(2)), good("a", "c", 0.7, turn(3)))
    graph.put(bad("c", "d", "its spectrum is that of strangers"), bad("b", "d", "no answer", "failed"))
    return graph


def test_the_best_path_has_the_largest_product(chain):
    assert chain.best_path("a", "c") == ["a", "b", "c"]
    assert chain.quality(["a", "b", "c"]) == pytest.approx(0.81)

    chain.put(good("a", "c", 0.82))

    assert chain.best_path("a", "c") == ["a", "c"]


def test_an_agent_is_its_own_best_path(chain):
    assert chain.best_path("a", "a") == ["a"]
    assert chain.quality(["a"]) == 1.0


def test_composing_a_path_is_translating_hop_by_hop(chain):
    z = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(9))

    torch.testing.assert_close(chain.compose(["a", "b", "c"])(z), turn(2)(turn(1)(z)))


def test_worthless_accepted_edges_are_a_last_resort():
    graph = TranslationGraph(edges=[good("a", "b", -0.5), good("a", "c", 0.3), good("c", "b", 0.3)])

    assert graph.best_path("a", "b") == ["a", "c", "b"]
    assert TranslationGraph(edges=[good("a", "b", -0.5)]).best_path("a", "b") == ["a", "b"]
    assert TranslationGraph(edges=[good("a", "b", 1.2)]).quality(["a", "b"]) == 1.0


def test_edges_have_a_direction(chain):
    with pytest.raises(NoPathError, match="no chain of edges between them was ever tried"):
        chain.best_path("c", "a")


def test_why_there_is_no_way_names_every_edge_in_the_way(chain):
    with pytest.raises(NoPathError) as refusal:
        chain.best_path("a", "d")

    sentence = str(refusal.value)
    assert sentence == chain.explain("a", "d")
    assert "c -> d was refused: its spectrum is that of strangers" in sentence
    assert "b -> d was failed: no answer" in sentence


def test_refused_edges_that_would_not_help_are_not_named(chain):
    chain.put(bad("d", "a", "irrelevant"), bad("c", "b", "irrelevant"), bad("a", "e", "a dead end"))

    assert "irrelevant" not in chain.explain("a", "d")
    assert "dead end" not in chain.explain("a", "d")
    assert chain.explain("a", "e") == "no way from a to e: a -> e was refused: a dead end"


def test_every_refusal_of_a_chain_is_named():
    graph = TranslationGraph(edges=[bad("a", "b", "one"), bad("b", "c", "two"), good("c", "d")])

    assert graph.explain("a", "d") == "no way from a to d: a -> b was refused: one; b -> c was refused: two"


def test_a_way_that_exists_is_told_with_its_quality(chain):
    assert chain.explain("a", "c") == "a reaches c by a -> b -> c; product of held-out R2 0.810"
    assert chain.explain("a", "e") == "no way from a to e: no chain of edges between them was ever tried"


@pytest.mark.parametrize("ask", ["best_path", "explain", "edge"])
def test_an_unknown_agent_is_named_with_its_nearest(ask):
    graph = TranslationGraph(edges=[good("north", "south")])

    with pytest.raises(UnknownAgentError) as error:
        getattr(graph, ask)("north", "sauth")

    assert isinstance(error.value, KeyError)
    assert str(error.value) == "no agent is named 'sauth'; did you mean 'south'?"


def test_an_empty_graph_says_so():
    with pytest.raises(UnknownAgentError, match="no agents yet"):
        TranslationGraph().explain("a", "b")


def test_a_path_over_a_refused_or_untried_edge_is_no_path(chain):
    with pytest.raises(NoPathError, match="c -> d was refused: its spectrum"):
        chain.compose(["a", "c", "d"])
    with pytest.raises(NoPathError, match="no edge from c to a was ever tried"):
        chain.compose(["b", "c", "a"])
    with pytest.raises(ValueError, match="two agents or more"):
        chain.compose(["a"])


def test_an_edge_is_replaced_as_a_whole_and_what_was_read_stays(chain):
    before, edges = chain.edge("a", "b"), chain.edges

    chain.put(bad("a", "b", "its model changed"))

    assert chain.edge("a", "b").status == "refused"
    assert chain.edge("a", "b").map is None
    assert before.status == "accepted"
    assert before in edges
    assert len(chain.edges) == len(edges)


def test_a_reader_never_sees_a_graph_that_changes_under_it():
    graph, stop, failures = TranslationGraph(), threading.Event(), []

    def read():
        while not stop.is_set():
            if any((edge.status == "accepted") != (edge.map is not None) for edge in graph.edges):
                failures.append("half an edge")

    reader = threading.Thread(target=read)
    reader.start()
    for k in range(300):
        graph.put(good(str(k % 7), "target"), bad("target", str(k % 5)))
    stop.set()
    reader.join()

    assert not failures


def test_a_removed_agent_takes_its_edges_along(chain):
    chain.remove_agent("b")

    assert chain.agents == ("a", "c", "d", "e")
    assert chain.best_path("a", "c") == ["a", "c"]
    assert not [edge for edge in chain.edges if "b" in (edge.source, edge.target)]


def test_cycles_are_listed_once_and_a_consistent_one_returns_its_points():
    maps = {name: turn(seed) for seed, name in enumerate("abc")}  # from each agent to a common space
    pairs = [(i, j) for i in "abc" for j in "abc" if i != j]
    graph = TranslationGraph(edges=[good(i, j, found=maps[i].then(maps[j].inverse())) for i, j in pairs])
    points = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(9))

    assert graph.cycles() == [("a", "b", "c"), ("a", "c", "b")]
    assert graph.cycles(length=2) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(graph.cycle_error(cycle, points) < 1e-20 for cycle in graph.cycles())

    graph.put(good("c", "a", found=turn(99)))

    assert graph.cycle_error(("a", "b", "c"), points) > 0.1
    assert graph.cycle_error(("a", "c", "b"), points) < 1e-20


def test_a_stale_edge_says_what_it_is_and_leads_nowhere():
    graph = TranslationGraph("ab", [bad("a", "b", "b has published another model since", "stale")])

    for attempt in (lambda: graph.compose(["a", "b"]), lambda: graph.best_path("a", "b")):
        with pytest.raises(NoPathError, match="a -> b is stale: b has published another model since"):
            attempt()


def test_refused_edges_close_no_cycle():
    assert TranslationGraph(edges=[good("a", "b"), good("b", "c"), bad("c", "a")]).cycles() == []


def test_the_graph_exports_its_scalars_to_graphml(chain):
    chain.put(good("a", "b", pairs=64, kappa=math.inf, fresh=True, spectrum=(0.9, 0.8), status="not this"))
    buffer = io.BytesIO()
    networkx.write_graphml(chain.to_networkx(), buffer)
    buffer.seek(0)

    back = networkx.read_graphml(buffer)

    assert set(back.nodes) == set(chain.agents)
    edge = back.edges["a", "b"]
    assert (edge["status"], edge["r2_core"], edge["pairs"]) == ("accepted", 0.9, 64)
    assert (edge["kappa"], edge["fresh"]) == (math.inf, True)
    assert not {"map", "spectrum"} & edge.keys()
    assert back.edges["c", "d"]["reason"] == "its spectrum is that of strangers"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a", "a", "accepted"), "no map to itself"),
        (("a", "b", "maybe"), "status must be one of"),
        (("a", "b", "accepted"), "carries its map"),
        (("a", "b", "refused"), "say why it was refused"),
        (("a", "b", "failed"), "say why it was failed"),
    ],
)
def test_an_edge_that_contradicts_itself_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Edge(*arguments)


def test_details_cannot_be_changed_from_outside():
    given = {"pairs": 64}
    edge = good("a", "b", **given)

    with pytest.raises(TypeError):
        edge.details["pairs"] = 65

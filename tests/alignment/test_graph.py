import io
import math
from dataclasses import fields
from types import SimpleNamespace

import matplotlib
import networkx
import pytest
import torch

from alignment.arrays import AlignmentError
from alignment.edge import Edge
from alignment.graph import NoPathError, TranslationGraph, UnknownAgentError
from alignment.linear_map import LinearMap
from alignment.plots import draw_edge
from alignment.score import r2


def rotation_map(seed, dim=4):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
    return LinearMap(weight, torch.randn(dim, generator=generator, dtype=torch.float64))


def accepted(source, target, r2_shared=0.9, found=None, **details):
    found = rotation_map(0) if found is None else found
    return Edge(source, target, "accepted", r2=0.5, r2_shared=r2_shared, map=found, details=details)


def unaccepted(source, target, reason="it does not exceed chance", status="refused"):
    return Edge(source, target, status, reason)


def with_edges(graph, *edges):
    return TranslationGraph(graph.agents, [*graph.edges, *edges])


@pytest.fixture
def chain():
    """a -> b -> c and a worse direct edge a -> c; every edge to d was refused; e has no edge."""
    return TranslationGraph(
        agents=["e"],
        edges=[
            accepted("a", "b", found=rotation_map(1)),
            accepted("b", "c", found=rotation_map(2)),
            accepted("a", "c", 0.7, rotation_map(3)),
            unaccepted("c", "d", "its spectrum is that of unrelated agents"),
            unaccepted("b", "d", "no answer", "failed"),
        ],
    )


def test_the_best_path_keeps_most_of_the_source(chain):
    assert chain.best_path("a", "c") == ["a", "b", "c"]
    assert chain.quality(["a", "b", "c"]) == pytest.approx(2 * 0.95**2 - 1)  # of correlations of 0.95

    chain = with_edges(chain, accepted("a", "c", 0.82))

    assert chain.best_path("a", "c") == ["a", "c"]


def keeping(directions, correlation=0.9, dim=3):
    """A map that keeps these coordinates, and the same scaled by their correlation."""
    weight = torch.diag(torch.tensor([float(axis in directions) for axis in range(dim)], dtype=torch.float64))
    zero = torch.zeros(dim, dtype=torch.float64)
    return LinearMap(weight, zero), LinearMap(correlation * weight, zero)


def sharing(source, target, *directions, correlation=0.9):
    found, regression = keeping(directions, correlation)
    return Edge(source, target, "accepted", r2_shared=0.8, map=found, regression=regression)


def test_a_path_keeps_the_directions_that_all_of_its_edges_share():
    graph = TranslationGraph(edges=[sharing("a", "b", 0, 1), sharing("b", "c", 1, 2), sharing("c", "d", 0)])

    torch.testing.assert_close(graph.compose(["a", "b", "c"]).weight, keeping([1])[0].weight)
    assert graph.quality(["a", "b", "c"]) == pytest.approx(2 * 0.9**2 - 1)
    assert graph.quality(["a", "b", "c", "d"]) == 0.0  # nothing arrives


def test_a_path_through_an_agent_that_lacks_directions_is_avoided():
    narrow = [sharing("a", "b", 0, correlation=0.99), sharing("b", "d", 0, correlation=0.99)]
    wide = [sharing("a", "c", 0, 1, 2), sharing("c", "d", 0, 1, 2)]

    assert TranslationGraph(edges=narrow + wide).best_path("a", "d") == ["a", "c", "d"]


def test_the_quality_of_a_path_is_the_r2_of_its_map_where_agents_differ_by_noise_alone():
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(40_000, 3, generator=generator, dtype=torch.float64)
    level = torch.tensor([0.99, 0.95, 0.85], dtype=torch.float64)  # each agent's correlation with the factors

    def agent():
        noise = torch.randn(40_000, 3, generator=generator, dtype=torch.float64)
        return level * factors + (1 - level**2).sqrt() * noise

    a, c = agent(), agent()  # b is the factors, and so all that a and c have in common
    found = keeping([0, 1, 2])[0]
    regression = LinearMap(torch.diag(level), found.bias)
    graph = TranslationGraph(edges=[
        Edge("a", "b", "accepted", map=found, regression=regression),
        Edge("b", "c", "accepted", map=found, regression=regression),
    ])  # fmt: skip

    assert graph.quality(["a", "b", "c"]) == pytest.approx(r2(graph.compose(["a", "b", "c"])(a), c), abs=0.01)


def test_a_path_that_keeps_nothing_is_not_preferred_to_a_direct_edge_that_keeps_something():
    """In axes of no coordinate, so that what is dropped is zero up to rounding alone."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64)).Q

    def half(source, target, axes):
        weight = turn[:, axes] @ turn[:, axes].T
        zero = torch.zeros(4, dtype=torch.float64)
        return Edge(source, target, "accepted", r2_shared=0.9, map=LinearMap(weight, zero))

    graph = TranslationGraph(edges=[half("a", "b", [0, 1]), half("b", "c", [2, 3]), half("a", "c", [0])])

    assert graph.quality(["a", "b", "c"]) == 0.0
    assert graph.best_path("a", "c") == ["a", "c"]


def test_only_directions_that_come_back_from_a_cycle_are_compared():
    edges = [sharing("a", "b", 0, 1), sharing("b", "c", 0, 1, 2), sharing("c", "a", 0, 1, 2)]
    graph = TranslationGraph(edges=edges)
    points = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(9))

    assert graph.cycle_dim(("a", "b", "c")) == 2
    assert graph.cycle_error(("a", "b", "c"), points) < 1e-20


def test_the_best_path_from_an_agent_to_itself_is_empty_of_edges(chain):
    assert chain.best_path("a", "a") == ["a"]
    assert chain.quality(["a"]) == 1.0


def test_a_composed_path_equals_its_maps_applied_in_turn(chain):
    z = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(9))

    torch.testing.assert_close(chain.compose(["a", "b", "c"])(z), rotation_map(2)(rotation_map(1)(z)))


def test_accepted_edges_with_negative_r2_are_used_only_without_another_path():
    graph = TranslationGraph(
        edges=[accepted("a", "b", -0.5), accepted("a", "c", 0.3), accepted("c", "b", 0.3)]
    )

    assert graph.best_path("a", "b") == ["a", "c", "b"]
    assert TranslationGraph(edges=[accepted("a", "b", -0.5)]).best_path("a", "b") == ["a", "b"]
    assert TranslationGraph(edges=[accepted("a", "b", 1.2)]).quality(["a", "b"]) == 1.0


def test_edges_have_a_direction(chain):
    with pytest.raises(NoPathError, match="no chain of edges between them was negotiated"):
        chain.best_path("c", "a")


def test_an_error_about_a_missing_path_names_every_blocking_edge(chain):
    with pytest.raises(NoPathError) as refusal:
        chain.best_path("a", "d")

    message = str(refusal.value)
    assert message == chain.explain("a", "d")
    assert "c -> d was refused: its spectrum is that of unrelated agents" in message
    assert "b -> d was failed: no answer" in message


def test_refused_edges_that_block_no_path_are_not_named(chain):
    chain = with_edges(
        chain,
        unaccepted("d", "a", "irrelevant"),
        unaccepted("c", "b", "irrelevant"),
        unaccepted("a", "e", "a dead end"),
    )

    assert "irrelevant" not in chain.explain("a", "d")
    assert "dead end" not in chain.explain("a", "d")
    assert chain.explain("a", "e") == "no path from a to e: a -> e was refused: a dead end"


def test_every_refused_edge_of_a_chain_is_named():
    graph = TranslationGraph(
        edges=[unaccepted("a", "b", "one"), unaccepted("b", "c", "two"), accepted("c", "d")]
    )

    assert graph.explain("a", "d") == "no path from a to d: a -> b was refused: one; b -> c was refused: two"


def test_an_existing_path_is_explained_with_its_quality(chain):
    assert chain.explain("a", "c") == "a reaches c by a -> b -> c; expected R2 0.805"
    assert chain.explain("a", "e") == "no path from a to e: no chain of edges between them was negotiated"


@pytest.mark.parametrize("query", ["best_path", "explain", "edge"])
def test_an_unknown_agent_is_named_with_the_nearest_name(query):
    graph = TranslationGraph(edges=[accepted("north", "south")])

    with pytest.raises(UnknownAgentError) as error:
        getattr(graph, query)("north", "sauth")

    assert isinstance(error.value, KeyError)
    assert str(error.value) == "no agent is named 'sauth'; did you mean 'south'?"


def test_an_error_about_an_empty_graph_says_that_it_has_no_agents():
    with pytest.raises(UnknownAgentError, match="no agents yet"):
        TranslationGraph().explain("a", "b")


def test_composing_over_a_refused_or_missing_edge_is_refused(chain):
    with pytest.raises(NoPathError, match="c -> d was refused: its spectrum"):
        chain.compose(["a", "c", "d"])
    with pytest.raises(NoPathError, match="no edge from c to a was negotiated"):
        chain.compose(["b", "c", "a"])
    with pytest.raises(ValueError, match="at least two agents"):
        chain.compose(["a"])


def test_a_later_edge_replaces_an_earlier_one_between_the_same_agents(chain):
    changed = with_edges(chain, unaccepted("a", "b", "its model changed"))

    assert changed.edge("a", "b").status == "refused"
    assert changed.edge("a", "b").map is None
    assert chain.edge("a", "b").status == "accepted"
    assert len(changed.edges) == len(chain.edges)


def test_cycles_are_listed_once_and_consistent_ones_have_no_error():
    maps = {name: rotation_map(seed) for seed, name in enumerate("abc")}  # from each agent to a common space
    pairs = [(i, j) for i in "abc" for j in "abc" if i != j]
    graph = TranslationGraph(edges=[accepted(i, j, found=maps[i].then(maps[j].inverse())) for i, j in pairs])
    points = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(9))

    assert graph.cycles() == [("a", "b", "c"), ("a", "c", "b")]
    assert graph.cycles(length=2) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(graph.cycle_error(cycle, points) < 1e-20 for cycle in graph.cycles())
    assert graph.sample_cycles(9) == (graph.cycles(), 2)
    assert graph.sample_cycles(1)[0][0] in graph.cycles()
    assert graph.sample_cycles(1)[1] == 2

    graph = with_edges(graph, accepted("c", "a", found=rotation_map(99)))

    assert graph.cycle_error(("a", "b", "c"), points) > 0.1
    assert graph.cycle_error(("a", "c", "b"), points) < 1e-20


def test_a_stale_edge_is_not_used_and_its_reason_is_given():
    graph = TranslationGraph("ab", [unaccepted("a", "b", "b has published another model since", "stale")])

    for attempt in (lambda: graph.compose(["a", "b"]), lambda: graph.best_path("a", "b")):
        with pytest.raises(NoPathError, match="a -> b is stale: b has published another model since"):
            attempt()


def test_the_matrix_of_many_agents_is_drawn_in_bounded_size():
    names = [f"agent-{number}" for number in range(300)]
    axes = TranslationGraph(names, [accepted("agent-0", "agent-1")]).plot()

    assert max(axes.figure.get_size_inches()) <= 21
    assert len(axes.get_xticks()) == 60
    assert axes.get_yticklabels()[1].get_text() == "agent-5"


def test_dollar_signs_in_names_are_drawn_as_they_are():
    """matplotlib would take what stands between two of them for a formula, and refuse most names as one."""
    names, drawn = ["a$x^$", "b$_{$"], io.StringIO()
    axes = TranslationGraph(names, [accepted(*names)]).plot()
    title = draw_edge(axes.figure.add_subplot(), SimpleNamespace(
        source=names[0], target=names[1], correlations=(0.9,), shared_dim=1, null_correlation=0.2,
        r2_shared=0.8,
    ))  # fmt: skip
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        title.figure.savefig(drawn, format="svg")

    assert [drawn.getvalue().count(name) for name in (*names, "a$x^$ to b$_{$: 1 shared")] == [3, 3, 1]


def test_refused_edges_are_in_no_cycle():
    graph = TranslationGraph(edges=[accepted("a", "b"), accepted("b", "c"), unaccepted("c", "a")])

    assert graph.cycles() == []
    assert graph.sample_cycles(9) == ([], 0)


def test_graphml_holds_the_scalar_attributes_of_every_edge(chain):
    chain = with_edges(
        chain,
        accepted("a", "b", pairs=64, kappa=math.inf, fresh=True, spectrum=(0.9, 0.8), status="not this"),
    )
    buffer = io.BytesIO()
    networkx.write_graphml(chain.to_networkx(), buffer)
    buffer.seek(0)

    back = networkx.read_graphml(buffer)

    assert set(back.nodes) == set(chain.agents)
    edge = back.edges["a", "b"]
    assert (edge["status"], edge["r2_shared"], edge["pairs"]) == ("accepted", 0.9, 64)
    assert (edge["kappa"], edge["fresh"]) == (math.inf, True)
    assert not {"map", "spectrum"} & edge.keys()
    assert back.edges["c", "d"]["reason"] == "its spectrum is that of unrelated agents"


def test_a_network_with_maps_becomes_the_same_graph_again(chain):
    poses = {name: {"x": float(place), "kind": "jepa"} for place, name in enumerate(chain.agents)}
    given = TranslationGraph(chain.agents, [*chain.edges, accepted("d", "a", pairs=64)], details=poses)

    back = TranslationGraph.from_networkx(given.to_networkx(maps=True))

    assert back.agents == given.agents
    assert [back.details(name) for name in back.agents] == [given.details(name) for name in given.agents]
    assert len(back.edges) == len(given.edges)
    for edge in given.edges:
        found = back.edge(edge.source, edge.target)
        assert all(getattr(found, field.name) == getattr(edge, field.name) for field in fields(edge))


def test_a_shortest_path_of_the_network_is_the_best_path(chain):
    network = chain.to_networkx()
    accepted_edges = [pair[:2] for pair in network.edges(data="status") if pair[2] == "accepted"]

    found = networkx.shortest_path(network.edge_subgraph(accepted_edges), "a", "c", weight="length")

    assert found == chain.best_path("a", "c")


def test_a_network_without_maps_or_status_is_no_graph(chain):
    with pytest.raises(AlignmentError, match=r"carries its map; pass what to_networkx\(maps=True\) returns"):
        TranslationGraph.from_networkx(chain.to_networkx())
    with pytest.raises(AlignmentError, match=r"pass what to_networkx"):
        TranslationGraph.from_networkx(networkx.DiGraph([("a", "b")]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "a", "accepted"), "no map to itself"),
        (("a", "b", "maybe"), "status must be one of"),
        (("a", "b", "accepted"), "carries its map"),
        (("a", "b", "refused"), "say why it was refused"),
        (("a", "b", "failed"), "say why it was failed"),
    ],
)
def test_an_edge_that_contradicts_itself_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Edge(*arguments)


def test_the_details_of_an_edge_are_read_only():
    given = {"pairs": 64}
    edge = accepted("a", "b", **given)

    with pytest.raises(TypeError):
        edge.details["pairs"] = 65


def test_names_are_in_natural_order():
    graph = TranslationGraph(["agent-10", "agent-2", "b", "agent-02", "agent", "7"])

    assert graph.agents == ("7", "agent", "agent-02", "agent-2", "agent-10", "b")

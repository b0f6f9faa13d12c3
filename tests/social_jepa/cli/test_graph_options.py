import random
from itertools import permutations

import pytest

from alignment.status import Status
from social_jepa.cli.graph_options import Order, matrix_rows, matrix_text, shown_edges
from social_jepa.records import replace
from tests.support.command import call
from tests.support.ledger_rows import AGENT, edge


def graph_of(small_run, names, **scores):
    """A document with these agents and the edge "a>b" of each R2; None is a refused edge."""
    edges = []
    for pair, r2 in scores.items():
        source, target = pair.split("__")
        kept = (
            {"r2_shared": r2}
            if r2 is not None
            else {"status": Status.REFUSED, "reason": "no", "r2_shared": None}
        )
        edges.append(edge(source=source, target=target, **kept))
    agents = tuple(replace(AGENT, name=name) for name in names)
    return replace(small_run.document, agents=agents, training=(), edges=tuple(edges))


def test_the_matrix_has_the_r2_of_every_edge_in_natural_order(small_run):
    names = ["agent-10", "agent-2", "agent-0"]
    scores = {("agent-10", "agent-2"): 0.91, ("agent-2", "agent-0"): 0.5, ("agent-0", "agent-10"): None}
    document = graph_of(small_run, names, **{"__".join(pair): r2 for pair, r2 in scores.items()})

    assert matrix_rows(document) == [
        ["from \\ to", "0", "2", "10"],
        ["agent-0", "-", "", "refused"],
        ["agent-2", "0.50", "-", ""],
        ["agent-10", "", "0.91", "-"],
    ]
    assert matrix_rows(document, 0.9)[2] == ["agent-2", ".", "-", ""]


def test_agents_that_have_not_published_have_a_row_and_names_stay_where_they_are_no_numbers(small_run):
    document = replace(graph_of(small_run, ["agent-0", "left"]), training=("agent-1",))

    assert [row[0] for row in matrix_rows(document)[1:]] == ["agent-0", "agent-1", "left"]
    assert matrix_rows(document)[0][1:] == ["agent-0", "agent-1", "left"]


@pytest.mark.parametrize("width", [None, 200, 60, 20, 1])
def test_blocks_fit_the_terminal_and_lose_no_cell(small_run, width):
    names = [f"agent-{number}" for number in range(12)]
    rng = random.Random(0)
    scores = {f"{a}__{b}": rng.random() for a, b in permutations(names, 2)}
    rows = matrix_rows(graph_of(small_run, names, **scores))

    blocks = [block.splitlines() for block in matrix_text(rows, width).split("\n\n")]
    cells = [[line.replace("from \\ to", "x").split()[1:] for line in lines] for lines in blocks]
    joined = [[cell for lines in cells for cell in lines[at]] for at in range(13)]

    assert joined == [row[1:] for row in rows]
    if width in (200, 60, 20):
        assert max(len(line) for lines in blocks for line in lines) <= width
    assert (len(blocks) == 1) == (width in (None, 200))


def test_edges_are_sorted_by_r2_with_those_that_have_none_last_and_kept_from_a_bound_on(small_run):
    document = graph_of(small_run, ["a", "b", "c"], a__b=0.2, a__c=None, b__a=0.9, c__a=0.95, c__b=0.9)
    pairs = lambda edges: [edge.source + edge.target for edge in edges]  # noqa: E731

    assert pairs(shown_edges(document.edges)) == ["ab", "ac", "ba", "ca", "cb"]
    assert pairs(shown_edges(document.edges, Order.R2)) == ["ca", "ba", "cb", "ab", "ac"]
    assert pairs(shown_edges(document.edges, Order.R2, 0.9)) == ["ca", "ba", "cb"]
    assert shown_edges(document.edges, min_r2=1.0) == []
    assert len(shown_edges(document.edges, min_r2=-1e9)) == 4  # a refused edge has no map
    assert pairs(shown_edges(document.edges, Order.R2, agent="b", limit=2)) == ["ba", "cb"]


def test_a_stale_edge_keeps_its_score_but_is_not_counted_as_translating(small_run):
    document = graph_of(small_run, ["a", "b"], a__b=0.9)
    stale = replace(document.edges[0], status=Status.STALE, reason="a has moved")

    assert shown_edges([stale], min_r2=0.5) == []
    assert matrix_rows(replace(document, edges=(stale,)))[1] == ["a", "-", "stale"]


def test_the_command_prints_the_matrix_and_chosen_edges(small_run):
    run = ("--run", small_run.folder.path)
    scores = {(edge.source, edge.target): edge for edge in small_run.document.edges}

    said = call("graph", *run, "--matrix")
    line = next(line for line in said.out.splitlines() if line.startswith("agent-1 "))
    expected = [
        "-"
        if name == "agent-1"
        else f"{found.r2_shared:.2f}"
        if found.status == "accepted"
        else found.status.value
        for name in (f"agent-{number}" for number in range(4))
        for found in [scores.get(("agent-1", name))]
    ]
    assert (said.status, said.err) == (0, "")
    assert line.split()[1:] == expected

    accepted = sorted(
        (edge for edge in small_run.document.edges if edge.status == "accepted"),
        key=lambda edge: -edge.r2_shared,
    )
    bound = accepted[2].r2_shared
    said = call("graph", *run, "--sort", "r2", "--min-r2", bound)
    rows = [line.split()[:3] for line in said.out.splitlines() if " > " in line]
    assert [(row[0], row[2]) for row in rows] == [(edge.source, edge.target) for edge in accepted[:3]]
    assert f"edges, 3 of {len(scores)}" in said.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--json", "--matrix"], "--json prints the whole graph"),
        (["--json", "--min-r2", "0.5"], "--json prints the whole graph"),
        (["--matrix", "--sort", "r2"], "leave one out"),
        (["--min-r2", "nan"], "--min-r2 nan: choose a finite number, for example 0.9"),
        (["--min-r2", "inf", "--matrix"], "--min-r2 inf: choose a finite number, for example 0.9"),
    ],
)
def test_options_that_contradict_each_other_are_refused(small_run, options, sentence):
    said = call("graph", "--run", small_run.folder.path, *options)

    assert (said.status, said.out) == (2, "")
    assert sentence in said.err

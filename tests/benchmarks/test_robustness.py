"""Six kinds of lie, told through the messages of a run among few agents, and the tables of the benchmark."""

import json

import pytest

from benchmarks import robustness
from benchmarks.liars import LIES, SPLIT, negotiate, negotiations, plant, tell


@pytest.fixture(scope="module")
def agents():
    return plant(5, 4)


@pytest.fixture(scope="module")
def honest(agents):
    return robustness._by_pair(negotiate(negotiations(agents, 5, {}))[0])


@pytest.mark.parametrize("lie", [*LIES, SPLIT])
def test_edges_of_a_liar_are_refused_and_those_of_honest_agents_do_not_change_by_a_bit(agents, honest, lie):
    lies = tell(lie, agents, 1, 5)
    edges, proved = negotiate(negotiations(agents, 5, lies))
    found = robustness._outcome(edges, honest, set(lies), proved)

    assert found["stopped"] == found["edges_of_liars"] == 6
    assert (found["honest_edges"], found["honest_changed"], found["honest_stopped"]) == (6, 0, 0)
    assert (found["proved"], found["proved_wrongly"]) == (int(lie in ("rotation", SPLIT)), 0)


def test_the_search_finds_no_liars_that_accuse_honest_agents_while_they_are_a_third():
    for row in robustness.search_liars([0])[:3]:
        assert row["accused"][0] == 0
    assert robustness.search_liars([0])[-1]["accused"][0] > 0  # half of all agents decide what is so


def test_a_fifth_of_poisoned_rows_does_no_more_harm_than_stated():
    for row in robustness.poison_rows([5], robustness.SHARE):
        assert row["tested"] <= robustness.BROKEN
        assert row["false_rows"] == 0


def test_the_document_is_what_the_tables_need():
    cases = [
        dict.fromkeys(
            ("liars", "edges_of_liars", "stopped_by_maps", "stopped", "honest_edges", "honest_stopped",
             "honest_changed", "proved", "proved_wrongly"), 3,
        ) | {"lie": lie, "seed": 0}
        for lie in (*LIES, SPLIT)
    ]  # fmt: skip
    document = {
        "rows": [{"poison": "noise", "tested": 1.25, "untested": 7.0, "false_rows": 0}],
        "row_search": [{"share": 0.2, "poison": "noise", "ratio": 1.25}],
        "liar_search": [{"liars": 1, "unflagged": (1, "a way"), "accused": (0, "")}], "lies": cases,
    }  # fmt: skip
    lines = robustness.summarize(json.loads(json.dumps(document)))

    assert "| noise | 1.25 | 7.00 |" in lines
    assert "| shuffle | 3 of 3 | 3 | 3 of 3 | 3 of 3 | 3 |" in lines
    assert "| 20% | noise | 1.25 |" in lines
    assert "| 1 | 1 (a way) | 0 |" in lines

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.graph import TranslationGraph, UnknownAgentError
from alignment.natural_order import list_names


@given(st.lists(st.integers(0, 10**6), unique=True), st.integers(1, 12))
def test_a_list_names_the_first_in_the_order_of_their_numbers_and_counts_the_rest(numbers, most):
    text = list_names((f"agent-{number}" for number in numbers), most)
    named, _, left = text.partition(" and ")

    expected = [f"agent-{number}" for number in sorted(numbers)]
    assert named == ", ".join(expected[:most])
    assert left == (f"{len(numbers) - most:,} more" if len(numbers) > most else "")


def test_an_unknown_agent_of_a_large_graph_is_refused_in_a_short_sentence():
    graph = TranslationGraph([f"agent-{number}" for number in range(1000)])
    with pytest.raises(UnknownAgentError) as refused:
        graph.check("zebra")
    assert len(str(refused.value)) < 160
    assert "the graph has agent-0, agent-1," in str(refused.value)
    assert "and 992 more" in str(refused.value)

import io

from rich.console import Console

from social_jepa.cli.tables import print_checks, print_graph
from social_jepa.records import replace
from social_jepa.system.check import Check


def printed(show, thing, width=200):
    text = io.StringIO()
    show(thing, Console(file=text, width=width))
    return text.getvalue()


def test_every_agent_and_edge_has_a_row_and_every_refusal_a_reason(small_run):
    text = printed(print_graph, small_run.document)

    for agent in small_run.document.agents:
        assert f"{agent.name}  " in text
        assert agent.checkpoint[:8] in text
    for edge in small_run.document.edges:
        assert f"{edge.source} > {edge.target}" in text
        assert edge.reason in " ".join(text.split())  # a long one is wrapped


def test_scores_that_were_not_measured_are_left_empty(small_run):
    text = printed(print_graph, small_run.document)
    refused = next(line for line in text.splitlines() if line.startswith("agent-3 > agent-0"))

    assert "None" not in text
    assert "nan" not in text
    assert "0.0" not in refused


def test_brackets_in_a_reason_are_not_parsed_as_markup(small_run):
    edges = (replace(small_run.document.edges[0], reason="saw [bold] and [/]"),)

    assert "saw [bold] and [/]" in printed(print_graph, replace(small_run.document, edges=edges))


def test_a_graph_without_edges_is_printed(small_run):
    bare = replace(small_run.document, edges=(), cycles=(), budget=())

    assert "agent-0" in printed(print_graph, bare)


def test_the_first_line_counts_pairs_by_r2(small_run):
    lines = printed(print_graph, small_run.document).splitlines()

    assert lines[0].startswith("Of the 12 ordered pairs of 4 agents,")
    assert "worst" in lines[1]
    assert "R²" not in lines[0]


def test_agents_without_a_model_of_their_view_are_listed(small_run):
    *agents, learner = small_run.document.agents
    document = replace(small_run.document, agents=tuple(agents), training=(learner.name,))

    text = " ".join(printed(print_graph, document).split())
    assert f"{learner.name} no published model of its view yet" in text


def test_cycles_that_cannot_be_scored_are_not_denied(small_run):
    text = printed(print_graph, replace(small_run.document, cycles=(), unscored_cycles=3))

    assert "3 cycles of three have all their edges accepted, but cannot be scored" in text
    assert "no cycle" not in text


def test_only_a_failed_check_is_marked_and_printed_with_its_remedy(capsys):
    checks = [Check("one", True, "fine", "unused remedy"), Check("two", False, "poor", "run [this] line")]

    print_checks(checks)

    text = capsys.readouterr().out

    assert "unused remedy" not in text
    assert "run [this] line" in text
    assert [line.split()[0] for line in text.splitlines()] == ["ok", "FAIL", "remedy:"]

import io

from rich.console import Console

from social_jepa.cli.tables import make_table, print_checks, print_graph
from social_jepa.records import replace
from social_jepa.report.tables import cycles_table
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
    assert f"{learner.name} has no published model of its view yet" in text


def test_cycles_that_cannot_be_scored_are_not_denied(small_run):
    text = printed(print_graph, replace(small_run.document, cycles=(), unscored_cycles=3))

    assert (
        "3 cycles of three have all their edges accepted, but cannot be scored: the anchors of their first "
        "agent are not in the run folder, as after an import without anchors, or they are of another model, "
        "which it has published since"
    ) in " ".join(text.split())
    assert "no cycle" not in text


def test_cycles_without_a_common_direction_are_counted_apart_and_not_as_consistent(small_run):
    scored = small_run.document.cycles[0]
    empty = replace(scored, dim=0, error=None)
    both = printed(print_graph, replace(small_run.document, cycles=(scored, empty, empty)))
    none = printed(print_graph, replace(small_run.document, cycles=(empty,)))

    assert f"1 cycles of three: error {scored.error:.4f} in the middle" in " ".join(both.split())
    assert "2 cycles of three have no direction that all their agents share" in both
    assert "in the middle" not in none
    assert "–" in cycles_table((empty,))


def of_long_names(document, length=64):
    """Return the graph with names of that many characters, of letters that no other text has."""
    names = {agent.name: "Q" * (length - 2) + agent.name[-2:] for agent in document.agents}
    return replace(
        document,
        agents=tuple(replace(agent, name=names[agent.name]) for agent in document.agents),
        edges=tuple(
            replace(edge, source=names[edge.source], target=names[edge.target], reason="")
            for edge in document.edges
        ),
    )


def test_a_terminal_of_80_columns_leaves_out_columns_and_names_them(small_run):
    lines = printed(print_graph, small_run.document, width=80).splitlines()
    accepted = [edge for edge in small_run.document.edges if edge.status == "accepted"]

    assert max(map(len, lines[lines.index("agents") :])) <= 80
    for edge in accepted:
        (row,) = [line for line in lines if line.startswith(f"{edge.source} > {edge.target} ")]
        assert {"accepted", f"{edge.r2_shared:.3f}", f"{edge.null_correlation:.2f}"} <= set(row.split())
        assert f"{edge.bytes:,}" not in row
    assert "left out for lack of width: retrieval@1, anchors, bytes; --json has all" in lines
    assert "left out" not in printed(print_graph, small_run.document)


def test_long_names_are_folded_on_a_terminal_and_no_figure_is_cropped(small_run):
    document = of_long_names(small_run.document)
    text = printed(print_graph, replace(document, cycles=(), universe=None, seconds=None), width=80)
    accepted = [edge for edge in document.edges if edge.status == "accepted"]

    _, table = text.split("edges: scores on held-out anchors")

    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in text
    assert table.count("Q") == 2 * 62 * len(document.edges)
    for edge in accepted:
        assert f"accepted  {edge.r2_shared:.3f}" in table
    assert "shared, R2 all, correlations, null, retrieval@1, anchors, bytes; --json has all" in " ".join(
        table.split()
    )


def test_a_pipe_gets_every_column_of_the_longest_names_in_one_line(small_run, capsys):
    document = of_long_names(small_run.document)

    print_graph(document)

    lines = capsys.readouterr().out.splitlines()
    for edge in document.edges:
        (row,) = [line for line in lines if line.startswith(f"{edge.source} > {edge.target}  ")]
        assert f"{edge.bytes:,}" in row
        assert edge.r2_shared is None or f"{edge.r2_shared:.3f}" in row
    assert not [line for line in lines if "left out" in line or "…" in line]


def test_where_even_text_has_no_room_numbers_are_folded_too():
    table = make_table("", ("edge", "verdict"), ("R2", "bytes"), spare=("bytes",))
    table.add_row("one > other", "accepted", "-0.1234567", "49,921")
    text = io.StringIO()
    Console(file=text, width=16).print(table)
    lines = text.getvalue().splitlines()[2:7]

    assert [line.split()[-1] for line in lines[:3]] == ["-0.1", "2345", "67"]
    assert [line.split()[0] for line in lines] == ["one", ">", "othe", "r", "left"]
    assert "…" not in text.getvalue()


def test_sentences_are_folded_before_a_column_is_left_out():
    table = make_table("", ("edge", "reason"), ("R2",), spare=("R2",), prose=("reason",))
    table.add_row("a > b", "a sentence of more words than a line has [/]", "0.912")
    table.notes.append("[bold] is a text")
    text = io.StringIO()
    Console(file=text, width=40).print(table)

    assert "0.912" in text.getvalue()
    assert "a sentence of more words than a line has [/]" in " ".join(
        line[7:34].strip() for line in text.getvalue().splitlines()[1:]
    )
    assert text.getvalue().splitlines()[-1] == "[bold] is a text"


def test_only_a_failed_check_is_marked_and_printed_with_its_remedy(capsys):
    checks = [Check("one", True, "fine", "unused remedy"), Check("two", False, "poor", "run [this] line")]

    print_checks(checks)

    text = capsys.readouterr().out

    assert "unused remedy" not in text
    assert "run [this] line" in text
    assert [line.split()[0] for line in text.splitlines()] == ["ok", "FAIL", "remedy:"]

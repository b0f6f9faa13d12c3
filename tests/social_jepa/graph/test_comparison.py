import dataclasses
import json
from statistics import fmean

import pytest

from alignment.graph import TranslationGraph
from social_jepa.config.run_config import load_config
from social_jepa.graph.comparison import NothingInCommonError, compare_runs
from social_jepa.graph.exchange import encode_npz
from social_jepa.graph.results import load_results
from social_jepa.records import replace
from social_jepa.runtime.import_run import import_run
from tests.support.command import call


@pytest.fixture
def changed(small_run):
    """The small run with another seed, every R2 lower by 0.125, without agent-3, and with agent-9."""
    keep = [agent for agent in small_run.document.agents if agent.name != "agent-3"]
    edges = tuple(
        edge if edge.r2_shared is None else replace(edge, r2_shared=edge.r2_shared - 0.125)
        for edge in small_run.document.edges
        if "agent-3" not in (edge.source, edge.target)
    )
    joined = replace(small_run.members[0], name="agent-9", index=9)
    document = replace(small_run.document, agents=tuple(keep), edges=edges, scene_fingerprint="0" * 16)
    members = (*(member for member in small_run.members if member.name != "agent-3"), joined)
    return dataclasses.replace(
        small_run, document=document, members=members, config=dataclasses.replace(small_run.config, seed=7),
        graph=TranslationGraph([member.name for member in members]),
    )  # fmt: skip


def test_settings_agents_and_edges_are_side_by_side(small_run, changed):
    found = compare_runs(small_run, changed)

    assert found.settings == {"seed": (small_run.config.seed, 7)}
    assert not found.same_scene
    assert [agent.name for agent in found.agents] == ["agent-0", "agent-1", "agent-2", "agent-3", "agent-9"]
    assert found.agents[3].second is None
    assert found.agents[4].first is None
    assert found.agents[4].second.pose is None  # it has published nothing
    lost = [edge for edge in found.edges if "agent-3" in (edge.source, edge.target)]
    assert lost
    assert all(
        (edge.second, edge.r2_difference, edge.shared_difference) == (None, None, None) for edge in lost
    )
    assert found.mean_difference == pytest.approx(-0.125)
    both = [edge for edge in found.edges if edge.second is not None]
    assert [edge.r2_difference for edge in both] == [pytest.approx(-0.125)] * 6
    assert [edge.shared_difference for edge in both] == [0] * 6


def test_a_comparison_turned_around_has_the_opposite_differences(small_run, changed):
    one, other = compare_runs(small_run, changed), compare_runs(changed, small_run)

    assert other.mean_r2 == one.mean_r2[::-1]
    assert other.mean_difference == pytest.approx(-one.mean_difference)
    for forward, backward in zip(one.edges, other.edges, strict=True):
        assert (forward.first, forward.second) == (backward.second, backward.first)
        assert (forward.r2_difference is None) == (backward.r2_difference is None)


def test_a_run_and_its_copy_differ_in_nothing(small_run, tmp_path):
    (tmp_path / "run.npz").write_bytes(encode_npz(small_run))
    again = load_results(import_run(tmp_path / "run.npz", tmp_path / "again"))
    found = compare_runs(small_run, again)

    assert (found.settings, found.same_scene, found.mean_difference) == ({}, True, 0.0)
    assert all(agent.first == agent.second for agent in found.agents)
    assert all(edge.first == edge.second for edge in found.edges)
    accepted = [edge.r2_shared for edge in small_run.document.edges if edge.status == "accepted"]
    assert found.mean_r2 == (pytest.approx(fmean(accepted)),) * 2


def test_runs_without_a_common_agent_are_refused_by_name(small_run, changed):
    alone = dataclasses.replace(changed, graph=TranslationGraph(["x", "y"]))

    with pytest.raises(NothingInCommonError, match=r"no agent of the same name.* agent-3 and x, y"):
        compare_runs(small_run, alone)


def test_the_command_prints_both_runs_or_one_json_document(small_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.npz").write_bytes(encode_npz(small_run))
    import_run(tmp_path / "run.npz", tmp_path / "runs" / "again")

    said = call("compare", small_run.folder.path, "again")
    assert (said.status, said.err) == (0, "")
    assert "No setting differs." in said.out
    rows = [line for line in said.out.splitlines() if line.startswith("agent-0 > agent-1")]
    assert len(rows) == 1
    assert rows[0].split()[-1] == "+0"

    document = json.loads(call("compare", small_run.folder.path, "again", "--json").out)
    assert len(document["edges"]) == len(small_run.document.edges)

    said = call("compare", "again", "runs/again")
    assert (said.status, said.out) == (2, "")
    assert "are the same run: name two" in said.err


def test_a_difference_of_settings_is_printed_as_run_takes_it(small_run, changed, tmp_path):
    from rich.console import Console

    from social_jepa.cli.runs_table import print_comparison

    with (tmp_path / "said").open("w") as file:
        print_comparison(compare_runs(small_run, changed), Console(file=file, width=160))
    text = (tmp_path / "said").read_text()

    assert [line.split() for line in text.splitlines() if line.startswith("seed")] == [["seed", "0", "7"]]
    assert "The scenes differ" in text
    assert "absent" in text
    assert load_config(overrides=["seed=7"]).seed == 7

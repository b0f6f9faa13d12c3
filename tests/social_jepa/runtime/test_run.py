"""A run as notebooks read it, in this process: the small run is not up."""

import shutil
import sys
import time
from collections.abc import Mapping, Set
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

import social_jepa as sj
from alignment.arrays import AlignmentError
from alignment.graph import UnknownAgentError
from social_jepa.config.time_parsing import FutureTimeError
from social_jepa.graph.query_errors import EdgeNotAcceptedError, FramesError
from social_jepa.graph.results_errors import NoAgentsError
from social_jepa.records import QueryAnswer, decode, replace
from social_jepa.runtime.errors import NotUpError
from social_jepa.storage.run_folder_errors import NotARunFolderError
from tests.support.command import call

OURS = {"env", "alignment", "agents", "social_jepa"}
FORMS = {"numpy": np.asarray, "torch": torch.as_tensor}
as_numpy_and_torch = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture(scope="module")
def run(small_run):
    return sj.open(small_run.folder.path)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_a_folder_is_opened_by_text_by_path_and_by_default_as_the_latest(small_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_run.folder.path, tmp_path / "runs" / "mine")

    for folder in (None, "runs/mine", tmp_path / "runs" / "mine", sj.open("runs/mine").folder):
        assert sj.open(folder).folder.path == tmp_path / "runs" / "mine"
        assert type(sj.open(folder)) is sj.Run
    assert sj.load_results("runs/mine").graph.agents == small_run.graph.agents
    assert sj.load_config("runs/mine/config.toml") == sj.open().config
    with pytest.raises(NotARunFolderError, match="runs is no run folder"):
        sj.open("runs")
    with pytest.raises(NotUpError):
        sj.Simulation.attach("runs/mine")


def test_the_run_that_comes_with_the_package_translates(tmp_path):
    run = sj.demo(folder=str(tmp_path / "demo"))
    translated = run.translate(run.encode("agent-0", ticks=[40, 20_000]), "agent-0", "agent-2")

    assert run.folder.path == tmp_path / "demo"
    assert translated.shape == (2, run.agent("agent-2").core_dim)


def test_tables_have_one_row_for_each_edge_and_each_agent(run, small_run):
    edges, agents = run.edges, run.agents

    assert isinstance(edges, pd.DataFrame)
    assert sorted(zip(edges.source, edges.target, strict=True)) == sorted(
        permutations(small_run.graph.agents, 2)
    )
    for row, edge in zip(edges.to_dict("records"), small_run.document.edges, strict=True):
        assert (row["source"], row["target"], row["status"]) == (edge.source, edge.target, edge.status)
        assert row["r2_shared"] == edge.r2_shared or (edge.r2_shared is None and np.isnan(row["r2_shared"]))
    assert agents.name.tolist() == list(small_run.graph.agents)
    assert agents.probe_r2.tolist() == [agent.probe_r2 for agent in small_run.document.agents]
    assert agents.state.tolist() == ["published"] * 4


def test_without_pandas_tables_are_lists_of_the_same_rows(run, monkeypatch):
    frames = run.edges, run.agents
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)  # as if it were not installed
        rows = run.edges, run.agents

    for frame, row in zip(frames, rows, strict=True):
        assert isinstance(row, list)
        pd.testing.assert_frame_equal(pd.DataFrame(row), frame)


@pytest.mark.parametrize("via", [None, "agent-2", "best", "universe"])
@as_numpy_and_torch
def test_translations_are_those_of_the_map_and_return_the_type_that_they_are_given(run, form, via):
    latents = form(run.encode("agent-0", ticks=[8, 9, 10]))
    translated = run.translate(latents, "agent-0", "agent-1", via=via)
    weight, bias = run.map("agent-0", "agent-1", via).numpy()

    assert type(translated) is type(latents)
    assert isinstance(weight, np.ndarray)
    np.testing.assert_allclose(translated, np.asarray(latents) @ weight + bias)
    np.testing.assert_allclose(run.translate(latents[0], "agent-0", "agent-1", via=via), translated[0])
    np.testing.assert_allclose(run.map("agent-0", "agent-1", via)(latents.tolist()), translated)


@as_numpy_and_torch
def test_frames_encode_to_what_the_agent_makes_of_their_ticks(run, form):
    ticks = [3, 8, 20_000]
    frames = form(run.render("agent-1", ticks))
    latents = run.encode("agent-1", frames)

    assert type(latents) is type(frames)
    assert latents.shape == (3, run.agent("agent-1").core_dim)
    np.testing.assert_allclose(latents, run.encode("agent-1", ticks=ticks), atol=1e-5)


@pytest.mark.parametrize(
    "frames",
    [np.zeros((2, 64, 64, 3), np.uint8), np.zeros((2, 32, 32, 3)), torch.zeros(32, 32, 3, dtype=torch.uint8)],
    ids=["another size", "another type", "one frame"],
)
def test_frames_that_the_model_cannot_encode_are_refused_by_shape(run, frames):
    with pytest.raises(FramesError, match=r"agent-0 cannot encode.*pass uint8 \[K, 32, 32, 3\], not"):
        run.encode("agent-0", frames)


def test_no_ticks_give_no_frames_and_no_latents(run):
    assert run.render("agent-1", []).shape == (0, 32, 32, 3)
    assert run.encode("agent-1", ticks=[]).shape == (0, run.agent("agent-1").core_dim)


def test_ticks_latents_and_numbers_of_ticks_that_mean_nothing_are_refused(run):
    with pytest.raises(AlignmentError, match=r"ticks are whole numbers, got 1\.5"):
        run.encode("agent-0", ticks=[1.5])
    latents = run.encode("agent-0", ticks=[1, 2])
    latents[1, 0] = np.nan
    with pytest.raises(AlignmentError, match="row 1 of the latents holds a value that is not finite"):
        run.translate(latents, "agent-0", "agent-1")
    for top in (0, -1):
        with pytest.raises(AlignmentError, match=f"not {top}; pass top=1 or more"):
            run.query("agent-0", "agent-1", top=top)


def test_frames_and_ticks_are_one_or_the_other(run):
    for given in ({}, {"frames": np.zeros((1, 32, 32, 3), np.uint8), "ticks": [0]}):
        with pytest.raises(AlignmentError, match="frames or ticks"):
            run.encode("agent-0", **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tick": 8}, ["--tick", "8"]),
        ({"tick": 20_000, "top": 2}, ["--tick", "20000", "--top", "2"]),
        ({"vector": np.array([0.5, -1.0]), "via": "best"}, ["--vector", "0.5,-1", "--via", "best"]),
        ({"vector": torch.tensor([0.5, -1]), "via": ["agent-2"]}, ["--vector", "0.5,-1", "--via", "agent-2"]),
    ],
)  # fmt: skip
def test_a_query_has_the_answer_of_the_command(run, given, words):
    said = call("query", "--run", run.folder.path, *words, "--json")

    assert run.query(**given) == decode(said.out, QueryAnswer)


def test_edges_that_were_not_accepted_have_no_map_and_unknown_agents_are_named(run):
    with pytest.raises(EdgeNotAcceptedError, match="agent-0 -> agent-3 was failed"):
        run.map("agent-0", "agent-3")
    for use in (run.agent, lambda name: run.edge(name, "agent-0"), lambda name: run.render(name, [0])):
        with pytest.raises(UnknownAgentError, match="did you mean 'agent-2'"):
            use("agent-22")


def public_objects(*roots):
    """Every object of our packages that is reached from roots by public attributes and containers."""
    seen, waiting, found = {}, list(roots), []
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen[id(each)] = each
        if isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, list | tuple | Set):
            waiting += each
        if type(each).__module__.split(".")[0] in OURS and not isinstance(each, type):
            found.append(each)
            waiting += [
                getattr(each, name)
                for name in dir(each)
                if not name.startswith("_") and not callable(getattr(type(each), name, None))
                and hasattr(each, name)
            ]  # fmt: skip
    return found


def test_the_repr_of_every_public_object_is_short(run, small_run, tmp_path):
    long = sj.open(shutil.copytree(small_run.folder.path, tmp_path / ("long" * 20) / ("name" * 40)))
    rng = np.random.default_rng(0)
    table = rng.standard_normal((80, 6))
    found = public_objects(
        run, long, run.results(), small_run, run.query(), run.edge("agent-0", "agent-1"), run.graph.edges,
        run.results().universe(), run.results().pools("agent-0"), run.map("agent-0", "agent-1"),
        sj.load_config(overrides=['scene.renderer="toy"', "agents.count=64", "training.steps=7"]),
        sj.align(table, table @ rng.standard_normal((6, 4))), sj.EmbeddingPeer("peer", None, table),
        sj.AnchorItems.from_bytes(b"%d" % number for number in range(9)),
    )  # fmt: skip

    kinds = {type(each).__name__ for each in found}
    assert {"Run", "Results", "EdgeRecord", "AgentRecord", "RunConfig", "Universe", "AnchorPools"} <= kinds
    assert {type(each): repr(each) for each in found if len(repr(each)) > 200} == {}
    assert not [each for each in found if "\n" in repr(each)]


def test_every_part_of_a_run_shows_itself_as_html(run):
    edge = run.edge("agent-0", "agent-1")
    shown = {
        "run": run._repr_html_(), "graph": run.graph._repr_html_(), "edge": edge._repr_html_(),
        "agent": run.agent("agent-0")._repr_html_(), "results": run.results()._repr_html_(),
    }  # fmt: skip

    for html in (shown["run"], shown["graph"], shown["results"]):
        assert all(html.count(f">{name}<") == 2 for name in run.graph.agents)  # a row and a column each
        assert f">{edge.r2_shared:.2f}</td>" in html
        assert "failed: agent-0 and agent-3 did not finish negotiating in time" in html
    assert "data:image/svg+xml;base64," in shown["run"]
    assert str(run.folder.path) in shown["run"]
    assert f"{edge.r2_shared:.4g}" in shown["edge"]
    assert 'title="Held-out R2 of the ridge map' in shown["edge"]
    assert run.agent("agent-0").checkpoint in shown["agent"]


def test_html_shows_text_that_looks_like_a_tag_as_text(run):
    edge = replace(run.edge("agent-0", "agent-1"), reason="<script>alert(1)</script>")

    assert "<script" not in edge._repr_html_()
    assert "&lt;script&gt;" in edge._repr_html_()


def test_the_plot_of_a_run_is_the_matrix_of_its_maps(run):
    axes = run.plot()
    matrix = axes.images[0].get_array()

    assert [label.get_text() for label in axes.get_yticklabels()] == list(run.graph.agents)
    for edge in run.results().document.edges:
        row, column = (run.graph.agents.index(name) for name in (edge.source, edge.target))
        if edge.status == "accepted":
            assert matrix[row, column] == edge.r2_shared
        else:
            assert matrix.mask[row, column]
    assert len(axes.texts) == sum(edge.status == "accepted" for edge in run.results().document.edges)


def test_the_plot_of_an_edge_has_a_bar_for_each_direction_and_draws_into_given_axes(run):
    edge, axes = run.edge("agent-0", "agent-1"), plt.figure().subplots()

    assert edge.plot(axes) is axes
    bars = sorted(bar.get_height() for bar in axes.patches)
    assert bars == pytest.approx(sorted(edge.correlations))
    assert axes.get_title(loc="left") == f"agent-0 to agent-1: 2 shared, R² {edge.r2_shared:.2f}"


def test_an_earlier_graph_is_read_by_time(run, small_run):
    assert run.results("now").document.edges == run.results().document.edges
    with pytest.raises(NoAgentsError):
        run.results("2 weeks ago")


@pytest.mark.parametrize("ahead", [1e6, 1e15])
def test_a_time_that_has_not_come_is_refused_as_a_number_as_well(run, ahead):
    with pytest.raises(FutureTimeError, match="in the future"):
        run.results(time.time() + ahead)

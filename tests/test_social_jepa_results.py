import shutil

import pytest
import torch

from social_jepa.results import load_results, save_results
from social_jepa.store import RunFolder, StoreError


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of the small run, to be harmed."""
    return RunFolder(shutil.copytree(small_run.folder.path, tmp_path / "run"))


def test_what_is_read_back_answers_as_the_run_did(small_run):
    edge = small_run.graph.edge("agent-0", "agent-1")
    points = small_run.pools("agent-0").heldout.core().double()

    assert edge.status == "accepted"
    torch.testing.assert_close(edge.map(points), small_run.maps["agent-0/agent-1/core"](points))


def test_pools_are_the_two_stretches_with_the_core_first(small_run):
    pools = small_run.pools("agent-2")
    entry = next(agent for agent in small_run.document["agents"] if agent["name"] == "agent-2")

    assert not set(pools.anchors.ids) & set(pools.heldout.ids)
    assert pools.anchors.vectors.shape[1] == entry["dim"]
    assert pools.heldout.core().shape[1] == entry["core_dim"]


def test_graph_json_is_written_last(run, monkeypatch):
    results = load_results(run)
    run.graph_file.unlink()
    monkeypatch.setattr(results.graph.__class__, "to_graphml", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        save_results(run, results.document, results.graph, results.maps, {})

    assert not run.graph_file.exists()


@pytest.mark.parametrize(
    "name", ["agents/agent-1/anchors.safetensors", "agents/agent-0/checkpoint.safetensors"]
)
def test_tensors_of_something_else_are_no_maps(run, name):
    shutil.copy(run.path / name, run.maps_file)

    with pytest.raises(StoreError, match=r"maps.safetensors is missing or damaged .*: resume the run"):
        load_results(run)


def test_tensors_of_something_else_are_no_pools(run):
    shutil.copy(run.maps_file, run.agent("agent-1") / "anchors.safetensors")

    with pytest.raises(StoreError, match=r"anchors.safetensors is missing or damaged .*: resume the run"):
        load_results(run).pools("agent-1")

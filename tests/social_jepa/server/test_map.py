"""The maps of an edge as a file, and the graph as it was."""

import contextlib
import io
import json
import time

import numpy as np
import pytest
from safetensors import safe_open

from alignment.status import Status
from social_jepa.records import replace
from social_jepa.runtime.simulation import open_run
from social_jepa.storage.ledger import Ledger
from tests.support.command import call
from tests.support.servers import client_of, copy_run


@pytest.fixture(scope="module")
def api(small_run):
    with client_of(small_run.folder) as client:
        yield client


@pytest.fixture(scope="module")
def edge(small_run):
    return next(edge for edge in small_run.document.edges if edge.status is Status.ACCEPTED)


def test_the_recipe_of_a_downloaded_map_translates_as_the_map_does(api, small_run, edge, tmp_path):
    response = api.get(f"/api/edges/{edge.source}/{edge.target}/map")
    file = tmp_path / "map.safetensors"
    file.write_bytes(response.content)
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()
    heldout = small_run.pools(edge.source).heldout

    found = {"file": file, "latents": heldout.vectors.numpy()}
    exec(metadata["recipe"], found)

    expected = small_run.maps[f"{edge.source}/{edge.target}/shared"](heldout.core()).numpy()
    np.testing.assert_allclose(found["translated"], expected, rtol=1e-5, atol=1e-6)
    assert f'filename="{edge.source}-to-{edge.target}.safetensors"' in response.headers["content-disposition"]
    assert json.loads(metadata["models"])[edge.source] == edge.source_checkpoint
    assert json.loads(metadata["edge"])["r2_shared"] == edge.r2_shared
    assert {"basis", "versions", "format"} <= metadata.keys()


def test_npz_has_the_same_arrays(api, small_run, edge):
    content = api.get(f"/api/edges/{edge.source}/{edge.target}/map", params={"format": "npz"}).content

    with np.load(io.BytesIO(content)) as arrays:
        names = {name for name in small_run.maps if name.startswith(f"{edge.source}/{edge.target}/")}
        assert {name.rpartition("/")[0] for name in arrays.files if name != "metadata"} == names
        for name in names:
            np.testing.assert_array_equal(arrays[f"{name}/weight"], small_run.maps[name].weight.numpy())
        assert json.loads(str(arrays["metadata"]))["format"] == "social-jepa map 1"


@pytest.fixture
def renegotiated(small_run, edge, tmp_path):
    """A run in which an edge failed after it had been accepted, and the time between."""
    folder, between = copy_run(small_run.folder, tmp_path), time.time()
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        ledger.record(edges=[replace(edge, status=Status.FAILED, reason="no answer", round=edge.round + 1)])
    return folder, f"{np.datetime64(int(between * 1000), 'ms')}Z"


def test_an_edge_its_map_and_the_graph_are_read_as_of_a_time(renegotiated, edge):
    folder, between = renegotiated
    address = f"/api/edges/{edge.source}/{edge.target}"
    with client_of(folder) as client:
        now, before = client.get(address), client.get(address, params={"as_of": between})
        assert (now.json()["status"], before.json()["status"]) == ("failed", "accepted")

        refused = client.get(f"{address}/map")
        assert refused.status_code == 409
        assert "is failed and has no map (no answer)" in refused.json()["detail"]
        assert client.get(f"{address}/map", params={"as_of": between}).status_code == 200

        matrices = [client.get("/api/quality", params=when).json() for when in ({}, {"as_of": between})]
        row, column = (matrices[0]["agents"].index(name) for name in (edge.source, edge.target))
        assert [matrix["status"][row][column] for matrix in matrices] == ["failed", "accepted"]

        drawings = [client.get("/api/graph.svg", params=when).text for when in ({}, {"as_of": between})]
        assert ["no answer" in drawing for drawing in drawings] == [True, False]
        plots = [client.get(f"{address}/directions.svg", params=when) for when in ({}, {"as_of": between})]
        assert [plot.status_code for plot in plots] == [200, 200]


def test_now_is_the_newest_state_also_after_the_clock_was_set_back(small_run, edge, tmp_path, monkeypatch):
    folder, clock = copy_run(small_run.folder, tmp_path), time.time
    with monkeypatch.context() as patch, contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        patch.setattr(time, "time", lambda: clock() + 3600)  # it is set back once this is recorded
        ledger.record(edges=[replace(edge, status=Status.FAILED, reason="no answer", round=edge.round + 1)])
    address = f"/api/edges/{edge.source}/{edge.target}"
    with client_of(folder) as client:
        found = [client.get(address, params=when).json()["status"] for when in ({}, {"as_of": "now"})]
        tags = [client.get("/api/graph", params=when).headers["etag"] for when in ({}, {"as_of": "now"})]
    said = json.loads(call("graph", "--run", folder.path, "--as-of", "now", "--json").out)

    of_command = {(each["source"], each["target"]): each["status"] for each in said["edges"]}
    assert [*found, of_command[edge.source, edge.target]] == ["failed"] * 3
    assert open_run(folder).results("now").edge(edge.source, edge.target).status is Status.FAILED
    assert tags[0] == tags[1]

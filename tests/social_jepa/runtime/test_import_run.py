"""What is exported and imported again is the same graph; what is no export is refused."""

import contextlib
import csv
import io
import json
import tomllib

import networkx as nx
import numpy as np
import pytest
import safetensors.numpy
import tomli_w
import torch
from safetensors import safe_open

from social_jepa.graph.exchange import ENCODERS, RECIPE, ExportFileError, read_export
from social_jepa.graph.query import query
from social_jepa.graph.results import full_document, load_results
from social_jepa.graph.results_errors import DamagedAnchorsError
from social_jepa.records import as_dict
from social_jepa.runtime.continuation import change_settings
from social_jepa.runtime.errors import NoCheckpointsError
from social_jepa.runtime.import_run import import_run
from social_jepa.runtime.membership import record_start
from social_jepa.storage.ledger import Ledger
from tests.support.command import call
from tests.support.servers import client_of

WHOLE = ("safetensors", "npz")


def without_times(document):
    """A graph without the times at which a ledger recorded it, which an import does not keep."""
    found = as_dict(document)
    found.pop("as_of")
    for group, key in (("agents", "published_at"), ("edges", "time")):
        for row in found[group]:
            row.pop(key)
    return found


def write(results, tmp_path, form, anchors=False):
    path = tmp_path / f"run.{form}"
    path.write_bytes(ENCODERS[form](results, anchors))
    return path


@pytest.mark.parametrize("form", WHOLE)
def test_an_imported_run_has_the_graph_the_maps_and_the_members_that_were_exported(small_run, tmp_path, form):
    folder = import_run(write(small_run, tmp_path, form), tmp_path / "again")
    found = load_results(folder)

    assert without_times(found.document) == without_times(load_results(small_run.folder).document)
    assert found.config == small_run.config
    assert (found.members, found.bodies) == (small_run.members, small_run.bodies)
    assert found.maps.keys() == small_run.maps.keys()
    for name, expected in small_run.maps.items():
        assert torch.equal(found.maps[name].weight, expected.weight)
        assert torch.equal(found.maps[name].bias, expected.bias)


@pytest.mark.parametrize("setting", ["renderer", "dynamics", "source"])
def test_a_run_is_read_where_the_code_or_the_frames_of_its_scene_are_missing(small_run, tmp_path, setting):
    folder = import_run(write(small_run, tmp_path, "npz", anchors=True), tmp_path / "again")
    settings = tomllib.loads(folder.config_file.read_text())
    settings["scene"][setting] = "my_pkg:Missing"
    folder.config_file.write_text(tomli_w.dumps(settings))
    found = load_results(folder)

    assert found.document.scene_fingerprint == small_run.document.scene_fingerprint
    assert found.document.edges
    for verb in ("graph", "edge", "export", "list"):
        names = ["agent-0", "agent-1"] if verb == "edge" else []
        where = [folder.path] if verb == "list" else ["--run", folder.path]
        extra = ["--out", tmp_path / "again.npz"] if verb == "export" else []
        said = call(verb, *names, *where, *extra)
        assert said.status == 0, said.err


def test_a_server_shows_a_run_whose_frames_are_missing(small_run, tmp_path):
    folder = import_run(write(small_run, tmp_path, "npz", anchors=True), tmp_path / "again")
    settings = tomllib.loads(folder.config_file.read_text())
    settings["scene"]["source"] = "my_pkg:Missing"
    folder.config_file.write_text(tomli_w.dumps(settings))

    with client_of(folder) as client:
        status = client.get("/api/status")
        assert (status.status_code, status.json()["ticks"], status.json()["views"]) == (200, None, None)
        assert client.get("/api/graph").json()["edges"]


def test_an_import_is_not_resumed_since_its_agents_would_start_anew(small_run, tmp_path, monkeypatch):
    folder = import_run(write(small_run, tmp_path, "npz"), tmp_path / "again")
    with pytest.raises(DamagedAnchorsError, match="export its run with --anchors, and import that"):
        query(load_results(folder), "agent-0", "agent-1", tick=0)

    before = folder.config(), load_results(folder).document.edges
    with pytest.raises(NoCheckpointsError):
        change_settings(folder, ["negotiation.topology=ring", "training.steps=9"])
    assert (folder.config(), load_results(folder).document.edges) == before
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        for _ in range(2):
            with pytest.raises(NoCheckpointsError, match=r"its agents would start anew .*config.toml"):
                record_start(ledger, folder.config(), folder, "resumed", online=False)
        assert len(ledger.agents()) == 4


def test_an_import_that_is_interrupted_leaves_no_folder(small_run, tmp_path, monkeypatch):
    file = write(small_run, tmp_path, "safetensors")
    monkeypatch.setattr(Ledger, "record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        import_run(file, tmp_path / "again")

    assert not (tmp_path / "again").exists()


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_exporting_an_imported_run_changes_nothing(small_run, tmp_path):
    first = read_export(write(small_run, tmp_path, "safetensors", anchors=True))
    (tmp_path / "b").mkdir()
    folder = import_run(tmp_path / "run.safetensors", tmp_path / "again")
    second = read_export(write(load_results(folder), tmp_path / "b", "npz", anchors=True))

    assert without_times(first.run.document) == without_times(second.run.document)
    assert first.maps.keys() == second.maps.keys()
    assert first.anchors.keys() == second.anchors.keys() == set(small_run.graph.agents)


def test_with_anchors_an_imported_run_answers_queries_and_scores_cycles(small_run, tmp_path):
    folder = import_run(write(small_run, tmp_path, "safetensors", anchors=True), tmp_path / "again")
    results, vector = load_results(folder), [0.5] * small_run.agent("agent-0").core_dim

    found = query(results, "agent-0", "agent-1", vector=vector)
    expected = query(small_run, "agent-0", "agent-1", vector=vector)
    assert (found.nearest, found.translated) == (expected.nearest, expected.translated)
    assert full_document(results).cycles == small_run.document.cycles


def test_an_import_has_no_model_for_other_ticks_and_resume_is_not_said_to_write_it(small_run, tmp_path):
    folder = import_run(write(small_run, tmp_path, "safetensors", anchors=True), tmp_path / "again")
    known = small_run.pools("agent-0").heldout.ids[0]
    reason = (
        f"{folder.agent('agent-0')}/published.safetensors does not exist, so there is no checkpoint: without "
        "a checkpoint to write it from, only held-out ticks can be queried here"
    )

    said = call("query", "--run", folder.path, "--from", "agent-0", "--to", "agent-1", "--tick", 10**6)
    assert (said.status, said.err) == (2, f"social-jepa: {reason}\n")
    with client_of(folder) as client:
        body = {"from": "agent-0", "to": "agent-1", "ticks": [10**6]}
        refused = client.post("/api/translate", json=body)
        assert client.post("/api/translate", json=body | {"ticks": [known]}).status_code == 200
    assert (refused.status_code, refused.json()["detail"]) == (409, reason)


def test_the_recipe_in_the_metadata_translates_as_the_map_does(small_run, tmp_path):
    path = write(small_run, tmp_path, "safetensors")
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    source, target = next(
        (edge.source, edge.target) for edge in small_run.document.edges if edge.status == "accepted"
    )
    latents = small_run.pools(source).heldout.vectors
    core = small_run.pools(source).heldout.core()

    found = {"file": path, "latents": latents.numpy()}
    exec(metadata["recipe"], found)

    assert len(metadata["recipe"].splitlines()) == 5
    np.testing.assert_allclose(
        found["translated"], small_run.maps[f"{source}/{target}/shared"](core).numpy(), rtol=1e-5, atol=1e-6
    )
    assert "source @ weight + bias" in metadata["basis"]
    assert json.loads(metadata["versions"]).keys() >= {"torch", "commit", "social-jepa"}
    assert json.loads(metadata["models"])[source] == small_run.agent(source).checkpoint
    assert RECIPE.format(source=source, target=target) == metadata["recipe"]


def test_csv_has_the_scores_of_every_edge(small_run):
    rows = list(csv.DictReader(io.StringIO(ENCODERS["csv"](small_run, False).decode())))

    assert len(rows) == len(small_run.document.edges)
    for row, edge in zip(rows, small_run.document.edges, strict=True):
        for name in ("source", "target", "status", "reason"):
            assert row[name] == getattr(edge, name)
        for name in ("r2", "r2_shared", "kappa", "shared_dim", "bytes"):
            value = getattr(edge, name)
            assert (row[name] == "") if value is None else (float(row[name]) == value)
        assert (int(row["source_core_dim"]), int(row["target_core_dim"])) == edge.core_dims


def test_graphml_has_the_agents_and_edges(small_run):
    network = nx.parse_graphml(ENCODERS["graphml"](small_run, False).decode())

    assert set(network) == set(small_run.graph.agents)
    found = {(a, b): data["r2_shared"] for a, b, data in network.edges(data=True)}
    assert found == {(edge.source, edge.target): edge.r2_shared or 0.0 for edge in small_run.document.edges}


def damaged(path, change):
    """Write the export again with its arrays and metadata changed."""
    with safe_open(path, framework="numpy") as file:
        arrays, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    run = json.loads(metadata["run"])
    change(arrays, metadata, run)
    path.write_bytes(safetensors.numpy.save(arrays, metadata | {"run": json.dumps(run)} if run else metadata))


def other_format(arrays, metadata, run):
    metadata["format"] = "social-jepa export 99"


def not_finite(arrays, metadata, run):
    next(iter(arrays.values()))[...] = np.nan


def other_settings(arrays, metadata, run):
    run["config"]["seed"] = 7


def impossible_setting(arrays, metadata, run):
    run["config"]["agents"]["count"] = 1


def unknown_key(arrays, metadata, run):
    run["password"] = "x"


def unknown_edge(arrays, metadata, run):
    arrays["agent-0/agent-9/shared/weight"] = np.eye(2, dtype=np.float32)
    arrays["agent-0/agent-9/shared/bias"] = np.zeros(2, dtype=np.float32)


def half_a_map(arrays, metadata, run):
    del arrays[next(name for name in arrays if name.endswith("/bias"))]


def no_map_of_an_accepted_edge(arrays, metadata, run):
    for name in [name for name in arrays if "/shared/" in name]:
        del arrays[name]


def other_dimensions(arrays, metadata, run):
    name = next(name for name in arrays if name.endswith("/shared/weight"))
    arrays[name] = np.eye(9, dtype=np.float32)
    arrays[name.replace("weight", "bias")] = np.zeros(9, dtype=np.float32)


def outside_of_the_folder(arrays, metadata, run):
    arrays["anchors/../../evil/ticks"] = np.zeros(2, dtype=np.float32)


@pytest.mark.parametrize(
    "change",
    [
        other_format, not_finite, other_settings, impossible_setting, unknown_key, unknown_edge, half_a_map,
        no_map_of_an_accepted_edge, other_dimensions, outside_of_the_folder,
    ],
    ids=lambda each: each.__name__,
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused_and_creates_nothing(small_run, tmp_path, change):
    path = write(small_run, tmp_path, "safetensors", anchors=True)
    damaged(path, change)

    with pytest.raises(ExportFileError, match="holds no export of a run"):
        import_run(path, tmp_path / "again")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.safetensors"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut", b"\xff" * 100])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)

    said = call("import", tmp_path / "file", "--out", tmp_path / "again")
    assert (said.status, said.out) == (2, "")
    assert "holds no export of a run" in said.err
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("form", WHOLE)
def test_a_file_that_was_cut_is_refused(small_run, tmp_path, form, part):
    path = write(small_run, tmp_path, form)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])

    with pytest.raises(ExportFileError):
        read_export(path)


def test_an_archive_with_a_pickle_is_refused(tmp_path):
    np.savez(tmp_path / "file.npz", metadata=np.array({"format": 1}, dtype=object))

    with pytest.raises(ExportFileError, match="pickle"):
        read_export(tmp_path / "file.npz")


@pytest.mark.parametrize("form", ENCODERS)
def test_the_command_writes_what_the_function_returns(small_run, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    said = json.loads(call("export", "--run", small_run.folder.path, "--format", form, "--json").out)

    assert said["export"] == f"run.{form}"
    if form in WHOLE:
        again = json.loads(call("import", said["export"], "--json").out)
        assert call("graph", "--run", again["run"], "--matrix").status == 0
    else:
        assert (tmp_path / f"run.{form}").read_bytes() == ENCODERS[form](
            load_results(small_run.folder), False
        )


def test_anchors_are_refused_where_they_cannot_be_held(small_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = call("export", "--run", small_run.folder.path, "--format", "csv", "--anchors")

    assert (said.status, list(tmp_path.iterdir())) == (2, [])
    assert "--format csv cannot hold" in said.err

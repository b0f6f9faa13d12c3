"""Agents of different kinds in one graph."""

import json

import pytest

from social_jepa.storage.run_folder import RunFolder
from tests.support.command import TINY, call

pytestmark = pytest.mark.ray

KINDS = ["jepa", "jepa", "seq_jepa", "p_jepa"]
MIXED = (
    *TINY, "agents.count=4", f"agents.kinds={json.dumps(KINDS)}", "training.segments=16",
    "model.seq_jepa.encoder.dim=8", "model.seq_jepa.encoder.width=8", "model.seq_jepa.action_dim=4",
    "model.seq_jepa.heads=2", "model.seq_jepa.views=3", "model.p_jepa.encoder.dim=8",
    "model.p_jepa.encoder.width=8", "model.p_jepa.controlled_objects=1", "model.p_jepa.random_target_dim=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(ray_local, tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("mixed") / "run")
    said = call("run", "--out", folder.path, "--address", ray_local, "--json", *MIXED)
    assert said.status == 0, said.err
    return folder, json.loads(said.out)


def test_every_edge_of_a_mixed_society_has_a_verdict_and_a_held_out_figure(finished):
    _, document = finished

    assert [agent["kind"] for agent in document["agents"]] == KINDS
    assert len(document["edges"]) == 12
    collapsed = {agent["name"] for agent in document["agents"] if agent["collapsed"]}
    for edge in document["edges"]:
        assert edge["status"] in ("accepted", "refused")
        if {edge["source"], edge["target"]} & collapsed:
            assert "collapsed" in edge["reason"]
        else:
            translates = edge["shared_dim"] > 0 and edge["r2_shared"] > 0
            assert translates == (edge["status"] == "accepted")
            shared = edge["correlations"][: edge["shared_dim"]]
            assert all(correlation > edge["null_correlation"] for correlation in shared)


def test_a_tick_outside_the_memory_is_embedded_as_each_kind_sees_it(finished):
    folder, document = finished
    accepted = [edge for edge in document["edges"] if edge["status"] == "accepted"]
    asked = {edge["source"]: edge["target"] for edge in accepted}
    for source, target in asked.items():
        said = call(
            "query", "--run", folder.path, "--from", source, "--to", target, "--tick", "999999", "--json"
        )  # fmt: skip
        assert said.status == 0, said.err
        assert len(json.loads(said.out)["vector"]) > 0

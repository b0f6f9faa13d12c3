import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from benchmarks import edge_bytes
from social_jepa.experiments.common.trained_agents import TrainedAgent

CORE, ROWS = 4, NegotiationConfig().pool_ticks
COMBINATIONS = ((64, 64, "all", "float32"), (64, 64, "core", "float32"), (64, 64, "core", "int8"))


def pair(seed, *, related):
    """Return two agents whose cores are one white process, each in its own axes, or two unrelated ones."""
    rng, model, agents = np.random.default_rng(seed), build_world_model("jepa", ModelConfig(), 48, [0]), []
    common = rng.standard_normal((2 * ROWS, CORE))
    for number in range(2):
        process = common if related else rng.standard_normal(common.shape)
        turn = np.linalg.qr(rng.standard_normal((CORE, CORE)))[0]
        rest = rng.standard_normal((2 * ROWS, model.dim - CORE))
        vectors = torch.from_numpy(np.hstack([process @ turn, rest])).float()
        anchors, heldout = (
            AnchorSet(tuple(range(start, start + ROWS)), vectors[start : start + ROWS], CORE)
            for start in (0, ROWS)
        )
        flat = torch.zeros(model.dim)
        basis = CoreBasis(flat, torch.eye(model.dim), flat, CORE, flat, 0.1)
        agents.append(TrainedAgent(f"agent-{number}", model, basis, anchors, heldout, None, 0, 0.0))
    return agents


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge_bytes, "COMBINATIONS", COMBINATIONS)
        return edge_bytes.measure({7: pair(0, related=True), 8: pair(1, related=False)}, 1)


def edges(row, seed):
    return [edge for edge in row["edges"] if edge["seed"] == seed]


def test_both_edges_of_one_process_are_measured_and_unrelated_agents_score_nothing(rows):
    for row in rows:
        assert {(edge["source"], edge["target"]) for edge in edges(row, 7)} == {
            ("agent-0", "agent-1"), ("agent-1", "agent-0"),
        }  # fmt: skip
        assert all(edge["shared"] == CORE and edge["r2"] > 0.99 for edge in edges(row, 7))
        assert all(edge["shared"] == edge["r2"] == 0 for edge in edges(row, 8))


def test_what_is_not_sent_is_what_bytes_shrink_by(rows):
    """Of 128 embeddings: all dimensions and the core in four bytes, the core in one byte with scales."""
    every, core, small = ([(e["bytes"], e["embeddings"]) for e in edges(row, 7)] for row in rows)
    dim = ModelConfig().dim

    for all_of, core_of, small_of in zip(every, core, small, strict=True):
        assert all_of[1] == 128 * dim * 4
        assert core_of[1] == 128 * CORE * 4
        assert 128 * CORE <= small_of[1] < 128 * CORE * 1.2
        assert all_of[0] - core_of[0] == pytest.approx(all_of[1] - core_of[1], abs=8)
        assert core_of[0] - small_of[0] == pytest.approx(core_of[1] - small_of[1], abs=8)


def test_the_terminal_and_the_docs_show_the_same_rows(rows, tmp_path, monkeypatch):
    script = Path(__file__).resolve().parents[2] / "scripts" / "update_docs.py"
    spec = importlib.util.spec_from_file_location("update_docs", script)
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    monkeypatch.setattr(generator, "EDGE_BYTES", tmp_path / "edge_bytes.json")
    document = {"seeds": [7, 8], "searched_seeds": [100], "small_bytes": 1024, "rows": rows}
    generator.EDGE_BYTES.write_text(json.dumps(document))

    shown = [line.split() for line in edge_bytes.table(rows)[1:]]
    written = [line.split(" | ") for line in generator.edge_bytes_block().splitlines()[2 : 2 + len(rows)]]

    assert [row[-1] for row in shown] == [row[7] for row in written]
    assert [row[2:4] for row in shown] == [row[2:4] for row in written]

import copy
import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
import torch

from agents.protocol.edge import EdgeResult
from alignment.edge_score import EdgeScore
from alignment.linear_map import LinearMap
from alignment.status import Status
from social_jepa.graph.graph_json import budget_entry, edge_entry, pack_maps, unpack_maps

SCHEMA = json.loads((Path(__file__).parents[3] / "social_jepa" / "graph" / "graph.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SCORE = EdgeScore(
    r2=0.5, r2_core=0.9, null_r2=-0.1, spectrum=(1.0, 0.8), null_spectrum=(0.2, 0.1), kappa=1.25,
    isometry_deviation=0.25, retrieval_at_1=0.7, cka=0.6, mutual_knn=0.5,
)  # fmt: skip


def settled(score=SCORE, budget=()):
    return EdgeResult("a", "b", 0, Status.ACCEPTED, "", "0" * 16, "1" * 16, score=score, budget=budget)


def schemas(part=SCHEMA):
    """All objects' properties, wherever in the schema they are."""
    if isinstance(part, dict):
        yield from part.get("properties", {}).items() if "required" in part else ()
        for value in part.values():
            yield from schemas(value)


def accepted(document):
    return next(edge for edge in document["edges"] if edge["status"] == "accepted")


def refused(document):
    return next(edge for edge in document["edges"] if edge["status"] == "refused")


BREAKS = {
    "a field that nobody described": lambda d: d.update(weights=[1.0]),
    "an agent's field that nobody described": lambda d: d["agents"][0].update(pixels=""),
    "a missing field": lambda d: d.pop("seed"),
    "an R2 above 1": lambda d: accepted(d).update(r2_core=1.2),
    "an accepted edge without figures": lambda d: accepted(d).update(r2_core=None),
    "a refused edge without a sentence": lambda d: refused(d).update(reason=""),
    "a verdict that nobody knows": lambda d: accepted(d).update(status="perhaps"),
    "a condition number below 1": lambda d: accepted(d).update(kappa=0.5),
    "a hash that is none": lambda d: d.update(config_hash="latest"),
    "a camera under the floor": lambda d: d["agents"][0]["pose"].update(y=-1.0),
    "negative bytes": lambda d: accepted(d).update(bytes=-1),
    "a life before the first": lambda d: d["agents"][0].update(incarnation=0),
    "an edge of no time": lambda d: accepted(d).pop("time"),
    "a stale edge without a sentence": lambda d: refused(d).update(status="stale", reason=""),
    "half of the phases": lambda d: d["seconds"].pop("train"),
    "a graph of no time": lambda d: d.pop("as_of"),
}


def test_the_schema_is_a_schema():
    VALIDATOR.check_schema(SCHEMA)


def test_a_finished_run_meets_the_schema(small_run):
    VALIDATOR.validate(json.loads(small_run.folder.graph_file.read_text()))


def test_a_graph_of_agents_that_still_learn_meets_the_schema(small_run):
    document = copy.deepcopy(small_run.document)
    names = [agent["name"] for agent in document["agents"]]
    for edge in document["edges"]:
        edge |= {"status": "stale", "reason": "agent-0 has moved its camera and learns its new view"}

    VALIDATOR.validate({**document, "agents": [], "learning": names, "cycles": [], "seconds": {}})


def test_a_run_shows_what_was_refused_and_what_failed(small_run):
    verdicts = [edge["status"] for edge in small_run.document["edges"]]

    assert len(verdicts) == 12
    assert {word: verdicts.count(word) for word in verdicts} == {"accepted": 6, "refused": 5, "failed": 1}


@pytest.mark.parametrize("spoil", BREAKS.values(), ids=BREAKS)
def test_a_document_that_contradicts_itself_is_no_graph(small_run, spoil):
    document = copy.deepcopy(small_run.document)
    spoil(document)

    assert not VALIDATOR.is_valid(document)


def test_every_field_says_what_it_is():
    names = SCHEMA["$defs"]

    def described(field):
        return "description" in field or "description" in names.get(field.get("$ref", "").split("/")[-1], {})

    assert [name for name, field in schemas() if not described(field)] == []


def test_what_json_has_no_word_for_is_null():
    entry = edge_entry(settled(dataclasses.replace(SCORE, spectrum=(1.0, 0.0), kappa=float("inf"))))

    assert entry["kappa"] is None
    assert entry["r2_core"] == 0.9
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry


def test_an_edge_that_was_never_scored_has_no_figures_rather_than_zeros():
    entry = edge_entry(settled(score=None))

    assert entry["r2"] is entry["r2_core"] is entry["cka"] is None
    assert entry["spectrum"] == []


def test_the_budget_of_a_run_is_the_mean_and_the_worst_over_its_edges():
    edges = [
        edge_entry(settled(budget=({"pairs": 8, "method": "ridge", "r2": r2},))) for r2 in (0.9, 0.5, -0.2)
    ]

    assert budget_entry(edges) == [
        {"pairs": 8, "method": "ridge", "r2_mean": pytest.approx(0.4), "r2_min": -0.2}
    ]


def test_the_cycles_follow_from_the_maps_and_memories_on_disk(small_run):
    """What the document says can be found again from the run folder alone."""
    found = [
        small_run.graph.cycle_error(cycle["agents"], small_run.pools(cycle["agents"][0]).heldout.core())
        for cycle in small_run.document["cycles"]
    ]

    assert len(found) == 2
    assert found == pytest.approx([cycle["error"] for cycle in small_run.document["cycles"]], rel=1e-6)


def test_the_maps_of_an_edge_come_back_as_they_were():
    maps = {
        part: LinearMap(torch.randn(3, size), torch.randn(size)) for part, size in (("core", 2), ("full", 4))
    }
    edge = dataclasses.replace(settled(), map=maps["full"], core_map=maps["core"])

    back = unpack_maps("a", "b", pack_maps(edge))

    assert list(back) == ["a/b/core", "a/b/full"]
    for name, found in back.items():
        assert torch.equal(found.weight, maps[name[4:]].weight)
        assert torch.equal(found.bias, maps[name[4:]].bias)
    assert pack_maps(settled()) is None

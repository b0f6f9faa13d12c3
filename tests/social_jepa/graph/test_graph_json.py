import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
import torch

from agents.protocol.edge import EdgeResult
from alignment.edge import Edge as AlignedEdge
from alignment.edge_score import EdgeScore
from alignment.graph import TranslationGraph
from alignment.linear_map import LinearMap
from alignment.status import Status
from social_jepa.graph.graph_json import (
    cycle_records,
    edge_record,
    pack_maps,
    summarize_budget,
    unpack_maps,
)
from social_jepa.records import BudgetSummary, TickRange, as_dict, decode, encode, graph_schema

SCHEMA_FILE = Path(__file__).parents[3] / "social_jepa" / "records" / "graph.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SCORE = EdgeScore(
    r2=0.5, r2_shared=0.9, shared_dim=2, correlations=(1.0, 0.8), null_correlation=0.2, latent_shared_dim=3,
    latent_correlations=(1.0, 0.9, 0.8, 0.1), latent_null_correlation=0.3, kappa=1.25,
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


def plain(document):
    """A document as other programs read it."""
    return json.loads(encode(document))


def accepted(document):
    return next(edge for edge in document["edges"] if edge["status"] == "accepted")


def refused(document):
    return next(edge for edge in document["edges"] if edge["status"] == "refused")


BREAKS = {
    "an unknown field": lambda d: d.update(weights=[1.0]),
    "an unknown field of an agent": lambda d: d["agents"][0].update(pixels=""),
    "a missing field": lambda d: d.pop("seed"),
    "an R2 above 1": lambda d: accepted(d).update(r2_shared=1.2),
    "an accepted edge without scores": lambda d: accepted(d).update(r2_shared=None),
    "a refused edge without a reason": lambda d: refused(d).update(reason=""),
    "an unknown status": lambda d: accepted(d).update(status="perhaps"),
    "a condition number below 1": lambda d: accepted(d).update(kappa=0.5),
    "a malformed hash": lambda d: d.update(config_hash="latest"),
    "a camera under the floor": lambda d: d["agents"][0]["pose"].update(y=-1.0),
    "negative bytes": lambda d: accepted(d).update(bytes=-1),
    "an incarnation before the first": lambda d: d["agents"][0].update(incarnation=0),
    "an edge without a time": lambda d: accepted(d).pop("time"),
    "a stale edge without a reason": lambda d: refused(d).update(status="stale", reason=""),
    "a missing phase": lambda d: d["seconds"].pop("train"),
    "a graph without a time": lambda d: d.pop("as_of"),
    "an ended edge": lambda d: refused(d).update(status="ended"),
    "another format": lambda d: d.update(format=1),
    "an agent that trains twice": lambda d: d.update(training=["a", "a"]),
}


def test_the_schema_is_a_schema():
    VALIDATOR.check_schema(SCHEMA)


def test_a_finished_run_meets_the_schema(small_run):
    VALIDATOR.validate(json.loads(small_run.folder.graph_file.read_text()))


def test_a_graph_of_agents_in_training_meets_the_schema(small_run):
    document = plain(small_run.document)
    names = [agent["name"] for agent in document["agents"]]
    for edge in document["edges"]:
        edge |= {"status": "stale", "reason": "agent-0 has moved its camera and is training on its new view"}

    VALIDATOR.validate({**document, "agents": [], "training": names, "cycles": [], "seconds": None})


def test_a_run_has_accepted_refused_and_failed_edges(small_run):
    verdicts = [edge.status for edge in small_run.document.edges]

    assert len(verdicts) == 12
    assert {word: verdicts.count(word) for word in verdicts} == {"accepted": 6, "refused": 5, "failed": 1}


@pytest.mark.parametrize("spoil", BREAKS.values(), ids=BREAKS)
def test_a_document_that_breaks_a_rule_does_not_meet_the_schema(small_run, spoil):
    document = plain(small_run.document)
    spoil(document)

    assert not VALIDATOR.is_valid(document)


def test_every_field_has_a_description():
    names = SCHEMA["$defs"]

    def described(field):
        return "description" in field or "description" in names.get(field.get("$ref", "").split("/")[-1], {})

    assert [name for name, field in schemas() if not described(field)] == []


def test_the_schema_is_generated_from_the_records():
    """If this fails: python -m social_jepa.records > social_jepa/records/graph.schema.json."""
    assert json.loads(json.dumps(graph_schema())) == SCHEMA
    assert SCHEMA_FILE.read_text() == json.dumps(SCHEMA, indent=2) + "\n"


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_score_that_is_not_finite_becomes_null(value):
    edge = edge_record(settled(dataclasses.replace(SCORE, kappa=value)))

    assert edge.kappa is None
    assert edge.r2_shared == 0.9
    assert decode(encode(edge), type(edge)) == edge
    assert json.loads(encode(edge))["kappa"] is None


def test_an_edge_that_was_never_scored_has_no_scores_rather_than_zeros():
    edge = edge_record(settled(score=None))

    assert edge.r2 is edge.r2_shared is edge.cka is None
    assert edge.correlations == ()


def test_the_budget_of_a_run_is_the_mean_and_the_minimum_over_its_edges():
    edges = [
        edge_record(settled(budget=({"pairs": 8, "method": "ridge", "r2": r2},))) for r2 in (0.9, 0.5, -0.2)
    ]

    (summary,) = summarize_budget(edges)
    assert isinstance(summary, BudgetSummary)
    assert as_dict(summary) == {
        "pairs": 8, "method": "ridge", "r2_mean": pytest.approx(0.4), "r2_min": -0.2,
    }  # fmt: skip


def test_the_cycle_errors_follow_from_the_maps_and_anchors_on_disk(small_run):
    found = [
        small_run.graph.cycle_error(cycle.agents, small_run.pools(cycle.agents[0]).heldout.core())
        for cycle in small_run.document.cycles
    ]

    assert len(found) == 2
    assert found == pytest.approx([cycle.error for cycle in small_run.document.cycles], rel=1e-6)


def test_a_cycle_whose_agents_share_no_direction_has_no_error_rather_than_a_perfect_one():
    def keeps(source, target, direction):
        weight = torch.zeros(3, 3, dtype=torch.float64)
        weight[direction, direction] = 1
        found = LinearMap(weight, torch.zeros(3, dtype=torch.float64))
        return AlignedEdge(source, target, "accepted", r2_shared=0.9, map=found)

    pairs = [("a", "b", 0), ("b", "c", 1), ("c", "a", 2), ("b", "a", 0), ("c", "b", 0), ("a", "c", 0)]
    graph = TranslationGraph(edges=[keeps(*pair) for pair in pairs], agents=["a", "b", "c"])
    points = torch.ones(4, 3, dtype=torch.float64)

    empty, whole = cycle_records(graph, [("a", "b", "c"), ("a", "c", "b")], lambda name: points)
    assert (empty.dim, empty.error) == (0, None)
    assert whole.dim == 1
    assert whole.error == pytest.approx(0)


def test_the_maps_of_an_edge_survive_packing():
    maps = {
        part: LinearMap(torch.randn(3, size), torch.randn(size))
        for part, size in (("full", 4), ("regression", 2), ("shared", 2))
    }
    edge = dataclasses.replace(
        settled(), map=maps["full"], shared_map=maps["shared"], regression_map=maps["regression"]
    )

    back = unpack_maps(pack_maps(edge))

    assert list(back) == ["full", "regression", "shared"]
    for name, found in back.items():
        assert torch.equal(found.weight, maps[name].weight)
        assert torch.equal(found.bias, maps[name].bias)
    assert pack_maps(settled()) is None


def test_graph_json_names_the_ticks_that_were_trained_fitted_and_scored_and_none_is_in_two_ranges(small_run):
    document = json.loads(small_run.folder.graph_file.read_text())
    for agent in document["agents"]:
        trained, fitted, scored = (
            range(*(agent[f"{use}_ticks"][key] for key in ("start", "stop", "step")))
            for use in ("trained", "fitted", "scored")
        )
        pools = small_run.pools(agent["name"])
        assert (tuple(fitted), tuple(scored)) == (pools.anchors.ids, pools.heldout.ids)
        assert scored[-1] < fitted[0]
        assert fitted[-1] < trained[0]
        training = small_run.config.training
        steps = training.new_ticks_per_step * training.steps
        assert trained.stop - trained.start == training.replay_ticks + steps


def test_ticks_at_unequal_distances_are_no_range():
    assert TickRange.of(range(8, 20, 4)) == TickRange.of((8, 12, 16)) == TickRange(start=8, stop=17, step=4)
    for ticks in ((), (1, 2, 4), (3, 3)):
        with pytest.raises(ValueError, match="equal distances"):
            TickRange.of(ticks)

import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.protocol.settings import NegotiationConfig
from agents.training.settings import TrainingConfig
from benchmarks import harness
from benchmarks.__main__ import BENCHMARKS, main, select
from benchmarks.harness import BenchmarkError, Effort, Metric, alternate, at_least, at_most
from benchmarks.processes import Worker
from benchmarks.scale import seeds, versions, whole_run
from benchmarks.soak import churn, client, common, cpu_share, join, kills
from benchmarks.speed import renderers, rendering, startup, training, wire
from benchmarks.speed.plain_training import loader

FOLDER = Path(harness.__file__).parent
TINY = Effort(rounds=1, size=0.02)
SMALL = TrainingConfig(steps=20, segments=12, replay_ticks=64)


def metric(value, reference, threshold=None):
    return Metric("speed", value, "frames/s", "baseline", reference, threshold)


def test_the_ratio_is_ours_over_the_reference():
    assert metric(6.0, 2.0).ratio == 3.0
    assert math.isnan(metric(6.0, 0.0).ratio)
    assert math.isnan(metric(6.0, -0.1).ratio)


@pytest.mark.parametrize(
    ("threshold", "met"),
    [
        (None, None),
        (at_least(6), True), (at_least(6.1), False),
        (at_most(6), True), (at_most(5.9), False),
        (at_least(3, of_ratio=True), True), (at_least(3.1, of_ratio=True), False),
        (at_most(3, of_ratio=True), True), (at_most(2.9, of_ratio=True), False),
    ],
)  # fmt: skip
def test_a_threshold_is_met_on_its_side_of_the_bound(threshold, met):
    assert metric(6.0, 2.0, threshold).met is met


@pytest.mark.parametrize("threshold", [at_least(0), at_most(0)])
def test_nan_meets_no_threshold(threshold):
    assert metric(math.nan, 1.0, threshold).met is False


def test_a_metric_without_a_finite_ratio_is_valid_json():
    plain = json.loads(json.dumps(metric(1.0, 0.0, at_most(2)).as_dict(), allow_nan=False))

    assert plain["ratio"] is None
    assert plain["met"] is True


def test_measurements_alternate_and_the_median_is_returned():
    turns = []

    def measure(name, values):
        turns.append(name)
        return {"value": next(values)}

    values = {"a": iter([99.0, 1.0, 5.0, 2.0]), "b": iter([0.0, 3.0, 3.0, 3.0])}
    found = alternate({name: lambda name=name: measure(name, values[name]) for name in "ab"}, rounds=3)

    assert found == {"a": {"value": 2.0}, "b": {"value": 3.0}}
    assert "".join(turns) == "ab" + "ab" + "ba" + "ab"


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"size": 0.0}, {"size": math.nan}])
def test_an_effort_that_measures_nothing_is_rejected(wrong):
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        Effort(**wrong)


def test_every_benchmark_file_is_listed_with_its_group(capsys):
    files = {
        (path.parent.name, path.stem) for path in FOLDER.glob("*/*.py") if "def metrics(" in path.read_text()
    }

    assert main(["--list"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}

    assert listed == set(BENCHMARKS)
    assert files == {(each.group, name) for name, each in BENCHMARKS.items()}


def test_scale_soak_and_gpu_benchmarks_run_only_on_request():
    speed = [name for name, each in BENCHMARKS.items() if each.group == "speed"]
    soak = [name for name, each in BENCHMARKS.items() if each.group == "soak"]
    gpu = [name for name, each in BENCHMARKS.items() if each.group == "gpu"]

    assert select([], full=False) == speed
    named = [name for name, each in BENCHMARKS.items() if each.by_name]
    assert named == ["three_hosts", "peer_hosts"]
    assert select([], full=True) == [name for name in BENCHMARKS if name not in [*soak, *gpu, *named]]
    assert select(named, full=False) == named
    assert select([], full=False, soak=True) == soak
    assert select([], full=False, gpu=True) == gpu
    assert select([], full=False, soak=True, gpu=True) == [*soak, *gpu]
    assert select(["seeds"], full=False) == select(["seeds"], full=False, soak=True) == ["seeds"]


def test_an_unknown_benchmark_is_rejected_with_its_name(capsys):
    with pytest.raises(SystemExit):
        main(["trainning"])

    assert "there is no benchmark trainning" in capsys.readouterr().err


def test_the_plain_loader_yields_the_batches_of_our_trainer():
    ours = training.our_trainer(SMALL)
    frames = ours.replay_buffer.read(ours.replay_buffer.ticks)
    batches = iter(loader(frames, SMALL.segment_ticks, training.starts(SMALL)))

    for step in range(2):
        rng = np.random.default_rng([*training.SEED, step])
        segments = torch.from_numpy(
            ours.replay_buffer.read(ours.replay_buffer.draw(rng, SMALL.segments, SMALL.segment_ticks))
        )
        assert torch.equal((next(batches) * 255).round().byte(), segments.permute(0, 1, 4, 2, 3))


def test_the_plain_step_equals_our_step_in_fp32():
    ours = training.our_trainer(SMALL, precision="fp32")
    plain = training.plain_trainer(ours)
    frames = ours.replay_buffer.read(ours.replay_buffer.ticks)
    losses = []
    for _, batch in zip(range(3), loader(frames, SMALL.segment_ticks, training.starts(SMALL)), strict=False):
        loss = plain.forward(batch)
        plain.backward(loss)
        plain.update()
        losses.append(loss.item())

    ours.run(lambda: None, lambda: ours.step == 3)

    assert losses[0] == pytest.approx(ours.losses[0], abs=1e-4)
    assert losses == pytest.approx(ours.losses, rel=2e-3)
    assert losses[2] != losses[0]


def test_the_training_benchmark_reports_the_time_of_every_section():
    # in a worker process, because it wraps a method of all tensors
    with Worker("benchmarks.speed.training:OurStep", replay_ticks=64) as ours:
        rows = training.rows(ours(steps=1), training.PlainStep(replay_ticks=64)(steps=1))
    found = {each.name: each for each in rows}
    sections = [each for name, each in found.items() if name.startswith("- ")]

    assert found["frames trained on"].ratio > 0
    assert len(sections) == len(training.SECTIONS)
    assert found["loss at the same step"].ratio == pytest.approx(1, abs=0.02)


@pytest.mark.gl
def test_rendering_is_measured_for_one_camera_and_for_four():
    found = rendering.metrics(TINY)

    assert len(found) == len(rendering.CAMERAS)
    assert all(each.value > 0 and each.reference_value > 0 for each in found)


@pytest.mark.gl
def test_renderers_are_compared_in_speed_and_in_similarity():
    *rates, similarity, difference = renderers.metrics(TINY)

    assert all(each.value > 0 and each.reference_value > 0 for each in rates)
    assert 0.98 < similarity.value <= 1 > similarity.reference_value
    assert difference.value < difference.reference_value


def test_the_bytes_of_an_edge_are_close_to_those_of_its_anchors():
    # bytes are counted, not timed, so the default numbers of anchors are fast
    config = NegotiationConfig()
    agents = wire.FourAgents(config.pool_ticks, config.anchors, config.heldout)
    anchors, pixels, weights = wire.byte_metrics(max(agents.negotiate().values()), config)

    assert anchors.met
    assert pixels.ratio < 0.01
    assert weights.ratio < 0.1


def test_fitting_alone_sends_no_bytes():
    agents = wire.FourAgents(pool_ticks=32, anchors=16, heldout=16)

    assert agents("negotiate")["bytes"] > 0
    assert agents("seal")["bytes"] > 0
    assert agents("fit")["bytes"] == 0


def test_startup_is_measured_beside_an_empty_python():
    found = startup.metrics(Effort(rounds=1))

    assert [each.reference for each in found] == ["python -c pass", "import torch"]


def test_a_worker_that_dies_raises_with_its_output():
    with (
        Worker("benchmarks.harness:Effort", rounds=0) as worker,
        pytest.raises(BenchmarkError, match="rounds must"),
    ):
        worker()


def test_memory_is_that_of_one_process_tree():
    psutil = pytest.importorskip("psutil")
    watch = whole_run.MemoryWatch()
    with Worker("benchmarks.harness:CpuTimer") as worker:
        watch(worker._process.pid)

    assert 0 < watch.peak < psutil.Process().memory_full_info().pss  # this process has loaded torch


def test_documents_are_compared_without_times():
    one = {"edges": [{"r2": 0.9}], "seconds": {"total": 3.0}, "agents": [{"frames_per_s": 10, "core_dim": 6}]}
    other = {
        "edges": [{"r2": 0.9}],
        "seconds": {"total": 4.0},
        "agents": [{"frames_per_s": 11, "core_dim": 6}],
    }
    changed = other | {"edges": [{"r2": math.nextafter(0.9, 1)}]}

    assert seeds.differences(one, other) == []
    assert seeds.differences(one, changed) == [".edges[0].r2"]


def test_quadratic_growth_of_messages_misses_its_thresholds():
    joins = {n: join.Join(n**2, own=9.0, edges=1.0) for n in (2, 4, 8)}

    assert join.exponent({n: each.messages for n, each in joins.items()}) == pytest.approx(2)
    assert [metric.met for metric in join.rows(joins) if metric.threshold] == [False, False, True]


def test_only_current_edges_count_and_duplicates_share_a_key():
    key = dict.fromkeys(kills.KEY, 0) | {"source": "a", "target": "b"}
    rows = [SimpleNamespace(**key, status=status) for status in ("accepted", "refused", "ended", "stale")]

    assert common.missing_pairs(rows, ["a", "b"]) == {("b", "a")}
    assert kills.count_duplicates(rows) == 1
    assert kills.count_duplicates([rows[0], SimpleNamespace(**vars(rows[0]) | {"round": 1})]) == 0
    assert churn.edges_of_leavers(rows, ["b", "c"]) == rows[:2]


def test_only_a_report_from_a_later_incarnation_counts_as_recovery():
    progress = SimpleNamespace(step=40)
    agent = SimpleNamespace(incarnation=2, phase="training", progress=progress)
    returning = SimpleNamespace(incarnation=2, phase="returning", progress=progress)

    assert common.has_recovered(agent, 1, 40)
    assert not common.has_recovered(agent, 2) | common.has_recovered(agent, 1, 41)
    assert not common.has_recovered(returning, 1)


def test_malformed_requests_are_never_valid():
    valid = {"from": "a", "to": "b", "vectors": [[0.5]]}
    made = [client.malformed_request(random.Random(seed), valid) for seed in range(2000)]

    request_sent = client.Request("POST", client.PATH, json.dumps(valid).encode())
    assert ({kind for kind, request in made if request == request_sent}, len(dict(made))) == (set(), 6)


@pytest.mark.parametrize(("share", "met"), [(0.4, True), (0.15, True), (0.13, False)])
def test_an_agent_keeps_at_least_a_third_of_what_a_busy_program_gets(share, met):
    names = ("busy", "busy, paused", "all", "all, paused")
    measured = {name: {"agent": share, "program": 0.42, "p50": 2.0, "p99": 9.0} for name in names}
    first, *replies = cpu_share.rows(measured, 2)

    assert first.met is met
    assert [each.ratio for each in replies] == [1.0] * 4


def test_a_busy_program_takes_the_cpu_that_it_is_given():
    # of the seconds that it counts, another program may have had some
    assert 0 < cpu_share.Busy().spin(0.05) <= 1.01


def test_a_ledger_of_many_versions_is_measured_beside_its_first_ones(monkeypatch):
    monkeypatch.setattr(versions, "VERSIONS", 500)
    found = versions.ledger_metrics(Effort(rounds=1), count=12, degree=4)

    assert [each.name.partition(":")[0] for each in found] == ["500 edge versions"] * 3
    assert all(each.value > 0 and each.reference_value > 0 and each.threshold.of_ratio for each in found)

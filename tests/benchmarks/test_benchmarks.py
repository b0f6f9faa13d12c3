import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.protocol.settings import NegotiationConfig
from agents.training.settings import TrainingConfig
from benchmarks import harness
from benchmarks.__main__ import BENCHMARKS, chosen, main
from benchmarks.harness import BenchmarkError, Effort, Metric, alternate, at_least, at_most
from benchmarks.processes import Worker
from benchmarks.scale import seeds, whole_run
from benchmarks.soak import all_parts as living
from benchmarks.soak import churn as living_churn
from benchmarks.soak import client as living_client
from benchmarks.soak import join as living_join
from benchmarks.soak import kills as living_kills
from benchmarks.speed import rendering, startup, training, wire
from benchmarks.speed.plain_training import loader

FOLDER = Path(harness.__file__).parent
TINY = Effort(rounds=1, size=0.02)
SMALL = TrainingConfig(steps=20, segments=12, replay_ticks=64)


def figure(value, reference, goal=None):
    return Metric("speed", value, "frames/s", "walking", reference, goal)


def test_the_ratio_is_ours_over_the_reference():
    assert figure(6.0, 2.0).ratio == 3.0
    assert math.isnan(figure(6.0, 0.0).ratio)
    assert math.isnan(figure(6.0, -0.1).ratio)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (None, None),
        (at_least(6), True), (at_least(6.1), False),
        (at_most(6), True), (at_most(5.9), False),
        (at_least(3, of_ratio=True), True), (at_least(3.1, of_ratio=True), False),
        (at_most(3, of_ratio=True), True), (at_most(2.9, of_ratio=True), False),
    ],
)  # fmt: skip
def test_a_goal_is_met_from_its_own_side(goal, met):
    assert figure(6.0, 2.0, goal).met is met


@pytest.mark.parametrize("goal", [at_least(0), at_most(0)])
def test_what_is_no_number_meets_no_goal(goal):
    assert figure(math.nan, 1.0, goal).met is False


def test_a_figure_is_json_whatever_was_measured():
    plain = json.loads(json.dumps(figure(1.0, 0.0, at_most(2)).as_dict(), allow_nan=False))

    assert plain["ratio"] is None
    assert plain["met"] is True


def test_measures_take_turns_and_the_median_counts():
    turns = []

    def measure(name, values):
        turns.append(name)
        return {"value": next(values)}

    values = {"a": iter([99.0, 1.0, 5.0, 2.0]), "b": iter([0.0, 3.0, 3.0, 3.0])}
    found = alternate({name: lambda name=name: measure(name, values[name]) for name in "ab"}, rounds=3)

    assert found == {"a": {"value": 2.0}, "b": {"value": 3.0}}
    assert "".join(turns) == "ab" + "ab" + "ba" + "ab"


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"size": 0.0}, {"size": math.nan}])
def test_an_effort_that_measures_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        Effort(**wrong)


def test_every_file_that_measures_is_listed(capsys):
    files = {path.stem for path in FOLDER.glob("*.py") if "def figures(" in path.read_text()}

    assert main(["--list"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}

    assert files == listed == set(BENCHMARKS)


def test_long_benchmarks_run_only_when_asked_for():
    short = [name for name, each in BENCHMARKS.items() if not each.long and not each.soak]
    soak = [name for name, each in BENCHMARKS.items() if each.soak]

    assert chosen([], full=False) == short
    assert chosen([], full=True) == [name for name in BENCHMARKS if name not in soak]
    assert chosen([], full=False, soak=True) == soak
    assert chosen(["seeds"], full=False) == chosen(["seeds"], full=False, soak=True) == ["seeds"]


def test_an_unknown_benchmark_is_refused_by_name(capsys):
    with pytest.raises(SystemExit):
        main(["trainning"])

    assert "there is no benchmark trainning" in capsys.readouterr().err


def test_the_plain_loader_yields_the_batches_that_we_train_on():
    ours = training.our_trainer(SMALL)
    frames = ours.replay_buffer.read(ours.replay_buffer.ticks)
    batches = iter(loader(frames, SMALL.segment_ticks, training.starts(SMALL)))

    for step in range(2):
        rng = np.random.default_rng([*training.SEED, step])
        segments = torch.from_numpy(
            ours.replay_buffer.read(ours.replay_buffer.draw(rng, SMALL.segments, SMALL.segment_ticks))
        )
        assert torch.equal((next(batches) * 255).round().byte(), segments.permute(0, 1, 4, 2, 3))


def test_the_plain_step_is_our_step_in_fp32():
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


def test_training_tells_where_the_time_goes():
    # in a process of its own, because it times a method of every tensor
    with Worker("benchmarks.speed.training:OurStep", window=64) as ours:
        rows = training.rows(ours(steps=1), training.PlainStep(window=64)(steps=1))
    found = {each.name: each for each in rows}
    parts = [each for name, each in found.items() if name.startswith("- ")]

    assert found["frames trained on"].ratio > 0
    assert len(parts) == len(training.PARTS)
    assert found["loss at the same step"].ratio == pytest.approx(1, abs=0.02)


@pytest.mark.gl
def test_rendering_is_measured_for_one_camera_and_for_four():
    found = rendering.figures(TINY)

    assert len(found) == len(rendering.CAMERAS)
    assert all(each.value > 0 and each.reference_value > 0 for each in found)


def test_an_edge_is_little_more_than_its_anchors():
    # bytes are counted, not timed: the usual numbers of anchors, once
    config = NegotiationConfig()
    society = wire.Society(config.pool_ticks, config.anchors, config.heldout)
    anchors, pixels, weights = wire.byte_figures(max(society.negotiate().values()), config)

    assert anchors.met
    assert pixels.ratio < 0.01
    assert weights.ratio < 0.1


def test_fitting_alone_says_nothing_on_the_wire():
    society = wire.Society(pool=32, anchors=16, heldout=16)

    assert society(talk=True)["bytes"] > 0
    assert society(talk=False)["bytes"] == 0


def test_start_up_is_measured_beside_an_empty_python():
    found = startup.figures(Effort(rounds=1))

    assert [each.reference for each in found] == ["python -c pass", "import torch"]


def test_a_worker_that_dies_says_why():
    with (
        Worker("benchmarks.harness:Effort", rounds=0) as worker,
        pytest.raises(BenchmarkError, match="rounds must"),
    ):
        worker()


def test_memory_is_that_of_one_process_tree():
    psutil = pytest.importorskip("psutil")
    watch = whole_run.MemoryWatch()
    with Worker("benchmarks.harness:CpuStopwatch") as worker:
        watch(worker._process.pid)

    assert 0 < watch.peak < psutil.Process().memory_full_info().pss  # this process has loaded torch


def test_equal_documents_differ_in_nothing_but_time():
    one = {"edges": [{"r2": 0.9}], "seconds": {"total": 3.0}, "agents": [{"frames_per_s": 10, "core_dim": 6}]}
    other = {
        "edges": [{"r2": 0.9}],
        "seconds": {"total": 4.0},
        "agents": [{"frames_per_s": 11, "core_dim": 6}],
    }
    changed = other | {"edges": [{"r2": math.nextafter(0.9, 1)}]}

    assert seeds.differences(one, other) == []
    assert seeds.differences(one, changed) == [".edges[0].r2"]


def test_messages_that_grow_with_the_square_of_the_peers_miss_their_goals():
    joins = {n: living_join.Join(n**2, own=9.0, edges=1.0) for n in (2, 4, 8)}

    assert living_join.exponent({n: each.messages for n, each in joins.items()}) == pytest.approx(2)
    assert [figure.met for figure in living_join.rows(joins) if figure.goal] == [False, False, True]


def test_an_edge_counts_while_it_holds_and_is_doubled_by_its_key():
    key = dict.fromkeys(living_kills.KEY, 0) | {"source": "a", "target": "b"}
    rows = [key | {"status": status} for status in ("accepted", "refused", "ended", "stale")]

    assert living.absent_pairs(rows, ["a", "b"]) == {("b", "a")}
    assert living_kills.doubled(rows) == 1
    assert living_kills.doubled([rows[0], rows[0] | {"round": 1}]) == 0
    assert living_churn.touching(rows, ["b", "c"]) == rows[:2]


def test_only_a_report_of_its_own_from_a_later_life_counts_as_back():
    agent = {"incarnation": 2, "phase": "training", "progress": {"step": 40}}

    assert living.is_back(agent, 1, 40)
    assert not living.is_back(agent, 2) | living.is_back(agent, 1, 41)
    assert not living.is_back(agent | {"phase": "returning"}, 1)


def test_nonsense_is_never_a_good_question():
    good = {"from": "a", "to": "b", "vectors": [[0.5]]}
    made = [living_client.nonsense(random.Random(seed), good) for seed in range(2000)]

    asked = living_client.Request("POST", living_client.PATH, json.dumps(good).encode())
    assert ({kind for kind, request in made if request == asked}, len(dict(made))) == (set(), 6)

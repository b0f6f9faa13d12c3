import contextlib
import json

import pytest

from alignment.status import Status
from social_jepa.graph.scalars import Scalar, read_scalars, write_history, write_tensorboard
from social_jepa.records import replace
from social_jepa.storage.ledger import Ledger
from tests.support.command import call
from tests.support.planted_run import planted_run


@pytest.fixture
def folder(tmp_path):
    """A run of three agents of two steps, of which the edge 0 > 1 was negotiated twice more."""
    folder = planted_run(tmp_path / "run", 3)
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        agent = replace(ledger.agents()["agent-0"], steps=12, losses=(0.5, 0.25))
        edge = next(
            edge for edge, _ in ledger.edges() if (edge.source, edge.target) == ("agent-0", "agent-1")
        )
        scored = replace(
            edge, status=Status.REFUSED, reason="planted", round=1, r2_shared=0.75, null_correlation=0.5
        )
        failed = replace(scored, status=Status.FAILED, round=2, heldout=0, r2_shared=None, r2=None)
        ledger.record([agent], [scored])
        ledger.record(edges=[failed])
    return folder


def curve(scalars, tag):
    return [(scalar.axis, scalar.step, scalar.value) for scalar in scalars if scalar.tag == tag]


def test_losses_end_at_the_newest_step_and_edges_are_counted_by_version(folder):
    found = read_scalars(folder)

    assert curve(found, "loss/agent-0") == [("step", 11, 0.5), ("step", 12, 0.25)]
    assert curve(found, "r2_shared/agent-0/agent-1")[-1] == ("version", 2, 0.75)
    assert [step for _, step, _ in curve(found, "bytes/agent-0/agent-1")] == [1, 2, 3]
    assert all(
        step < 3 for _, step, _ in curve(found, "shared_dim/agent-0/agent-1")
    )  # the third was not scored


def test_the_steps_of_a_history_rise_and_its_rows_hold_every_scalar(folder, tmp_path):
    found, path = read_scalars(folder), tmp_path / "history.jsonl"
    write_history(found, path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]

    assert [row.pop("_step") for row in rows] == list(range(len(rows)))
    assert all(row.pop("_timestamp") > 0 for row in rows)
    read = {
        (tag, axis, row[axis], value)
        for row in rows
        for axis in ("step", "version") if axis in row
        for tag, value in row.items() if tag != axis
    }  # fmt: skip
    assert read == {scalar[:4] for scalar in found}


def test_scalars_of_one_step_are_one_row(tmp_path):
    write_history(
        [Scalar("loss/a", "step", 3, 0.5, 10.0), Scalar("loss/b", "step", 3, 0.25, 12.0)], tmp_path / "h"
    )

    (row,) = [json.loads(line) for line in (tmp_path / "h").read_text().splitlines()]
    assert row == {"_step": 0, "_timestamp": 12.0, "step": 3, "loss/a": 0.5, "loss/b": 0.25}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_what_is_written(folder, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = read_scalars(folder)
    write_tensorboard(found, tmp_path / "curves")
    read = EventAccumulator(str(tmp_path / "curves")).Reload()

    assert set(read.Tags()["scalars"]) == {scalar.tag for scalar in found}
    events = read.Scalars("loss/agent-0")
    assert [(event.step, event.value) for event in events] == [(11, 0.5), (12, 0.25)]
    assert events[0].wall_time == next(scalar.time for scalar in found if scalar.tag == "loss/agent-0")


def test_the_command_writes_a_file_and_refuses_to_write_nothing(folder, tmp_path):
    said = call("scalars", "--run", folder.path, "--jsonl", tmp_path / "history.jsonl", "--json")

    assert json.loads(said.out)["scalars"] == len(read_scalars(folder))
    assert "give --tensorboard FOLDER or --jsonl FILE" in call("scalars", "--run", folder.path).err

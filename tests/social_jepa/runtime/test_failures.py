from dataclasses import replace

import pytest

from agents.activity import Activity
from agents.failure import Failure
from agents.protocol.events import AgentEvents
from agents.report import AgentReport
from social_jepa.records import FailureRecord, decode, encode
from social_jepa.runtime.failures import HUNG_SECONDS, find_hang, record_error
from social_jepa.storage.run_folder import RunFolder

FAILURE = Failure("agent-0", "training", 7, "KeyError", "'boom'", "my.py", 12, "Traceback: ü \ud800\n")
REPORT = AgentReport(
    events=AgentEvents(1, 0), progress=None, snapshot=None, checkpoint="", settled=False, failure=None,
    note="", node="n", host="h", device="cpu", pid=1, activity=None, unanswered={},
)  # fmt: skip


def test_the_traceback_of_a_failure_is_a_file_in_the_logs_of_the_run(tmp_path):
    record = record_error(RunFolder(tmp_path), FAILURE)

    assert record.traceback_file == str(tmp_path / "logs" / "agent-0.traceback.txt")
    assert "Traceback: ü" in (tmp_path / "logs" / "agent-0.traceback.txt").read_text(encoding="utf-8")
    assert record.summary == (
        f"KeyError: 'boom', my.py line 12 (training, after 7 steps); traceback: {record.traceback_file}"
    )
    assert decode(encode(record), FailureRecord) == record


def test_a_traceback_that_cannot_be_written_loses_only_its_file(tmp_path):
    (tmp_path / "logs").write_text("a file", encoding="utf-8")
    record = record_error(RunFolder(tmp_path), FAILURE, "report")

    assert (record.cause, record.type, record.traceback_file) == ("report", "KeyError", "")


def test_an_error_of_this_project_is_a_sentence_without_its_class():
    own = replace(FAILURE, type="agents.training.trainer.TrainingError", message="the loss\nis nan", file="")

    assert FailureRecord.of(own).summary == "the loss is nan (training, after 7 steps)"
    silent = replace(own, message="")
    assert FailureRecord.of(silent).summary.startswith("agents.training.trainer.TrainingError (training")


@pytest.mark.parametrize(
    ("activity", "hung"),
    [
        (None, False),
        (Activity(), False),
        (Activity(idle_seconds=HUNG_SECONDS - 1, longest_step=0.1), False),
        (Activity(idle_seconds=HUNG_SECONDS + 1, longest_step=0.1), True),
        (Activity(idle_seconds=HUNG_SECONDS + 1, longest_step=10.0), False),
        (Activity(idle_seconds=1e6, longest_step=0.0), False),  # its first step may take that long
    ],
)
def test_a_long_step_is_no_hang(activity, hung):
    assert (find_hang("agent-0", replace(REPORT, activity=activity)) is not None) == hung


def test_a_hang_says_how_long_and_where():
    found = find_hang("agent-0", replace(REPORT, activity=Activity(700.0, 0.5, "my.py", 12, "stack")))

    record = FailureRecord.of(found, "hung")
    assert record.summary.startswith("no step: 700 s, though its longest one took 0.5 s, my.py line 12")
    assert found.traceback == "stack"

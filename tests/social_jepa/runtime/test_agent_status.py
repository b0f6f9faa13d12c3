import time
from dataclasses import replace

import pytest

from agents.activity import Activity
from agents.common.versions import process_versions
from agents.protocol.events import AgentEvents
from agents.report import AgentReport
from social_jepa.records import MemberRecord
from social_jepa.runtime.agent_status import ANSWER_SECONDS, Observations
from tests.support.statuses import FAILURE

MEMBER = MemberRecord(name="agent-0", index=0, pose="0,3,5,90,-35,60", kind="jepa")
REPORT = AgentReport(
    events=AgentEvents(1, 0), progress=None, snapshot=None, checkpoint="c" * 16, settled=True, failure=None,
    note="", node="n", host="gpu-1", device="cpu", pid=7, activity=None, unanswered={},
)  # fmt: skip


def seen(**reports):
    found = Observations()
    for name, report in reports.items():
        found.receive(name.replace("_", "-"), report)
    return found


def test_an_agent_without_a_report_is_starting_and_one_without_room_is_waiting():
    assert Observations().status(MEMBER, 0, "", "").phase == "starting"
    waiting = Observations().status(MEMBER, 0, "1 GPU", "")
    assert (waiting.phase, waiting.waiting_for) == ("waiting", "1 GPU")


def test_the_report_of_a_former_process_says_nothing_about_the_present_one():
    found = seen(agent_0=replace(REPORT, activity=Activity(30.0, 1.0, "my.py", 3, "stack")))

    now, later = found.status(MEMBER, 1, "", ""), found.status(MEMBER, 2, "", "is restarted in 3 s")
    assert (now.settled, now.idle_seconds, now.idle_place) == (True, 30.0, "my.py line 3")
    assert (later.settled, later.idle_seconds, later.phase) == (False, 0.0, "returning")
    assert (later.host, later.note) == ("gpu-1", "is restarted in 3 s")


def test_only_peers_that_have_published_a_model_can_leave_a_peer_without_an_answer():
    long_ago = time.time() - 2 * ANSWER_SECONDS
    caller = replace(REPORT, unanswered={"agent-1": long_ago, "agent-2": long_ago, "agent-3": time.time()})
    found = seen(agent_0=caller, agent_1=REPORT, agent_2=replace(REPORT, checkpoint=""), agent_3=REPORT)
    found.published_at["agent-1"] = long_ago + 1

    assert found.status(MEMBER, 1, "", "").unanswered == {"agent-1": long_ago + 1}


def test_other_versions_an_outage_and_a_failure_are_part_of_the_status():
    found = seen(agent_0=REPORT)
    found.versions["agent-0"] = process_versions() | {"torch": "0.1"}
    found.outages["agent-0"] = time.time() - 12
    found.failures["agent-0"] = FAILURE
    status = found.status(MEMBER, 1, "", "")

    assert "runs other versions than its supervisor: torch 0.1 (here " in status.note
    assert time.time() - status.silent_since == pytest.approx(12, abs=5)
    assert status.failure == FAILURE
    found.receive("agent-0", REPORT)
    assert "has not answered" not in found.status(MEMBER, 1, "", "").note
    found.forget("agent-0")
    assert found.status(MEMBER, 1, "", "").failure is None

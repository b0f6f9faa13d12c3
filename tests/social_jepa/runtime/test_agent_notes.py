import time

from social_jepa.config.time_parsing import parse_time
from social_jepa.records import replace
from social_jepa.runtime.agent_notes import agent_notes, note_kind
from tests.support.statuses import AGENT, FAILURE


def agents(*changes):
    return [replace(AGENT, name=f"agent-{k}", checkpoint="0" * 16, **each) for k, each in enumerate(changes)]


def test_agents_that_work_need_no_note():
    assert agent_notes(agents({}, {"cpu_wait": 0.2})) == []


def test_a_failure_a_wait_and_a_remark_are_one_line_each():
    found = agents(
        {"failure": FAILURE}, {"waiting_for": "1 GPU: a has 0 of 2 free"}, {"note": "trains alone"}
    )

    assert agent_notes(found) == [
        "agent-0 failed: KeyError: 'boom' [/bold] [red], my.py line 12 (training, after 7 steps)",
        "agent-1 waits for 1 GPU: a has 0 of 2 free",
        "agent-2 trains alone",
    ]


def test_an_agent_that_makes_no_step_is_named_with_the_place_where_it_is():
    found = agents({"idle_seconds": 42.4, "idle_place": "my.py line 12"}, {"idle_seconds": 60.0})

    assert agent_notes(found) == [
        "agent-0 has made no step for 42 s: it is in my.py line 12",
        "agent-1 has made no step for 60 s",
    ]


def test_a_failed_agent_is_not_called_idle_as_well():
    assert len(agent_notes(agents({"failure": FAILURE, "idle_seconds": 700.0}))) == 1


def test_an_agent_that_answers_nobody_is_told_from_one_that_misses_one_peer():
    now = time.time()
    clock = time.strftime("%H:%M:%S", time.localtime(now))
    one = agents({}, {"unanswered": {"agent-0": now}}, {})
    all_peers = agents({}, {"unanswered": {"agent-0": now}}, {"unanswered": {"agent-0": now + 5}})

    assert agent_notes(one) == [f"agent-0 has not answered agent-1 since {clock}: frames to it may be lost"]
    assert agent_notes(all_peers) == [
        f"agent-0 has not answered any peer since {clock}: frames to it may be lost"
    ]


def test_the_machine_is_called_the_bottleneck_while_agents_wait_for_cpus():
    (line,) = agent_notes(agents({"cpu_wait": 0.82}, {"cpu_wait": 0.6}, {"cpu_wait": 0.1}))

    assert line.startswith(
        "the machine is the bottleneck: 2 of 3 agents wait for a CPU up to 82% of the time"
    )
    assert "agents.threads" in line


def test_a_node_whose_agents_are_all_silent_is_unreachable():
    since = time.mktime((2026, 11, 28, 12, 3, 10, 0, 0, -1))
    lost = {"node": "b", "host": "h2", "silent_since": since}
    here = {"node": "a", "host": "h1"}

    assert agent_notes(agents(here, lost, lost)) == [
        "node h2 is unreachable since 2026-11-28T12:03:10: agent-1, agent-2"
    ]
    assert agent_notes(agents(here, lost, {**lost, "silent_since": None})) == [
        "agent-1 gave no report since 2026-11-28T12:03:10"
    ]
    assert agent_notes(agents(lost)) == ["agent-0 gave no report since 2026-11-28T12:03:10"]  # the only node


def test_a_silence_that_began_yesterday_has_its_date_and_is_the_note_that_it_was(monkeypatch):
    since = time.mktime((2026, 11, 28, 23, 59, 10, 0, 0, -1))
    found, notes = agents({"silent_since": since, "unanswered": {"agent-1": since + 5}}, {}), []
    for now in (since + 40, since + 90):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        notes.append(agent_notes(found))

    unanswered = "frames to it may be lost"
    assert notes == [
        [f"agent-0 gave no report since {day}23:59:10",
         f"agent-1 has not answered agent-0 since {day}23:59:15: {unanswered}"]
        for day in ("", "2026-11-28T")
    ]  # fmt: skip
    assert [*map(note_kind, notes[0])] == [*map(note_kind, notes[1])]
    assert parse_time(notes[1][0].split()[-1], since + 90) == since


def test_a_flagged_agent_is_named_with_the_reason():
    found = agents({}, {"flagged": "3 agents contradict it and 0 confirm it"})

    assert agent_notes(found) == [
        "agent-1 is not trusted, and its edges are refused: 3 agents contradict it and 0 confirm it"
    ]


def test_agents_are_named_in_natural_order():
    now = time.time()
    found = agents(*({"silent_since": now} if k in (2, 10) else {} for k in range(11)))
    late = agents({}, *({"unanswered": {"agent-0": now}} if k in (2, 10) else {} for k in range(1, 11)))

    assert agent_notes(found[::-1])[0].startswith("agent-2, agent-10 gave no report")
    assert agent_notes(late)[0].startswith("agent-0 has not answered agent-2, agent-10 since")

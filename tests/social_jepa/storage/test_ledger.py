import contextlib
import itertools
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from social_jepa.config.time_parsing import FOREVER
from social_jepa.storage import ledger as ledger_module
from social_jepa.storage.ledger import Ledger, LedgerError
from tests.support.ledger_rows import EDGE, ask, first_ledger, member, plain, told


@pytest.fixture
def ledger(tmp_path):
    with first_ledger(tmp_path) as opened:
        yield opened


def test_what_was_written_is_read_back_in_order(ledger):
    ledger.event("finished")

    assert [(event["what"], event.get("config")) for event in ledger.events()] == [
        ("started", "c"), ("joined", None), ("joined", None), ("finished", None),
    ]  # fmt: skip
    assert [(row["sender"], row["type"], row["bytes"]) for row in ledger.messages()] == [
        ("a", "Offer", 10), ("b", "AnchorRequest", 20),
    ]  # fmt: skip
    assert list(ledger.agents()) == ["a", "b"]
    assert [row["name"] for row in ledger.members()] == ["a", "b"]
    assert plain(ledger.edges()) == [("a", "b", "accepted", 0.5, b"maps")]
    assert ledger.bodies() == [(0, "a", "here"), (0, "b", "here")]


def test_events_are_numbered_and_can_be_read_from_where_one_left_off(ledger):
    everything = ledger.events()
    second = everything[1]["number"]

    assert [event["number"] for event in everything] == sorted({event["number"] for event in everything})
    assert ledger.events(after=second) == everything[2:]
    assert ledger.events(after=second - 1, limit=1) == [everything[1]]


def test_another_program_reads_while_one_writes(ledger):
    ledger.event("resumed")

    assert ask(ledger.path, "SELECT count(*) FROM events") == [(4,)]
    with contextlib.closing(Ledger(ledger.path)) as reader:
        ledger.record(edges=[EDGE | {"round": 1, "r2": 0.7}])
        assert plain(reader.edges()) == [("a", "b", "accepted", 0.7, None)]


def test_a_renegotiated_edge_stands_before_the_old_one_which_stays(ledger):
    ledger.record(edges=[EDGE | {"source": "c", "target": "a"}])
    ledger.record(edges=[EDGE | {"round": 1, "r2": 0.7}])

    assert plain(ledger.edges()) == [("a", "b", "accepted", 0.7, None), ("c", "a", "accepted", 0.5, None)]
    assert [edge["r2"] for edge in ledger.history("a", "b")] == [0.5, 0.7]


def test_an_edge_that_is_told_twice_is_one(ledger):
    ledger.record(edges=[EDGE, EDGE], maps={("a", "b"): b"other"})

    assert ask(ledger.path, "SELECT count(*) FROM edges") == [(1,)]
    assert plain(ledger.edges())[0][-1] == b"maps"


@pytest.mark.parametrize(
    "change",
    [
        {"round": 1},
        {"source_incarnation": 2},
        {"target_incarnation": 2},
        {"target_checkpoint": "2" * 16},
        {"status": "ended"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_edge_of_another_round_life_model_or_verdict_is_another(ledger, change):
    ledger.record(edges=[EDGE | change])

    assert len(ledger.history("a", "b")) == 2


def test_lives_are_counted_and_every_life_after_the_first_is_a_return(ledger):
    assert [ledger.next_incarnation(name) for name in ("a", "a", "b", "a")] == [1, 2, 1, 3]

    returned = [event for event in ledger.events() if event["what"] == "returned"]
    assert [(event["agent"], event["incarnation"]) for event in returned] == [("a", 2), ("a", 3)]
    assert {row["name"]: row["incarnation"] for row in ledger.members()} == {"a": 3, "b": 1}


def test_no_name_and_no_number_is_given_twice_and_a_bad_newcomer_takes_nobody_along(ledger):
    ledger.change(member("b", 1), "left", [(9, "b", None)], departed=True)

    for double in (member("b", 2), member("c", 1)):
        with pytest.raises(LedgerError):
            ledger.join([member("d", 7), double], [(0, "d", "here")])
        ledger = Ledger(ledger.path)
    assert ledger.names() == ["a", "b"]
    assert [row["name"] for row in ledger.members()] == ["a"]
    assert ledger.bodies()[-1] == (9, "b", None)
    ledger.close()


def test_what_is_told_is_written_whole_or_not_at_all(ledger):
    before = [
        ask(ledger.path, f"SELECT * FROM {table}") for table in ("edges", "agents", "messages", "events")
    ]

    with pytest.raises(sqlite3.ProgrammingError):
        ledger.record([told("z")], [EDGE | {"round": 8}], [("too", "short")])
    with pytest.raises(KeyError):
        ledger.change(member("a", 0), "left", [(9, "a", None)], [{"source": "a"}], departed=True)

    after = [
        ask(ledger.path, f"SELECT * FROM {table}") for table in ("edges", "agents", "messages", "events")
    ]
    assert after == before
    assert [row["name"] for row in ledger.members()] == ["a", "b"]


def test_the_version_changes_whenever_the_graph_does(ledger):
    seen = [ledger.version()]
    for write in (
        lambda: ledger.event("resumed"),
        lambda: ledger.record([told("a", "d")]),
        lambda: ledger.record(edges=[EDGE | {"round": 3}]),
        lambda: ledger.change(member("a", 0, "there"), "moved", [(5, "a", "there")]),
        lambda: ledger.join([member("c", 2)], []),
    ):
        write()
        seen.append(ledger.version())

    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen)
    ledger.record(edges=[EDGE])
    assert ledger.version() == seen[-1]


NAMES = "abcd"

WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("join")),
        st.tuples(st.just("publish"), st.sampled_from(NAMES), st.sampled_from("xyz")),
        st.tuples(st.just("edge"), st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 2)),
        st.tuples(st.just("leave"), st.sampled_from(NAMES)),
        st.tuples(st.just("move"), st.sampled_from(NAMES)),
    ),
    max_size=12,
)


def write(ledger, what, *words):
    """Do one of WRITES, if it can be done."""
    present = {row["name"]: row["index"] for row in ledger.members()}
    if what == "join" and len(ledger.names()) < len(NAMES):
        index = len(ledger.names())
        ledger.join([member(NAMES[index], index)], [(0, NAMES[index], "here")])
    elif what == "publish":
        ledger.record([told(*words)])
    elif what == "edge" and words[0] != words[1]:
        ledger.record(edges=[EDGE | dict(zip(("source", "target", "round"), words, strict=True))])
    elif what == "leave" and words[0] in present:
        ended = [
            edge | {"status": "ended", "reason": "left"}
            for edge, _ in ledger.edges()
            if words[0] in (edge["source"], edge["target"])
        ]
        ledger.change(member(*words, present[words[0]]), "left", [(9, *words, None)], ended, departed=True)
    elif what == "move" and words[0] in present:
        ledger.change(member(*words, present[words[0]]), "moved", [(9, *words, "here")])


def state(ledger, as_of=FOREVER):
    return ledger.members(as_of), ledger.agents(as_of), ledger.edges(as_of)


@settings(max_examples=40, deadline=None)
@given(writes=WRITES)
def test_every_earlier_state_can_be_read_as_it_stood(writes):
    clock = itertools.count(1000)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module.time, "time", lambda: float(next(clock)))
        with contextlib.closing(Ledger(Path(folder) / "ledger.sqlite", create=True)) as ledger:
            stood = [(next(clock), state(ledger))]
            for one in writes:
                write(ledger, *one)
                stood.append((next(clock), state(ledger)))

            assert [state(ledger, when) for when, _ in stood] == [found for _, found in stood]
            assert state(ledger, 999.0) == ([], {}, [])


def test_who_has_moved_is_read_where_it_stood_before(ledger, monkeypatch):
    before = ledger.members()
    when = max(event["time"] for event in ledger.events())
    monkeypatch.setattr(ledger_module.time, "time", lambda: when + 10)
    ledger.change(member("a", 0, "there", pose_version=1), "moved", [(5, "a", "there")])

    assert ledger.members()[0]["pose"] == "there"
    assert ledger.members(when) == before

import contextlib
import itertools
import pickle
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.status import Status
from social_jepa.config.time_parsing import FOREVER
from social_jepa.records import BodyRecord, replace
from social_jepa.storage import ledger as ledger_module
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import DuplicateMemberError, LedgerVersionError
from tests.support.ledger_rows import EDGE, agent, ask, edge, first_ledger, member, plain

TABLES = ("edges", "agents", "messages", "events")


@pytest.fixture
def ledger(tmp_path):
    with first_ledger(tmp_path) as opened:
        yield opened


def test_records_are_read_back_in_order(ledger):
    ledger.event("finished")

    assert [(event.type, event.details.get("config")) for event in ledger.events()] == [
        ("started", "c"), ("joined", None), ("joined", None), ("finished", None),
    ]  # fmt: skip
    assert [(row.sender, row.type, row.bytes) for row in ledger.messages()] == [
        ("a", "Offer", 10), ("b", "AnchorRequest", 20),
    ]  # fmt: skip
    assert list(ledger.agents()) == ["a", "b"]
    assert ledger.members() == [member("a", 0), member("b", 1)]
    assert plain(ledger.edges()) == [("a", "b", "accepted", 0.5, b"maps")]
    assert ledger.bodies() == [(0, "a", "here"), (0, "b", "here")]


def test_a_record_is_read_back_with_the_time_at_which_it_was_recorded(ledger, monkeypatch):
    monkeypatch.setattr(ledger_module.time, "time", lambda: 1234.5)
    ledger.record([agent("a", "d")], [edge(round=1)])

    assert ledger.agents()["a"] == replace(agent("a", "d"), published_at=1234.5)
    assert [found for found, _ in ledger.edges()] == [edge(round=1, time=1234.5)]


def test_the_columns_of_an_edge_say_what_its_record_says(ledger):
    columns = ("source", "target", "status", "r2", "r2_shared", "null_correlation", "bytes", "time")

    (row,) = ask(ledger.path, f"SELECT {', '.join(columns)} FROM edges")
    ((found, _),) = ledger.edges()
    assert row == tuple(getattr(found, column) for column in columns)
    assert ask(ledger.path, "SELECT details ->> 'kappa' FROM edges") == [(1.25,)]


def test_events_are_numbered_and_can_be_read_from_a_number_on(ledger):
    everything = ledger.events()
    second = everything[1].number

    assert [event.number for event in everything] == sorted({event.number for event in everything})
    assert ledger.events(after=second) == everything[2:]
    assert ledger.events(after=second - 1, limit=1) == [everything[1]]


def test_events_are_found_by_type_and_time(ledger, monkeypatch):
    first = ledger.events_of("started")[-1]
    monkeypatch.setattr(ledger_module.time, "time", lambda: first.time + 10)
    ledger.event("started", config="d")

    assert [event.details["config"] for event in ledger.events_of("started", "resumed")] == ["c", "d"]
    assert ledger.events_of("started", as_of=first.time + 5) == [first]
    assert ledger.events_of("resumed") == []


def test_another_program_reads_while_one_writes(ledger):
    ledger.event("resumed")

    assert ask(ledger.path, "SELECT count(*) FROM events") == [(4,)]
    with contextlib.closing(Ledger(ledger.path, read_only=True)) as reader:
        ledger.record(edges=[edge(round=1, r2=0.7)])
        assert plain(reader.edges()) == [("a", "b", "accepted", 0.7, None)]


def test_a_renegotiated_edge_replaces_the_old_one_which_stays_in_the_history(ledger):
    ledger.record(edges=[edge(source="c", target="a")])
    ledger.record(edges=[edge(round=1, r2=0.7)])

    assert plain(ledger.edges()) == [("a", "b", "accepted", 0.7, None), ("c", "a", "accepted", 0.5, None)]
    assert [found.r2 for found in ledger.history("a", "b")] == [0.5, 0.7]


def test_recording_an_edge_twice_changes_nothing(ledger):
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
        {"status": Status.ENDED},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_edge_of_another_round_incarnation_model_or_status_is_another(ledger, change):
    ledger.record(edges=[edge(**change)])

    assert len(ledger.history("a", "b")) == 2


def test_incarnations_are_counted_and_every_one_after_the_first_is_a_return(ledger):
    assert [ledger.next_incarnation(name) for name in ("a", "a", "b")] == [1, 2, 1]
    assert ledger.next_incarnation("a", "its process was killed") == 3

    returned = [event.details for event in ledger.events_of("returned")]
    killed = {"agent": "a", "incarnation": 3, "reason": "its process was killed"}
    assert returned == [{"agent": "a", "incarnation": 2}, killed]
    assert ledger.incarnations() == {"a": 3, "b": 1}


def test_no_name_or_number_is_given_twice_and_a_refused_member_refuses_all_with_it(ledger):
    ledger.change(member("b", 1), "left", [BodyRecord(9, "b", None)], departed=True)

    for double in (member("b", 2), member("c", 1)):
        with pytest.raises(DuplicateMemberError, match="already has a member of that name or number"):
            ledger.join([member("d", 7), double], [BodyRecord(0, "d", "here")])
        ledger = Ledger(ledger.path)
    assert ledger.names() == ["a", "b"]
    assert ledger.members() == [member("a", 0)]
    assert ledger.incarnations() == {"a": 0}
    assert ledger.bodies()[-1] == (9, "b", None)
    ledger.close()


def test_a_report_is_recorded_whole_or_not_at_all(ledger):
    before = [ask(ledger.path, f"SELECT * FROM {table}") for table in TABLES]

    with pytest.raises(sqlite3.ProgrammingError):
        ledger.record([agent("z")], [edge(round=8)], [("too", "short")])
    with pytest.raises(ValueError, match="kappa"):
        ledger.change(
            member("a", 0),
            "left",
            [BodyRecord(9, "a", None)],
            [edge(round=8), edge(kappa=0.5)],
            departed=True,
        )

    assert [ask(ledger.path, f"SELECT * FROM {table}") for table in TABLES] == before
    assert [found.name for found in ledger.members()] == ["a", "b"]


@pytest.mark.parametrize(
    "changes", [{"kappa": 0.5}, {"r2": 1.5}, {"source_checkpoint": "latest"}, {"correlations": None}]
)
def test_a_record_that_could_not_be_read_back_is_not_recorded(ledger, changes):
    with pytest.raises(ValueError, match=r"Expected"):
        ledger.record([agent("z")], [edge(round=8), edge(round=9, **changes)])

    assert len(ledger.history("a", "b")) == 1
    assert "z" not in ledger.agents()


def test_the_version_changes_whenever_the_graph_does(ledger):
    seen = [ledger.version()]
    for write in (
        lambda: ledger.event("resumed"),
        lambda: ledger.record([agent("a", "d")]),
        lambda: ledger.record(edges=[edge(round=3)]),
        lambda: ledger.change(member("a", 0, "there"), "moved", [BodyRecord(5, "a", "there")]),
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
        st.tuples(st.just("publish"), st.sampled_from(NAMES), st.sampled_from("abc")),
        st.tuples(st.just("edge"), st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 2)),
        st.tuples(st.just("leave"), st.sampled_from(NAMES)),
        st.tuples(st.just("move"), st.sampled_from(NAMES)),
    ),
    max_size=12,
)


def write(ledger, what, *words):
    """Do one of WRITES, if it is possible."""
    present = {found.name: found.index for found in ledger.members()}
    if what == "join" and len(ledger.names()) < len(NAMES):
        index = len(ledger.names())
        ledger.join([member(NAMES[index], index)], [BodyRecord(0, NAMES[index], "here")])
    elif what == "publish":
        ledger.record([agent(*words)])
    elif what == "edge" and words[0] != words[1]:
        ledger.record(edges=[edge(**dict(zip(("source", "target", "round"), words, strict=True)))])
    elif what == "leave" and words[0] in present:
        ended = [
            replace(found, status=Status.ENDED, reason="left")
            for found, _ in ledger.edges()
            if words[0] in (found.source, found.target)
        ]
        body = BodyRecord(9, *words, None)
        ledger.change(member(*words, present[words[0]]), "left", [body], ended, departed=True)
    elif what == "move" and words[0] in present:
        ledger.change(member(*words, present[words[0]]), "moved", [BodyRecord(9, *words, "here")])


def state(ledger, as_of=FOREVER):
    return ledger.members(as_of), ledger.agents(as_of), ledger.edges(as_of)


@settings(max_examples=40)
@given(writes=WRITES)
def test_every_earlier_state_can_be_read_as_it_was(writes):
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


def test_a_member_that_has_moved_is_read_at_its_earlier_pose(ledger, monkeypatch):
    before = ledger.members()
    when = max(event.time for event in ledger.events())
    monkeypatch.setattr(ledger_module.time, "time", lambda: when + 10)
    ledger.change(member("a", 0, "there", pose_version=1), "moved", [BodyRecord(5, "a", "there")])

    assert ledger.members()[0].pose == "there"
    assert ledger.members(when) == before


def test_an_error_with_fields_survives_the_pickling_of_ray():
    error = LedgerVersionError(Path("run/ledger.sqlite"), 2, 3, "0.1.0")

    back = pickle.loads(pickle.dumps(error))
    assert str(back) == str(error)
    assert (back.path, back.found, back.expected) == (error.path, 2, 3)


def test_edges_of_the_view_that_an_agent_had_before_it_moved_are_missing_until_they_are_negotiated_again(
    ledger,
):
    def found(source, target, round_=0, **changes):
        return edge(source=source, target=target, round=round_, **changes)

    def models(source, target):
        return {"source_checkpoint": source * 16, "target_checkpoint": target * 16}

    ledger.record(edges=[found("a", "b", **models("c", "c")), found("b", "a", **models("c", "c"))])
    assert ledger.missing_edges("a", "all") == set()

    ledger.change(member("a", 0, pose="there", pose_version=1), "moved", [BodyRecord(9, "a", "there")])
    assert ledger.missing_edges("a", "all") == {("a", "b"), ("b", "a")}
    ledger.record([replace(agent("a", "e"), pose_version=1)])
    assert ledger.missing_edges("a", "all") == {("a", "b"), ("b", "a")}
    ledger.record(edges=[found("a", "b", 1, **models("e", "c"))])
    assert ledger.missing_edges("a", "all") == {("b", "a")}
    ledger.record(edges=[found("b", "a", 1, status=Status.FAILED, **models("c", "c"))])
    assert ledger.missing_edges("a", "all") == set()

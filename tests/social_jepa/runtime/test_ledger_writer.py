import contextlib
import logging
from dataclasses import replace

import pytest

from agents.protocol.edge import EdgeResult
from agents.protocol.events import AgentEvents
from agents.protocol.evidence import verify
from agents.protocol.messages import AnchorReply
from agents.report import AgentReport
from agents.training.checkpoint import read_checkpoint
from alignment.anchors import digest_ids
from alignment.status import Status
from social_jepa.records import replace as replace_record
from social_jepa.runtime.ledger_writer import LedgerWriter
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerFullError
from social_jepa.storage.peer_keys import PeerKeys
from social_jepa.storage.reply_files import read_replies
from social_jepa.storage.run_folder import RunFolder, create
from tests.support.keys import identity_of, signed
from tests.support.ledger_rows import MESSAGES
from tests.support.runners import runner_spec


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    from agents.agent import Agent

    agent = Agent(runner_spec(tmp_path_factory.mktemp("agent")))
    agent.train()
    agent.publish()
    return agent


@pytest.fixture
def report(agent):
    return AgentReport(
        events=AgentEvents(1, 4, (), tuple(MESSAGES * 500), ("a message was refused",)),
        progress=agent.progress(), snapshot=agent.published.snapshot, checkpoint=agent.files.checkpoint,
        settled=False, failure=None, note="", node="here", host="this", device="cpu", pid=1, activity=None,
        unanswered={}, pose_version=1,
    )  # fmt: skip


@pytest.fixture
def ledger(tmp_path):
    with contextlib.closing(Ledger(tmp_path / "ledger.sqlite", create=True)) as ledger:
        yield ledger


@pytest.fixture
def members(agent):
    from social_jepa.runtime.members import initial_members

    return {member.name: member for member in initial_members(config(agent))}


def config(agent):
    from social_jepa.config.run_config import load_config

    return replace(load_config(overrides=["agents.count=2"]), scene=agent.spec.scene, seed=agent.spec.seed)


@pytest.fixture
def writer(agent, ledger, tmp_path):
    return LedgerWriter(config(agent), create(config(agent), tmp_path / "run"), ledger)


def set_pages(ledger, count):
    """Limit the file's size: SQLite then says SQLITE_FULL, as on a full disk."""
    ledger._connection.execute(f"PRAGMA max_page_count = {count}")


def counts(ledger):
    return len(ledger.agents()), len(ledger.messages()), [event.type for event in ledger.events()]


def test_a_report_that_the_disk_does_not_take_is_written_whole_when_it_is_repeated(
    writer, ledger, members, report, caplog
):
    set_pages(ledger, 1)
    for _ in range(2):
        with caplog.at_level(logging.INFO), pytest.raises(LedgerFullError):
            writer.write("agent-0", members, report)
    assert counts(ledger) == (0, 0, [])
    assert "published" not in caplog.text
    assert writer.written_versions == {}

    set_pages(ledger, 10**6)
    writer.write("agent-0", members, report)

    assert counts(ledger) == (1, 1000, ["published", "message_refused"])
    assert writer.written_versions == {"agent-0": report.checkpoint}


def test_an_event_that_the_disk_does_not_take_is_written_with_the_next_report(
    writer, ledger, members, report
):
    set_pages(ledger, 1)
    assert not writer.event("failed", agent="agent-1", text="x" * 100_000)
    assert counts(ledger) == (0, 0, [])

    set_pages(ledger, 10**6)
    writer.write("agent-0", members, report)

    assert counts(ledger)[2] == ["failed", "published", "message_refused"]
    assert writer.event("stopped")
    assert counts(ledger)[2][-1] == "stopped"


def test_after_a_move_the_model_of_the_earlier_view_is_neither_recorded_nor_logged_as_new(
    writer, ledger, members, report, caplog
):
    members["agent-0"] = replace_record(members["agent-0"], pose_version=1)
    with caplog.at_level(logging.INFO):
        writer.write("agent-0", members, report)

    assert counts(ledger) == (0, 1000, ["message_refused"])
    assert report.checkpoint not in caplog.text


def test_the_published_file_holds_the_version_that_the_ledger_names(writer, ledger, members, report, agent):
    writer.write("agent-0", members, report)

    facts = read_checkpoint(agent.files.published_path)[1]
    assert facts["peer_info"]["checkpoint"] == ledger.agents()["agent-0"].checkpoint


def contradicting_edges():
    """Return two edges out of agent-1 that were fitted on contradicting signed replies."""
    edges = []
    for round_number, value in enumerate((b"\0\0\x80?", b"\0\0\0@")):  # 1.0 and 2.0
        message = AnchorReply(
            source="agent-1", target="agent-0", round=round_number, digest=digest_ids([7], "0" * 16), rows=1,
            dim=1, precision="float32", noise=0, data=value, metric=b"",
        )  # fmt: skip
        edges.append(EdgeResult(
            "agent-1", "agent-0", round_number, Status.REFUSED, "nothing is shared", "0" * 16, "1" * 16,
            ticks=(7,), incarnations=(1, 1), reply=signed(message),
            source_key=identity_of("agent-1").public_key,
        ))  # fmt: skip
    return edges


def test_evidence_with_another_key_than_the_enrolled_one_accuses_nobody(
    writer, ledger, members, report, tmp_path
):
    PeerKeys(RunFolder.at(tmp_path / "run")).set("agent-1", identity_of("agent-0").public_key)
    found = replace(report, events=replace(report.events, edges=tuple(contradicting_edges())))
    writer.write("agent-0", members, found)

    assert ledger.events_of("equivocation") == []
    assert not (tmp_path / "run" / "evidence").exists()


def test_a_peer_that_contradicts_itself_is_recorded_once_with_proof_though_the_disk_was_full(
    writer, ledger, members, report, tmp_path
):
    found = replace(report, events=replace(report.events, edges=tuple(contradicting_edges())))
    set_pages(ledger, 1)
    with pytest.raises(LedgerFullError):
        writer.write("agent-0", members, found)
    set_pages(ledger, 10_000)
    for _ in range(2):
        writer.write("agent-0", members, found)
    (proof,) = ledger.events_of("equivocation")

    assert (proof.details["agent"], proof.details["tick"]) == ("agent-1", 7)
    path = tmp_path / "run" / proof.details["file"]
    assert verify(path.read_bytes()).sender == "agent-1"


def test_a_reply_is_compared_with_those_that_an_earlier_supervisor_has_kept(
    writer, ledger, members, report, agent, tmp_path
):
    for edge in contradicting_edges():
        writer.write("agent-0", members, replace(report, events=replace(report.events, edges=(edge,))))
        writer = LedgerWriter(config(agent), RunFolder.at(tmp_path / "run"), ledger)

    assert set(read_replies(tmp_path / "run")) == {"agent-1"}
    (proof,) = ledger.events_of("equivocation")
    assert verify((tmp_path / "run" / proof.details["file"]).read_bytes()).tick == 7


def test_a_damaged_reply_is_as_good_as_none(writer, ledger, members, report, agent, tmp_path, caplog):
    found = replace(report, events=replace(report.events, edges=tuple(contradicting_edges()[:1])))
    writer.write("agent-0", members, found)
    (file,) = (tmp_path / "run" / "replies").iterdir()
    file.write_bytes(b"half")
    again = LedgerWriter(config(agent), RunFolder.at(tmp_path / "run"), ledger)

    assert f"earlier replies are not compared: {file} is damaged" in caplog.text
    again.write("agent-0", members, found)
    assert set(read_replies(tmp_path / "run")) == {"agent-1"}


@pytest.mark.parametrize("name", ["", "latest", "../../0000000000000000", "0" * 17, "0" * 15 + "G"])
def test_an_edge_of_a_model_that_is_named_by_no_hash_is_refused_and_the_ledger_stays_readable(
    writer, ledger, members, report, name
):
    honest, odd = contradicting_edges()
    odd = replace(odd, source_checkpoint=name, reply=b"")
    found = replace(report, events=replace(report.events, edges=(odd,)))
    writer.write("agent-0", members, found)
    assert list(ledger.edges()) == []
    assert "agent-1" in ledger.events_of("message_refused")[-1].details["reason"]

    writer.write("agent-0", members, replace(report, events=replace(report.events, edges=(honest,))))
    assert [edge.source for edge, _ in ledger.edges()] == ["agent-1"]


def test_an_edge_of_a_pair_that_negotiates_no_more_is_not_recorded(writer, ledger, members, report):
    version = report.checkpoint
    edge = EdgeResult("agent-1", "agent-0", 1, Status.FAILED, "no reply", version, version)
    found = replace(report, events=replace(report.events, edges=(edge,)))
    for number in (2, 3):
        members[f"agent-{number}"] = replace_record(members["agent-1"], name=f"agent-{number}", index=number)
    ledger.event("topology", topology="ring")
    writer.write("agent-0", members, found)
    assert len(ledger.edges()) == 1

    far = replace(edge, source="agent-2")
    writer.write("agent-0", members, replace(report, events=replace(report.events, edges=(far,))))

    assert {(each.source, each.target) for each, _ in ledger.edges()} == {("agent-1", "agent-0")}

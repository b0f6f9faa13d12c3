import json

import pytest

from agents.protocol.evidence import FORMAT, Evidence, KeptReply, SignedReply
from agents.protocol.identity import fingerprint
from agents.protocol.messages import AnchorReply
from alignment.anchors import digest_ids
from social_jepa.storage.reply_files import write_reply
from tests.support.command import call
from tests.support.keys import identity_of, signed

KEY = identity_of("agent-0").public_key


def statement(target, value):
    message = AnchorReply(
        source="agent-0", target=target, round=0, digest=digest_ids([7], "c0de"), rows=1, dim=1,
        precision="float32", noise=0, data=value, metric=b"",
    )  # fmt: skip
    return SignedReply(signed(message), (7,))


ONE, TWO = b"\0\0\x80?", b"\0\0\0@"  # 1.0 and 2.0


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "agent-0.evidence"
    replies = (statement("agent-1", ONE), statement("agent-2", TWO))
    path.write_bytes(Evidence(FORMAT, KEY, "c0de", replies).encode())
    return path


def test_verify_says_who_embedded_what_in_two_ways_and_with_which_key(file):
    done = call("evidence", "verify", file)

    assert done.status == 0, done.err
    assert "agent-0 embedded 1 of 1 ticks in two ways under checkpoint c0de" in done.out
    assert "for agent-1 and for agent-2" in done.out
    assert fingerprint(KEY) in done.out
    found = json.loads(call("evidence", "verify", file, "--json").out)
    assert (found["sender"], found["tick"], found["difference"]) == ("agent-0", 7, 1.0)


def test_verify_says_what_proves_nothing(file, tmp_path):
    file.write_bytes(
        Evidence(FORMAT, KEY, "c0de", (statement("agent-1", ONE), statement("agent-2", ONE))).encode()
    )
    agreeing, missing = call("evidence", "verify", file), call("evidence", "verify", tmp_path / "none")

    assert (agreeing.status, missing.status) == (1, 2)
    assert "proves nothing: the two replies agree in all 1 ticks" in agreeing.err
    assert missing.err == f"social-jepa: there is no file {tmp_path / 'none'}\n"
    assert "Traceback" not in agreeing.err + missing.err


def test_compare_finds_what_a_source_told_two_peers_differently_and_only_that(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, value in (("one", ONE), ("two", TWO), ("three", ONE)):
        kept = KeptReply(KEY, "c0de", 1, statement(f"agent-{folder}", value))
        write_reply(tmp_path / folder, "agent-0", kept)

    honest = call("evidence", "compare", "one", "three", "--out", "found")
    document = call("evidence", "compare", "one", "three", "--out", "found", "--json")
    assert (document.status, json.loads(document.out)) == (1, {"peers": 1, "contradictions": []})
    assert (honest.status, (tmp_path / "found").exists()) == (1, False)
    assert "no contradiction among the replies of 1 peers in 2 folders" in honest.err

    done = call("evidence", "compare", "one", "two", "three", "--out", "found")
    files = list((tmp_path / "found").iterdir())
    assert done.status == 0, done.err
    assert done.out.count("agent-0 contradicts itself in ") == len(files) == 2
    assert call("evidence", "verify", files[0]).status == 0
    again = json.loads(call("evidence", "compare", "one", "two", "--out", "found", "--json").out)
    (found,) = again["contradictions"]
    assert (found["source"], found["folders"]) == ("agent-0", ["one", "two"])
    assert tmp_path / found["file"] in files


@pytest.mark.parametrize(
    ("folders", "reason"),
    [
        (["one"], "name two different folders or more"),
        (["one", "one"], "name two different folders or more"),
        (["one", "one/../one", "two"], "name two different folders or more"),
        (["one", "none"], "there is no folder none"),
        (["one", "empty"], "empty keeps no replies: name folders of runs or of peers with a folder replies"),
    ],
)
def test_compare_refuses_folders_that_say_nothing_about_contradictions(
    tmp_path, monkeypatch, folders, reason
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for folder in ("one", "two"):
        write_reply(tmp_path / folder, "agent-0", KeptReply(KEY, "c0de", 1, statement("agent-1", ONE)))

    said = call("evidence", "compare", *folders)
    assert (said.status, said.out) == (2, "")
    assert reason in said.err

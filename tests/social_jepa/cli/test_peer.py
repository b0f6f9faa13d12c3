"""The commands about peers with embeddings, in processes that end by themselves or by a signal."""

import hashlib
import json
import os
import re
import shutil
import signal
import time

import numpy as np
import pytest

from social_jepa.cli.peer_tables import print_peer_status
from social_jepa.records import decode, replace
from social_jepa.records.alignment import AlignmentRecord
from social_jepa.records.peer import PeerGraph, PeerQueryAnswer, PeerStatus
from tests.support.command import call, interrupt, spawn
from tests.support.embedding_tables import planted

SECONDS = 240.0
IDS = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(200)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A folder with two tables of float32 without ids, and their ids."""
    folder = tmp_path_factory.mktemp("tables")
    for name, rows in zip(("one", "two"), planted(0, 200, (5, 6), 3), strict=True):
        np.save(folder / f"{name}.npy", rows.astype(np.float32))
    (folder / "ids.txt").write_text("\n".join(IDS))
    return folder


def start(folder, name, *words):
    return spawn(
        folder, "peer", "--out", folder / f"{name}-peer", "--embeddings", folder / f"{name}.npy",
        "--ids", folder / "ids.txt", *words,
    )  # fmt: skip


def read_line(process, word):
    for line in process.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise AssertionError(process.communicate())


@pytest.fixture(scope="module")
def settled(tables):
    """The folders of two peers that ended by themselves; what they printed."""
    one = start(tables, "one", "--listen", "127.0.0.1:0", "--stop-after", 1)
    address = read_line(one, "listens")
    two = start(tables, "two", "--connect", address, "--stop-after", 1, "--json")
    ends = [(process.communicate(timeout=SECONDS), process.returncode) for process in (one, two)]
    assert [status for _, status in ends] == [0, 0], ends
    return tables, [out for (out, _), _ in ends]


def test_each_process_prints_what_changes_and_ends_when_enough_is_settled(settled):
    _, (lines, documents) = settled
    assert "edge       two > one accepted: 3 directions are shared" in lines
    assert "settled    with two; social-jepa graph --run one-peer shows the edges" in lines
    found = [json.loads(line) for line in documents.splitlines()]
    assert {"connected": "one"} in found
    assert any("one > two accepted" in document.get("edge", "") for document in found)


def test_graph_prints_the_edge_that_align_finds_on_the_tables_of_the_folder(settled):
    folder = settled[0] / "two-peer"
    for command in ("graph", "peer graph"):
        said = call(*command.split(), "--run", folder)
        assert said.status == 0, said.err
        assert "two: 200 anchors, 6 dimensions, 1 edges into it" in said.out
    graph = decode(call("graph", "--run", folder, "--json").out, PeerGraph)
    (edge,) = graph.edges
    # in another process: the number of threads decides about the last digit, and tests have one
    align = spawn(
        folder, "align", "edges/one.safetensors", "anchors.safetensors", "--seed", edge.seed, "--json"
    )
    again = decode(align.communicate(timeout=SECONDS)[0], AlignmentRecord).edges[0]
    ours = edge.alignment
    for name in ("correlations", "r2_shared", "r2", "retrieval_at_1", "null_correlation", "shared_dim"):
        assert getattr(again, name) == getattr(ours, name)
    assert decode(call("peer", "graph", "--run", folder, "--json").out, PeerGraph).edges == graph.edges


def test_a_graph_before_the_edge_was_negotiated_has_none(settled):
    said = call("graph", "--run", settled[0] / "two-peer", "--as-of", "1 day ago", "--json")
    assert decode(said.out, PeerGraph).edges == ()


def test_query_translates_and_finds_anchors(settled):
    folder = settled[0] / "two-peer"
    answer = decode(call("query", "--run", folder, "--id", IDS[3][:12], "--json").out, PeerQueryAnswer)
    assert (answer.source, answer.target, answer.id) == ("one", "two", IDS[3])
    said = call(
        "peer", "query", "--run", folder, "--from", "one", "--vector", ",".join(map(str, answer.vector))
    )
    assert said.status == 0, said.err
    assert "one > two   held-out R2" in said.out
    assert answer.nearest[0].id in said.out


def test_status_shows_the_peer_and_its_edge(settled):
    folder = settled[0] / "two-peer"
    status = decode(call("status", "--run", folder, "--json").out, PeerStatus)
    assert (status.name, status.phase, [peer.edge for peer in status.peers]) == ("two", "down", ["accepted"])
    watched = call("status", "--run", folder, "--watch", "--json")  # it is down, which ends the watch
    assert [decode(line, PeerStatus) for line in watched.out.splitlines()] == [status]
    said = call("peer", "status", "--run", folder)
    assert "two: down" in said.out
    assert "accepted" in said.out


def test_the_folder_is_known_by_its_name_below_runs_and_is_no_damaged_run(settled, tmp_path, monkeypatch):
    shutil.copytree(settled[0] / "two-peer", tmp_path / "runs" / "two-peer")
    monkeypatch.chdir(tmp_path)

    for command in ("status", "graph", "peer status", "peer graph"):
        said = call(*command.split(), "--run", "two-peer", "--json")
        assert said.status == 0, said.err
        assert json.loads(said.out)
    asked = call("peer", "query", "--run", "two-peer", "--id", IDS[3], "--json")
    assert decode(asked.out, PeerQueryAnswer).target == "two"
    assert call("query", "--run", "two-peer", "--id", IDS[3], "--json") == asked
    assert call("list") == (0, "no runs in runs\n", "")
    assert call("list", "--json", "runs").out.count("two-peer") == 0


def test_addresses_with_brackets_and_long_absences_are_shown_whole(settled, capsys):
    status = decode(call("status", "--run", settled[0] / "two-peer", "--json").out, PeerStatus)
    peer = replace(
        status.peers[0], addresses=("[fd00::1]:7000", "[red]host:7001"), connected=False,
        unreachable_since=time.time() - 288000,
    )  # fmt: skip

    print_peer_status(replace(status, phase="settled", listens=("[fd00::2]:1",), peers=(peer,)))

    out = capsys.readouterr().out
    assert "listens at [fd00::2]:1" in out
    (row,) = [line for line in out.splitlines() if line.startswith("one ")]
    assert "[fd00::1]:7000, [red]host:7001" in row
    assert "unreachable for 3 d" in row


def test_an_interrupt_ends_a_peer_that_the_same_command_continues(settled):
    folder = settled[0]
    for number, incarnation in ((signal.SIGINT, 2), (signal.SIGTERM, 3)):
        again = start(folder, "one", "--listen", "127.0.0.1:0")
        read_line(again, "listens")
        status = decode(call("status", "--run", folder / "one-peer", "--json").out, PeerStatus)
        assert (status.incarnation, status.process.pid) == (incarnation, again.pid)
        interrupt(again) if number == signal.SIGINT else os.kill(again.pid, number)
        _, err = again.communicate(timeout=SECONDS)
        assert again.returncode == 128 + number
        assert "interrupted by" in err
        assert "Traceback" not in err
        assert "one: down" in call("status", "--run", folder / "one-peer").out


LISTEN = ("--listen", "127.0.0.1:0")
WRONG = {
    "no ids": (["--embeddings", "one.npy", *LISTEN], "one has no anchor ids"),
    "no file": (["--embeddings", "none.npy", *LISTEN], "there is no file none.npy"),
    "settings": (["--embeddings", "one.npy", *LISTEN, "seed=3"], "KEY=VALUE is for an agent"),
    "online": (
        ["--embeddings", "one.npy", *LISTEN, "--online"], "--online is for an agent",
    ),
    "ids alone": (["--ids", "ids.txt", *LISTEN], "--ids is for a table of embeddings: give --embeddings"),
    "a name": (["--embeddings", "one.npy", "--ids", "ids.txt", "--name", "a b", *LISTEN], "--name a b"),
    "an address": (["--embeddings", "one.npy", "--announce", "x", *LISTEN], "'x' is not HOST:PORT"),
    "other anchors": (
        ["--embeddings", "one.npy", "--ids", "ids.txt", "--anchors", "more.txt", *LISTEN],
        "one.npy lacks 1 of the 201 anchors of more.txt, extra first",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_peer_that_cannot_start_says_why_and_makes_no_folder(tables, monkeypatch, case):
    monkeypatch.chdir(tables)
    (tables / "more.txt").write_text("\n".join(["extra", *IDS]))
    words, sentence = WRONG[case]
    said = call("peer", "--out", "new", *words)
    assert said.status != 0
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert not (tables / "new").exists()


def test_a_folder_that_is_none_of_a_peer_is_named_with_what_starts_one(tmp_path):
    said = call("peer", "status", "--run", tmp_path)
    assert said.status == 2
    assert f"{tmp_path} is no folder of a peer: start one there with social-jepa peer --out" in said.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--via", "best"), "--via: .* answers into the space of two alone"),
        (("--id", "1", "--vector", "1,2"), "give --id or --vector, not both"),
    ],
)
def test_a_query_for_what_a_peer_cannot_answer_says_so(settled, words, sentence):
    said = call("query", "--run", settled[0] / "two-peer", *words)
    assert said.status == 2
    assert re.search(sentence, said.err)

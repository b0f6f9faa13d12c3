"""Peers with embeddings over TCP, in one process: the edge of align, gossip, restarts, and bad networks."""

import contextlib
import errno
import hashlib
import time

import numpy as np
import pytest

from agents.protocol import peer_protocol
from agents.protocol.evidence import verify
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.faults import Faults
from agents.protocol.transports.tcp import TcpOptions
from alignment.arrays import AlignmentError
from alignment.embeddings.files import read_table
from alignment.embeddings.pairs import AlignSettings
from alignment.embeddings.peer import EmbeddingPeer, align
from alignment.embeddings.storage import edge_tensors
from alignment.status import Status
from social_jepa.records import encode, replace
from social_jepa.runtime import peer_connections
from social_jepa.runtime.networked_peer import NetworkedPeer
from social_jepa.runtime.peer_connections import NetworkOptions
from social_jepa.storage.embedding_folder import EDGES, DamagedPeerFolderError, EmbeddingFolder
from social_jepa.storage.embedding_query import PeerQueryError, query_embeddings
from social_jepa.storage.peer_status import DOWN, read_status
from social_jepa.storage.reply_files import read_replies
from social_jepa.storage.run_folder_errors import (
    RunFolderExistsError,
    RunFolderInUseError,
    RunFolderWriteError,
)
from tests.support.command import call
from tests.support.embedding_tables import planted

LOOPBACK = (PeerAddress("127.0.0.1", 0),)
SECONDS = 120.0
WITHOUT = Faults()
IDS = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(200)]


def table(name, column=0, ids=IDS, rng=0):
    """Return one of two planted tables that share 3 directions."""
    return EmbeddingPeer(name, ids, np.float32(planted(rng, len(ids), (5, 6), 3)[column]))


def options(connect=(), listen=LOOPBACK, faults=WITHOUT, session="", **more):
    addresses = tuple(PeerAddress.parse(text) for text in connect)
    return NetworkOptions(
        TcpOptions(listen, addresses, backoff=(0.02, 0.2)), faults=faults, session=session, **more
    )


def until(ready):
    end = time.monotonic() + SECONDS
    while not (found := ready()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def pair(folder, first=None, second=None, **more):
    first, second = first or table("one"), second or table("two", 1)
    with (
        NetworkedPeer(first, folder / "one", options(**more)) as one,
        NetworkedPeer(second, folder / "two", options(one.addresses, (), **more)) as two,
    ):
        yield one, two


def digits(edge):
    scalars = {name: value for name, value in vars(edge).items() if name != "map"}
    return scalars, {name: tensor.numpy().tobytes() for name, tensor in edge_tensors(edge).items()}


def test_two_peers_find_the_edges_that_align_finds_to_the_last_digit(tmp_path):
    first, second = table("one"), table("two", 1)
    with pair(tmp_path, first, second) as (one, two):
        forward, backward = two.wait("one", SECONDS), one.wait("two", SECONDS)
        seeds = two.edges()["one"].seed, one.edges()["two"].seed
    assert digits(forward) == digits(align(first, second, AlignSettings(seed=seeds[0])).forward)
    assert digits(backward) == digits(align(second, first, AlignSettings(seed=seeds[1])).forward)
    rows = np.asarray(first.vectors)
    np.testing.assert_array_equal(forward(rows), forward.map(rows))


def test_the_folder_holds_both_sides_as_tables_that_align_to_the_same_edge(tmp_path):
    with pair(tmp_path) as (one, two):
        found = two.wait("one", SECONDS)
        one.wait("two", SECONDS)
    folder = EmbeddingFolder(tmp_path / "two")
    (record,) = folder.graph().edges
    tables = (
        read_table(tmp_path / "two" / "edges" / "one.safetensors"),
        read_table(tmp_path / "two" / "anchors.safetensors", "two"),
    )
    again = align(*tables, AlignSettings(seed=record.seed)).forward
    assert digits(again) == digits(found)
    assert record.alignment.r2_shared == found.r2_shared
    assert record.bytes > 200 * 5 * 4
    stored = folder.edge("one").map
    np.testing.assert_array_equal(stored(tables[0].vectors), found(tables[0].vectors))


def test_a_callable_is_a_peer_and_is_called_once_for_each_id(tmp_path):
    known, calls = table("one"), []
    row = {each: number for number, each in enumerate(IDS)}

    def embed(ids):
        calls.extend(ids)
        return known.vectors[[row[each] for each in ids]]

    with pair(tmp_path, EmbeddingPeer("one", IDS, embed)) as (_, two):
        assert two.wait("one", SECONDS).shared_dim == 3
    assert sorted(calls) == sorted(IDS)


def test_another_anchor_set_is_refused_with_a_sentence(tmp_path):
    other = [f"{each}x" for each in IDS]
    with pair(tmp_path, second=table("two", 1, other)) as (one, two):
        with pytest.raises(LookupError, match=r"one has another anchor set .* than two"):
            two.wait("one", SECONDS)
        until(lambda: one.settled() == {"two"})
        assert one.edges()["two"].status is Status.REFUSED


def test_a_chain_in_which_each_knows_one_gets_all_edges(tmp_path):
    with (
        NetworkedPeer(table("a"), tmp_path / "a", options()) as a,
        NetworkedPeer(table("b", 1), tmp_path / "b", options(a.addresses)) as b,
        NetworkedPeer(table("c", 1), tmp_path / "c", options(b.addresses, ())) as c,
    ):
        for target, sources in ((a, "bc"), (b, "ac"), (c, "ab")):
            assert [target.wait(source, SECONDS).shared_dim >= 3 for source in sources] == [True, True]


def test_a_restarted_peer_is_a_new_incarnation_and_finds_the_same_edge(tmp_path):
    found = []
    for _ in range(2):
        with pair(tmp_path) as (one, two):
            two.wait("one", SECONDS)
            one.wait("two", SECONDS)
            found.append((two.edges()["one"], two.connections.local.incarnation))
    (first, one), (second, two) = found
    assert (one, two) == (1, 2)
    assert first.seed == second.seed
    assert digits(first.alignment) == digits(second.alignment)
    assert len(EmbeddingFolder(tmp_path / "two").graph().edges) == 1


def test_a_network_that_loses_and_doubles_gives_the_same_edge(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_connections, "RETRY_SECONDS", 0.05)
    edges = []
    for name, faults in (("good", WITHOUT), ("bad", Faults(drop=0.3, dup=0.3, reorder=8))):
        folder, keys = (
            tmp_path / name,
            [tmp_path / "one.key", tmp_path / "two.key"],
        )  # nonces follow from them
        with (
            NetworkedPeer(table("one"), folder / "one", options(faults=faults, key=keys[0])) as one,
            NetworkedPeer(
                table("two", 1), folder / "two", options(one.addresses, faults=faults, key=keys[1])
            ) as two,
        ):
            edges.append(two.wait("one", SECONDS))
            one.wait("two", SECONDS)
    assert digits(edges[0]) == digits(edges[1])


def test_another_session_is_another_group(tmp_path, caplog):
    with (
        NetworkedPeer(table("one"), tmp_path / "one", options(session="a")) as one,
        NetworkedPeer(table("two", 1), tmp_path / "two", options(one.addresses, session="b")),
    ):
        until(lambda: any("belongs to another group" in each.getMessage() for each in caplog.records))
        assert one.connections.transport.connected() == []


def test_the_status_says_who_is_connected_and_that_an_ended_peer_is_down(tmp_path):
    with pair(tmp_path) as (one, two):
        two.wait("one", SECONDS)
        one.wait("two", SECONDS)
        status = until(
            lambda: (found := read_status(tmp_path / "two")) and found.phase == "settled" and found
        )
        (peer,) = status.peers
        assert (peer.name, peer.connected, peer.edge) == ("one", True, "accepted")
        assert peer.addresses == tuple(one.addresses)
    status = read_status(tmp_path / "two")
    assert (status.phase, status.listens) == (DOWN, ())


@contextlib.contextmanager
def unwritable_pair(folder):
    """Two peers of which the first cannot write its edge; yield them and the folder that is in its way."""
    blocked = folder / "one" / EDGES / "two.safetensors"
    with NetworkedPeer(table("one"), folder / "one", options()) as one:
        blocked.mkdir(parents=True)
        with NetworkedPeer(table("two", 1), folder / "two", options(one.addresses, ())) as two:
            until(lambda: one.status().unsaved and two.edges())
            yield one, blocked


def test_a_peer_says_what_it_cannot_write_and_writes_it_later(tmp_path, caplog):
    with unwritable_pair(tmp_path) as (one, blocked):
        assert [record.path for record in one.status().unsaved] == [str(one.folder.path)]
        assert one.edges() == {}
        blocked.rmdir()
        assert one.wait("two", SECONDS)
        until(lambda: not one.status().unsaved)

    assert one.unsaved == []
    assert sum("cannot be recorded, and is tried again" in each.message for each in caplog.records) == 1


def test_all_that_waits_is_recorded_at_the_end_though_each_request_returns_a_part(tmp_path, monkeypatch):
    with unwritable_pair(tmp_path) as (one, blocked):
        one.stop()
        one._thread.join()
        waiting = one.connections.protocol.newest_event[1]
        blocked.rmdir()
        monkeypatch.setattr(peer_protocol, "EVENTS_PER_REPORT", 1)

    assert waiting > 3
    assert one.unsaved == []
    assert [edge.status for edge in EmbeddingFolder(one.folder.path).graph().edges] == [Status.ACCEPTED]


def test_a_peer_says_at_its_end_what_it_could_not_write(tmp_path):
    with unwritable_pair(tmp_path) as (one, _):
        pass

    (sentence,) = one.unsaved
    assert sentence.startswith(f"one cannot write {one.folder.path} (")
    shown = " ".join(call("status", "--run", one.folder.path).out.split())
    assert f"{sentence} for " in shown


def test_a_process_that_was_killed_is_down(tmp_path):
    with NetworkedPeer(table("one"), tmp_path / "one", options()) as one:
        until(lambda: read_status(tmp_path / "one"))
        ended = replace(one.status(), process=replace(one.status().process, pid=2**22 + 1))
    (tmp_path / "one" / "status.json").write_bytes(encode(ended))
    assert read_status(tmp_path / "one").phase == DOWN
    assert read_status(tmp_path) is None
    (tmp_path / "one" / "status.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        read_status(tmp_path / "one")


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("settled")
    with pair(folder) as (one, two):
        two.wait("one", SECONDS)
        one.wait("two", SECONDS)
    return EmbeddingFolder(folder / "two")


def test_a_query_finds_the_anchor_that_was_translated(settled):
    found = [query_embeddings(settled, "one", anchor=each, top=3) for each in IDS]
    assert sum(answer.id in [near.id for near in answer.nearest] for answer in found) > 0.9 * len(found)
    answer = query_embeddings(settled, anchor=IDS[7][:10])
    assert (answer.source, answer.target, answer.id) == ("one", "two", IDS[7])
    again = query_embeddings(settled, "one", vector=answer.vector)
    assert (again.translated, again.nearest, again.id) == (answer.translated, answer.nearest, None)
    expected = settled.edge("one").map(np.array(answer.vector))
    np.testing.assert_allclose(answer.translated, expected)


WRONG_QUERIES = {
    "another peer": ({"source": "eve"}, "two has no edge from eve: name one with --from; accepted are one"),
    "no anchor": ({"anchor": "zz"}, "no anchor that one has sent is 'zz'"),
    "many anchors": ({"anchor": "1"}, "more than one anchor that one has sent begins with '1'"),
    "a short vector": ({"vector": [1.0]}, "embeddings of one have 5 finite numbers, got 1"),
    "no number": ({"vector": [float("nan")] * 5}, "5 finite numbers"),
}


@pytest.mark.parametrize("case", WRONG_QUERIES)
def test_a_query_that_cannot_be_answered_says_why(settled, case):
    given, sentence = WRONG_QUERIES[case]
    with pytest.raises(PeerQueryError, match=sentence):
        query_embeddings(settled, **given)


def test_a_folder_of_something_else_or_in_use_is_left_alone(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(RunFolderExistsError):
        NetworkedPeer(table("one"), tmp_path / "other")
    with NetworkedPeer(table("one"), tmp_path / "one", options()):
        with pytest.raises(RunFolderInUseError):
            NetworkedPeer(table("one"), tmp_path / "one")
        with pytest.raises(RunFolderExistsError):
            NetworkedPeer(table("two"), tmp_path / "one")
    with pytest.raises(AlignmentError, match="no anchor ids"):
        NetworkedPeer(EmbeddingPeer("one", None, np.ones((99, 3))), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_whose_table_found_no_room_is_used_once_there_is(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(EmbeddingFolder, "_write_table", full)
        with pytest.raises(RunFolderWriteError, match="No space left"):
            NetworkedPeer(table("one"), tmp_path / "one")
    assert (tmp_path / "one").exists()

    with NetworkedPeer(table("one"), tmp_path / "one", options()):
        assert EmbeddingFolder(tmp_path / "one").table().name == "one"


def test_damaged_files_of_a_folder_are_named(settled, tmp_path):
    with pytest.raises(DamagedPeerFolderError, match=r"edges/eve\.safetensors"):
        settled.edge("eve")
    (tmp_path / "embeddings.json").write_text("{")
    with pytest.raises(DamagedPeerFolderError, match=r"embeddings\.json"):
        EmbeddingFolder(tmp_path).table()


def test_a_peer_that_changes_its_rows_under_the_same_checkpoint_is_proved_guilty_after_a_restart(tmp_path):
    first = table("one")
    with NetworkedPeer(first, tmp_path / "one", options()) as one:
        two = table("two", 1)
        with NetworkedPeer(two, tmp_path / "two", options(one.addresses, ())) as peer:
            honest = peer.wait("one", SECONDS)
        assert set(read_replies(tmp_path / "two")) == {"one"}
        pool = one._negotiation.pools.anchors.vectors
        pool[::20] *= -1  # it says another thing of some items, and that its table is the same
        with NetworkedPeer(two, tmp_path / "two", options(one.addresses, ())) as peer:
            lied = until(lambda: peer.edges().get("one"))
    assert honest.status is lied.status is Status.ACCEPTED
    (path,) = (tmp_path / "two" / "evidence").iterdir()
    found = verify(path.read_bytes())
    assert (found.sender, found.ticks, found.contradictions) == ("one", 200, 10)
    reason = f"it embedded tick {found.tick} in two ways, which evidence/{path.name} proves"
    assert [each.flagged for each in read_status(tmp_path / "two").peers] == [reason]
    (edge,) = EmbeddingFolder(tmp_path / "two").graph().edges
    assert (edge.status, edge.reason) == (Status.REFUSED, f"one is not trusted: {reason}")

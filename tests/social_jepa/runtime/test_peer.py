"""Agents as ordinary processes over TCP: the same graph as one run, and what a peer's command says."""

import contextlib
import io
import os
import signal
import socket
import sqlite3
import stat
import threading
import time

import pytest

from agents.protocol.identity import KEY_FILE
from agents.protocol.introduction import IntroducedPeer
from agents.protocol.messages import Hello
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.tcp import TcpOptions
from agents.protocol.trust import KeyRevocation
from agents.protocol.verifier import KnownPeer
from agents.protocol.wire import Reason
from alignment.status import Status
from social_jepa.cli.peer_display import PeerDisplay
from social_jepa.cli.peer_tables import peer_notes
from social_jepa.config.run_config import load_config
from social_jepa.graph.results import load_results
from social_jepa.records import QueryAnswer, decode, replace
from social_jepa.records.peer import PeerStatus
from social_jepa.runtime.peer import Peer, PeerOptions
from social_jepa.runtime.peer_connections import TRUST_FILE, NetworkOptions
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.peer_keys import SESSION_FILE
from social_jepa.storage.run_folder import RunFolder, create
from tests.support.command import TINY, call, spawn
from tests.support.failing_models import LoopsForever
from tests.support.keys import identity_of, signed

SETTINGS = (*TINY, "agents.count=3", "agents.threads=1", "training.steps=40")
NAMES = ("agent-0", "agent-1", "agent-2")
SECONDS = 240.0


def edges_of(path):
    """Return every edge that a folder's ledger holds, without its time, and its maps as bytes."""
    with contextlib.closing(Ledger(RunFolder.at(path).ledger_file, read_only=True)) as ledger:
        return {(edge.source, edge.target): (replace(edge, time=0.0), maps) for edge, maps in ledger.edges()}


def read_line(process, word):
    """Return the rest of the next line of a process that begins with a word."""
    for line in process.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise AssertionError(process.communicate())


def start_peers(folder):
    """Start three peers that each know the address of the one before, and wait until they listen."""
    started, addresses = {}, []
    for name in NAMES:
        dialed = [word for address in addresses[-1:] for word in ("--connect", address)]
        started[name] = spawn(
            folder, "peer", "--out", folder / name, "--name", name, "--listen", "127.0.0.1:0", *dialed,
            *SETTINGS,
        )  # fmt: skip
        addresses.append(read_line(started[name], "listens"))
    return started


def stop(processes):
    """End processes as Ctrl-C does, and return the end of their output and their status."""
    for process in processes.values():
        os.kill(process.pid, signal.SIGTERM)
    return {
        name: (*process.communicate(timeout=SECONDS), process.returncode)
        for name, process in processes.items()
    }


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """The folder of three peers that settled all of their edges and were ended."""
    folder = tmp_path_factory.mktemp("peers")
    processes = start_peers(folder)
    for process in processes.values():
        read_line(process, "settled")
    ends = stop(processes)
    assert {status for *_, status in ends.values()} == {128 + signal.SIGTERM}
    return folder


@pytest.mark.ray
def test_three_processes_without_ray_reach_the_graph_of_a_run_to_the_last_digit(settled, ray_local, tmp_path):
    done = call("run", "--out", tmp_path / "run", "--address", ray_local, *SETTINGS)
    assert done.status == 0, done.err
    expected = edges_of(tmp_path / "run")
    found = {}
    for name in NAMES:
        own = edges_of(settled / name)
        assert {target for _, target in own} == {name}
        found |= own

    assert len(expected) == 6
    assert found == expected


def test_the_graph_of_a_peer_holds_its_model_and_the_edges_into_it(settled):
    document = load_results(RunFolder.at(settled / "agent-1")).document
    assert [agent.name for agent in document.agents] == ["agent-1"]
    assert [(edge.source, edge.target) for edge in document.edges] == [
        ("agent-0", "agent-1"), ("agent-2", "agent-1"),
    ]  # fmt: skip
    assert {edge.status.value for edge in document.edges} <= {"accepted", "refused"}


def test_a_peer_keeps_its_key_private_and_the_keys_that_others_showed(settled):
    for name in NAMES:
        key = settled / name / "agents" / name / KEY_FILE
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        trusted = (settled / name / TRUST_FILE).read_text()
        assert all(f"[{other}]" in trusted for other in NAMES if other != name)
        assert key.read_text().strip() not in trusted
        assert not (settled / name / SESSION_FILE).exists()  # its session follows from the settings


def test_a_peer_that_is_started_again_is_a_new_incarnation_with_the_same_edges(settled):
    before = edges_of(settled / "agent-2")
    processes = {}
    first = spawn(
        settled, "peer", "--out", settled / "agent-0", "--name", "agent-0", "--listen", "127.0.0.1:0"
    )
    processes["agent-0"] = first
    address = read_line(first, "listens")
    processes["agent-2"] = spawn(
        settled, "peer", "--out", settled / "agent-2", "--name", "agent-2", "--connect", address
    )
    until = time.monotonic() + SECONDS
    while edges_of(settled / "agent-2")["agent-0", "agent-2"][0].source_incarnation == 1:
        assert time.monotonic() < until
        time.sleep(0.05)
    stop(processes)
    edge, maps = edges_of(settled / "agent-2")["agent-0", "agent-2"]
    former, former_maps = before["agent-0", "agent-2"]
    assert (edge.source_incarnation, edge.target_incarnation) == (2, 2)
    assert (edge.source_checkpoint, edge.target_checkpoint) == (
        former.source_checkpoint,
        former.target_checkpoint,
    )
    assert (edge.r2_shared, maps) == (former.r2_shared, former_maps)


WRONG = {
    "no address": ([], "give --listen HOST:PORT, --connect HOST:PORT, or both"),
    "no port": (["--listen", "localhost"], "'localhost' is not HOST:PORT"),
    "an unknown name": (["--listen", "127.0.0.1:0", "--name", "eve"], "eve"),
    "an unknown fault": (["--listen", "127.0.0.1:0", "--faults", "dorp=1"], "choose from drop, dup"),
    "no trust file": (["--listen", "127.0.0.1:0", "--trust", "missing.toml"], "missing.toml cannot be read"),
    "half of TLS": (["--listen", "127.0.0.1:0", "--tls-cert", "c.pem"], "given together"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_peer_that_cannot_start_says_why_in_a_sentence(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    words, sentence = WRONG[case]
    done = call("peer", "--out", tmp_path / "p", *words, *SETTINGS)
    assert done.status == 2
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_a_peer_whose_key_is_revoked_while_it_is_connected_is_refused(tmp_path):
    config = load_config(overrides=SETTINGS)
    peer = Peer(create(config, tmp_path / "p"), PeerOptions("agent-0"))
    for name in ("agent-1", "agent-2"):
        peer.connections.trust.accept(name, identity_of(name).public_key)
        peer.connections.meet(IntroducedPeer(name, KnownPeer(identity_of(name).public_key, 1)))
    hello = signed(
        Hello(source="agent-1", target="agent-0", round=0, checkpoint="c0de"),
        session=peer.connections.local.session,
    )
    peer.connections.trust.revoke(KeyRevocation.make("agent-1", identity_of("agent-1")))
    peer.connections.meet(IntroducedPeer("agent-2", KnownPeer(identity_of("agent-2").public_key, 1)))
    peer.connections.protocol.receive(hello)

    assert peer.connections.protocol.refusals() == {("agent-1", Reason.REVOKED): 1}
    peer.connections.transport.close()


def test_agents_meet_by_the_scene_of_their_anchors_whatever_their_own_is(tmp_path):
    sessions = {}
    for seed, public in ((0, -1), (1, -1), (0, 7), (1, 7), (0, 8)):
        config = load_config(overrides=[*SETTINGS, f"seed={seed}", f"negotiation.anchor_seed={public}"])
        peer = Peer(create(config, tmp_path / f"{seed} {public}"), PeerOptions("agent-0"))
        sessions[seed, public] = peer.connections.local.session
        notes = peer_notes(peer.peer_status())
        assert ("anchors are frames of the public scene of seed 7" in notes) == (public == 7)
        peer.connections.transport.close()

    assert sessions[0, 7] == sessions[1, 7]
    assert len(set(sessions.values())) == 4


@contextlib.contextmanager
def unwritable(path):
    """Hold the lock of a ledger, so that no other connection can write to it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def run_until(folder, seen, *settings):
    """Run a peer until its status has something; return it, that status, and what its command printed."""
    config, states = load_config(overrides=[*SETTINGS, "training.steps=5", *settings]), []
    network = NetworkOptions(TcpOptions((PeerAddress("127.0.0.1", 0),)))
    peer = Peer(create(config, folder), PeerOptions("agent-0", network))
    display, end = PeerDisplay(), io.StringIO()

    def observe(each):
        display.agent(each)
        states.append(each.peer_status())
        if seen(states[-1]):
            LoopsForever.released.set()
            raise KeyboardInterrupt

    with contextlib.redirect_stdout(end), contextlib.suppress(KeyboardInterrupt):
        peer.run(observe)
    return peer, states[-1], end.getvalue()


@pytest.fixture
def looping(monkeypatch):
    monkeypatch.setattr(LoopsForever, "released", threading.Event())
    yield "agents.kind=tests.support.failing_models:LoopsForever"
    LoopsForever.released.set()


def test_a_peer_whose_model_makes_no_step_says_where_it_is(tmp_path, monkeypatch, looping):
    monkeypatch.setattr("agents.activity.IDLE_SECONDS", 0.5)
    monkeypatch.setattr("agents.activity.FIRST_STEP_SECONDS", 0.5)
    monkeypatch.setattr("agents.activity.IDLE_FACTOR", 1.5)

    def hangs(status):
        return status.idle_seconds and "failing_models.py line " in status.idle_place

    _, status, printed = run_until(tmp_path / "p", hangs, looping)

    assert "idle       agent-0 has made no step for " in printed
    (note,) = [each for each in peer_notes(status) if "no step" in each]
    assert f": it is in {status.idle_place}" in note


def test_a_peer_whose_ledger_cannot_be_written_says_so_and_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("social_jepa.storage.ledger_file.BUSY_SECONDS", 0.2)
    with contextlib.ExitStack() as stack:

        def unsaved(status):
            if not stack._exit_callbacks:
                stack.enter_context(unwritable(RunFolder.at(tmp_path / "p").ledger_file))
            return bool(status.unsaved)

        peer, status, printed = run_until(tmp_path / "p", unsaved)

    assert {record.path for record in status.unsaved} == {str(peer._ledger.path)}
    assert f"unsaved    cannot write {peer._ledger.path} (" in printed
    assert peer.unsaved[0].startswith(f"agent-0 cannot write {peer._ledger.path} (")
    assert peer.unsaved[-1].endswith("does not say that the peer has stopped")


def test_a_folder_with_other_settings_is_not_continued(settled):
    done = call("peer", "--out", settled / "agent-0", "--listen", "127.0.0.1:0", *SETTINGS, "seed=9")
    assert done.status == 2
    assert "other settings: give none to continue it" in done.err


def test_a_port_in_use_is_said_in_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = call("peer", "--out", tmp_path / "p", "--listen", address, *SETTINGS)
    assert done.status == 1
    assert "in use" in done.err


def test_the_status_of_a_peer_shows_its_peers_its_edges_and_that_it_has_ended(settled):
    said = call("status", "--run", settled / "agent-1", "--json")
    assert said.status == 0, said.err
    status = decode(said.out, PeerStatus)
    assert (status.name, status.kind, status.phase) == ("agent-1", "agent", "down")
    assert {peer.name: peer.edge for peer in status.peers}.keys() == {"agent-0", "agent-2"}
    assert {peer.edge for peer in status.peers} <= {"accepted", "refused"}
    assert "agent-1: down" in call("peer", "status", "--run", settled / "agent-1").out


def test_a_core_vector_of_another_peer_is_translated_in_the_folder_of_a_peer(settled):
    edges = {pair: edge for pair, (edge, _) in edges_of(settled / "agent-1").items()}
    source, edge = next(
        (source, edge) for (source, _), edge in edges.items() if edge.status is Status.ACCEPTED
    )
    vector = ",".join(["0.5"] * edge.core_dims[0])
    words = ("query", "--run", settled / "agent-1", "--from", source, "--to", "agent-1")
    said = call(*words, "--vector", vector, "--json")
    assert said.status == 0, said.err
    answer = decode(said.out, QueryAnswer)
    thin = call("peer", "query", "--run", settled / "agent-1", "--from", source, "--vector", vector, "--json")
    assert decode(thin.out, QueryAnswer) == answer
    assert answer.measured_r2 == edge.r2_shared
    assert len(answer.nearest) == 5
    said = call(*words, "--tick", 0)
    assert said.status == 2
    assert f"the model of {source} is not in this folder" in said.err
    assert "--vector" in said.err

"""Status, edges and answers of peers without Ray, as tables for people."""

import time
from typing import TYPE_CHECKING

from rich.markup import escape

from social_jepa.cli.clock import describe_age
from social_jepa.cli.tables import make_console, make_table
from social_jepa.runtime.agent_notes import anchor_notes, idle_note, unsaved_notes
from social_jepa.storage.peer_status import DOWN, SILENT_SECONDS

if TYPE_CHECKING:
    from social_jepa.records.peer import PeerEdgeRecord, PeerGraph, PeerQueryAnswer, PeerRecord, PeerStatus

SHOWN = 8  # numbers of a vector that are printed


def print_peer_status(status: "PeerStatus") -> None:
    """Print the state of a peer and a row for each of its peers."""
    console = make_console()
    where = f", listens at {', '.join(status.listens)}" if status.listens else ""
    process = f"process {status.process.pid} on {status.process.machine.host}"
    console.print(escape(f"{status.name}: {status.phase}, {process}{where}"), soft_wrap=True)
    model = status.checkpoint or "none yet"
    console.print(escape(f"key {status.fingerprint}, table or model {model}"), soft_wrap=True)
    for note in peer_notes(status):
        console.print(escape(note), soft_wrap=True)
    table = make_table(
        "peers", ("peer", "connection", "edge from it", "reached at", "key"), ("refused",),
        spare=("refused", "key", "reached at"),
    )  # fmt: skip
    for peer in status.peers:
        connection = "" if status.phase == DOWN else _connection(peer)
        reached = ", ".join(peer.addresses) or "no address"
        edge = peer.edge or _waiting(peer)
        table.add_row(peer.name, connection, edge, reached, peer.fingerprint[:9], str(peer.refused))
    console.print()
    console.print(table if status.peers else "no peer was met yet: is the address of --connect right?")
    for peer in status.peers:
        if peer.flagged:
            text = f"{peer.name} is not trusted, and its edges are refused: {peer.flagged}"
            console.print(escape(text), soft_wrap=True)
    if status.refused_addresses:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(status.refused_addresses.items()))
        console.print(escape(f"signed addresses refused: {counts}"), soft_wrap=True)


def peer_notes(status: "PeerStatus") -> list[str]:
    """Return one line for each thing about a peer itself that a person should know."""
    notes = [*anchor_notes(status.anchor_seed), *([status.note] if status.note else [])]
    notes += unsaved_notes(status.name, status.unsaved)
    if status.idle_seconds:
        notes.append(idle_note(status.name, status.idle_seconds, status.idle_place))
    age = time.time() - status.updated_at
    if status.phase != DOWN and age > SILENT_SECONDS:
        notes.append(
            f"this was written {describe_age(age)} ago: its process hangs, or its disk takes nothing"
        )
    return notes


def _connection(peer: "PeerRecord") -> str:
    if peer.connected:
        return "connected"
    return f"unreachable for {_ago(peer.unreachable_since)}" if peer.unreachable_since else "none yet"


def _waiting(peer: "PeerRecord") -> str:
    return f"no answer for {_ago(peer.unanswered_since)}" if peer.unanswered_since else ""


def _ago(since: float) -> str:
    return describe_age(time.time() - since)


def print_peer_graph(graph: "PeerGraph") -> None:
    """Print the edges into a peer with embeddings."""
    console, own = make_console(), graph.table
    sizes = f"{own.anchors:,} anchors, {own.dim} dimensions, {len(graph.edges)} edges into it"
    console.print(escape(f"{own.name}: {sizes}"))
    table = make_table(
        "edges: scores on held-out anchors",
        ("edge", "verdict"),
        ("shared", "R2 shared", "R2 all", "retrieval@1", "null", "anchors", "seed", "bytes"),
        spare=("seed", "bytes", "anchors", "retrieval@1", "R2 all", "null", "shared"),
    )
    for edge in graph.edges:
        table.add_row(f"{edge.source} > {edge.target}", edge.status, *_scores(edge))
    console.print()
    console.print(table)
    for edge in graph.edges:
        console.print(escape(f"{edge.source} > {edge.target}: {edge.reason}"), soft_wrap=True)


def _scores(edge: "PeerEdgeRecord") -> list[str]:
    found = edge.alignment
    if found is None:
        return [""] * 7 + [f"{edge.bytes:,}"]
    return [
        str(found.shared_dim), f"{found.r2_shared:.3f}", f"{found.r2:.3f}", f"{found.retrieval_at_1:.3f}",
        f"{found.null_correlation:.2f}", f"{found.fit_anchors}+{found.heldout_anchors}",
        str(edge.seed),
        f"{edge.bytes:,}",
    ]  # fmt: skip


def print_peer_answer(answer: "PeerQueryAnswer") -> None:
    """Print a translated embedding and the anchors that are nearest to it."""
    console = make_console()
    console.print(escape(f"{answer.source} > {answer.target}   held-out R2 {answer.r2_shared:.3f}"))
    for name, vector in (("vector", answer.vector), ("translated", answer.translated)):
        more = f" … {len(vector)} numbers" if len(vector) > SHOWN else ""
        console.print(f"{name:<11}" + " ".join(f"{number:7.3f}" for number in vector[:SHOWN]) + more)
    console.print(escape(f"nearest anchors of {answer.target}"))
    table = make_table("", ("id",), ("distance",))
    for near in answer.nearest:
        table.add_row(str(near.id), f"{near.distance:.3f}")
    console.print(table)

"""What a running peer prints: one line for each change, or one JSON document."""

import json
from typing import TYPE_CHECKING

import typer

from social_jepa.cli.hints import hint
from social_jepa.runtime.agent_notes import idle_note

if TYPE_CHECKING:
    from social_jepa.records.peer import PeerStatus
    from social_jepa.runtime.networked_peer import NetworkedPeer
    from social_jepa.runtime.peer import Peer


class PeerDisplay:
    """Prints what changes."""

    def __init__(self, as_json: bool = False, stop_after: int = 0) -> None:
        """Start with nothing printed.

        Args:
            as_json: Whether each change is one JSON document.
            stop_after: Peers after whose edges a peer with embeddings ends; 0: never.
        """
        self._as_json, self._stop_after = as_json, stop_after
        self._shown: dict[str, str] = {}

    def agent(self, peer: "Peer") -> None:
        """Print what has changed of an agent that trains."""
        status = peer.peer_status()
        self._common(status)
        key = f"edges {status.checkpoint}"
        if key not in self._shown and peer.settled():  # which reads every edge from the ledger
            self._show(key, "settled", f"all edges; {hint('graph')} shows those into it")

    def embeddings(self, peer: "NetworkedPeer") -> None:
        """Print what has changed of a peer with embeddings, and end it when it has settled enough."""
        self._common(peer.status())
        from alignment.natural_order import natural_key  # `configure` checks first where packages come from

        for source, edge in sorted(peer.edges().items(), key=lambda item: natural_key(item[0])):
            self._show(f"edge {source}", "edge", f"{source} > {edge.target} {edge.status}: {edge.reason}")
        settled = sorted(peer.settled(), key=natural_key)
        if settled:
            self._show("settled", "settled", f"with {', '.join(settled)}; {hint('graph')} shows the edges")
        if 0 < self._stop_after <= len(settled) and peer.is_quiet():
            peer.stop()

    def _common(self, status: "PeerStatus") -> None:
        for address in status.listens:
            self._show(f"listens {address}", "listens", address)
        self._show("phase", "phase", status.phase)
        self._show("note", "note", status.note)
        self._show("unsaved", "unsaved", _unsaved(status) or ("none" if self._shown.get("unsaved") else ""))
        if not status.idle_seconds:
            self._shown.pop("idle", None)
        elif "idle" not in self._shown:  # once: the seconds, and perhaps the line, go on changing
            self._show("idle", "idle", idle_note(status.name, status.idle_seconds, status.idle_place))
        connected = ", ".join(peer.name for peer in status.peers if peer.connected)
        self._show("connected", "connected", connected or "with no peer")
        gone = [peer.name for peer in status.peers if peer.unreachable_since]
        self._show("gone", "gone", ", ".join(gone) or ("none" if self._shown.get("gone") else ""))

    def _show(self, key: str, title: str, text: str) -> None:
        if text == self._shown.get(key, ""):
            return
        self._shown[key] = text
        typer.echo(json.dumps({title: text}) if self._as_json else f"{title:10} {text}")


def _unsaved(status: "PeerStatus") -> str:
    return "; ".join(f"{each}; it goes on and tries again" for each in status.unsaved)

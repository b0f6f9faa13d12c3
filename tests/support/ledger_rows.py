"""Rows of a ledger: what its tests share."""

import contextlib
import sqlite3

from agents.protocol.channel import SentMessage
from social_jepa.storage.ledger import Ledger

EDGE = {
    "source": "a", "target": "b", "round": 0, "source_incarnation": 1, "target_incarnation": 1,
    "source_checkpoint": "0" * 16, "target_checkpoint": "1" * 16, "status": "accepted", "reason": "",
    "r2": 0.5, "r2_core": 0.9, "null_r2": None, "bytes": 30,
}  # fmt: skip

MESSAGES = [
    SentMessage("a", "b", "a", "b", "Offer", 10),
    SentMessage("b", "a", "a", "b", "AnchorRequest", 20),
]


def member(name, index, pose="here", **changes):
    return {"name": name, "index": index, "pose": pose, "kind": "jepa", "settings": [], "teacher": "",
            "pose_version": 0, **changes}  # fmt: skip


def told(name, checkpoint="c"):
    return {"name": name, "checkpoint": checkpoint, "pose_version": 0}


def ask(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


@contextlib.contextmanager
def first_ledger(folder):
    """A ledger with two members and one edge."""
    with contextlib.closing(Ledger(folder / "ledger.sqlite", create=True)) as opened:
        opened.event("started", config="c")
        opened.join([member("a", 0), member("b", 1)], [(0, "a", "here"), (0, "b", "here")])
        opened.record([told("a"), told("b")], [EDGE], MESSAGES, {("a", "b"): b"maps"})
        yield opened


def plain(edges):
    return [(edge["source"], edge["target"], edge["status"], edge["r2"], maps) for edge, maps in edges]

"""Records of a small ledger, and a way to read its rows with SQL."""

import contextlib
import sqlite3

from agents.protocol.channel import SentMessage
from alignment.status import Status
from social_jepa.records import (
    AgentRecord,
    BodyRecord,
    EdgeRecord,
    MemberRecord,
    PoseRecord,
    TickRange,
    replace,
)
from social_jepa.storage.ledger import Ledger

EDGE = EdgeRecord(
    source="a", target="b", status=Status.ACCEPTED, reason="", r2=0.5, r2_shared=0.9, shared_dim=2,
    correlations=(1.0, 0.8), null_correlation=0.2, latent_shared_dim=3,
    latent_correlations=(1.0, 0.8, 0.7, 0.1),
    latent_null_correlation=0.2, kappa=1.25, isometry_deviation=0.25,
    retrieval_at_1=0.7, cka=0.6, mutual_knn=0.5, anchors=32, heldout=64, bytes=30, method="procrustes",
    round=0, core_dims=(2, 2), source_checkpoint="0" * 16, target_checkpoint="1" * 16,
    source_incarnation=1, target_incarnation=1, time=0.0, budget=(),
)  # fmt: skip

AGENT = AgentRecord(
    name="a", kind="jepa", pose=PoseRecord(x=0.0, y=3.2, z=4.8, yaw=90.0, pitch=-35.0, fov=60.0),
    device="cpu", node="", dim=4, core_dim=2, probe_r2=0.9, frames_per_s=100.0, checkpoint="c" * 16,
    collapsed=False, effective_rank=3.5, autocorrelation=(0.9, 0.8, 0.1, 0.0), explained=(0.0, 0.1, 0.9, 0.9),
    noise=0.1, encoders=1, steps=60, stage_steps=0, frames=1920,
    losses=(2.0, 1.0), trained_ticks=TickRange(start=600, stop=900, step=1),
    fitted_ticks=TickRange(start=300, stop=500, step=4), scored_ticks=TickRange(start=0, stop=200, step=4),
    record_seconds=1.0, train_seconds=2.0, distill_frames=0, pose_version=0,
    incarnation=1, published_at=0.0,
)  # fmt: skip

MESSAGES = [
    SentMessage("a", "b", "a", "b", "Offer", 10),
    SentMessage("b", "a", "a", "b", "AnchorRequest", 20),
]


def member(name, index, pose="here", **changes):
    return MemberRecord(name=name, index=index, pose=pose, kind="jepa", **changes)


def agent(name, checkpoint="c"):
    return replace(AGENT, name=name, checkpoint=checkpoint * 16)


def edge(**changes):
    return replace(EDGE, **changes)


def ask(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


@contextlib.contextmanager
def first_ledger(folder):
    """A ledger with two members and one edge."""
    with contextlib.closing(Ledger(folder / "ledger.sqlite", create=True)) as opened:
        opened.event("started", config="c")
        opened.join(
            [member("a", 0), member("b", 1)], [BodyRecord(0, "a", "here"), BodyRecord(0, "b", "here")]
        )
        opened.record([agent("a"), agent("b")], [EDGE], MESSAGES, {("a", "b"): b"maps"})
        yield opened


def plain(edges):
    return [(edge.source, edge.target, edge.status, edge.r2, maps) for edge, maps in edges]

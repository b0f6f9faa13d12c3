"""The status of an agent, for tests that change some of its fields."""

from social_jepa.records import AgentStatus, FailureRecord, ProgressRecord

PROGRESS = ProgressRecord(
    phase="training", step=1234, steps=4000, recorded=512, next_tick=1536, frames=78976, loss=3.25,
    frames_per_s=5120.4, seconds_left=2.0, record_seconds=1.0, train_seconds=10.0, device="cuda:0",
    drift=0.0125, saved_at=0.0, distill_frames=0,
)  # fmt: skip
AGENT = AgentStatus(
    name="agent-0", kind="jepa", pose="4.8,3.2,0,180,-35,60", teacher="", incarnation=3, phase="training",
    waiting_for="", failure=None, note="", progress=PROGRESS, settled=False, checkpoint="",
    node="f7df4047c165", host="", device="cuda:0", pid=4711, idle_seconds=0.0, idle_place="", cpu_wait=None,
    versions={}, unanswered={},
)  # fmt: skip
FAILURE = FailureRecord(
    agent="agent-0", cause="error", phase="training", step=7, type="KeyError",
    message="'boom' [/bold]\n[red]", file="my.py", line=12, traceback_file="",
)  # fmt: skip

import io
import time

from rich.console import Console

from alignment.status import Status
from social_jepa.cli import status_table
from social_jepa.cli.status_table import make_status, print_edges
from social_jepa.graph.records import replace
from tests.support.ledger_rows import edge

PROGRESS = {
    "step": 1234, "loss": 3.25, "drift": 0.0125, "frames_per_s": 5120.4, "saved_at": 0.0,
}  # fmt: skip
AGENT = {
    "name": "agent-0", "phase": "training", "progress": PROGRESS, "device": "cuda:0", "node": "f7df4047c165",
    "incarnation": 3, "pid": 4711, "failure": "", "waiting_for": "", "note": "",
}  # fmt: skip


def shown(*agents):
    text = io.StringIO()
    Console(file=text, width=200).print(make_status([AGENT | agent for agent in agents]))
    return text.getvalue()


def test_an_agent_is_a_row_with_all_that_there_is_to_know():
    text = shown({"progress": PROGRESS | {"saved_at": time.time() - 12}})

    (row,) = [line for line in text.splitlines() if "agent-0" in line]
    assert row.split() == [
        "agent-0", "training", "1,234", "3.250", "0.013" if "0.013" in row else "0.012", "5,120", "frames/s",
        "cuda:0", "f7df40", "12", "s", "ago", "3", "4711",
    ]  # fmt: skip


def test_one_that_is_not_there_yet_leaves_its_figures_empty():
    text = shown({"progress": None, "phase": "waiting", "incarnation": 0, "pid": 0, "node": "", "device": "",
                  "waiting_for": "1 CPU: 0.5 of 2 in the cluster are free"})  # fmt: skip

    assert "nan" not in text
    assert "agent-0 waits for 1 CPU: 0.5 of 2 in the cluster are free" in text


def test_a_loss_that_nobody_knows_yet_is_left_empty():
    text = shown({"progress": PROGRESS | {"loss": None}})

    assert "None" not in text
    assert "1,234" in text


def test_one_that_failed_says_why_and_no_bracket_is_taken_for_markup():
    text = shown({"failure": "the loss became nan [/bold] [red]"}, {"name": "agent-1"})

    assert "failed" in text
    assert "agent-0: the loss became nan [/bold] [red]" in text
    assert "training" in text


def test_nobody_is_an_empty_table():
    assert "agent" in shown()


def test_the_life_of_an_edge_is_printed_oldest_first(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(status_table, "make_console", lambda: Console(file=text, width=200))
    accepted = edge(
        round=1, source_checkpoint="0123456789abcdef", target_checkpoint="f" * 16, r2_core=0.9375,
        null_r2=-0.25, bytes=12345,
    )  # fmt: skip
    print_edges([accepted, replace(accepted, status=Status.ENDED, reason="b left [/]", r2_core=None)])

    first, second = [line for line in text.getvalue().splitlines() if "a > b" in line]
    assert all(part in first for part in ("01234567 > ffffffff", "accepted", "0.938", "-0.250", "12,345"))
    assert "ended" in second
    assert "b left [/]" in second

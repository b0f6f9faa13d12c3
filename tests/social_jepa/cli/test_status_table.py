import datetime
import io
import re
import time

from rich.console import Console

from alignment.status import Status
from social_jepa.cli import status_table
from social_jepa.cli.status_options import AgentChoice, AgentOrder
from social_jepa.cli.status_table import make_status, print_edges
from social_jepa.config.time_parsing import parse_time
from social_jepa.records import RawMapRecord, UnsavedRecord, replace
from tests.support.ledger_rows import edge
from tests.support.statuses import AGENT, FAILURE, PROGRESS


def rendered(*agents, **options):
    text, found = io.StringIO(), [replace(AGENT, **changes) for changes in agents]
    Console(file=text, width=200).print(make_status(found, **options))
    return text.getvalue()


def test_the_row_of_an_agent_has_every_column():
    text = rendered({"progress": replace(PROGRESS, saved_at=time.time() - 12)})

    (row,) = [line for line in text.splitlines() if "agent-0" in line]
    assert row.split() == [
        "agent-0", "training", "1,234", "3.250", "0.013" if "0.013" in row else "0.012", "5,120",
        "frames/s", "cuda:0", "f7df40", "12", "s", "ago", "3", "4711",
    ]  # fmt: skip


def test_a_narrow_terminal_leaves_out_columns_and_keeps_names_phases_and_steps():
    text, name = io.StringIO(), "A" * 64
    agents = [replace(AGENT, progress=replace(PROGRESS, saved_at=time.time() - 12))]
    console = Console(file=text, width=80)
    console.print(make_status(agents))
    lines = text.getvalue().splitlines()

    assert max(map(len, lines)) <= 80
    assert "left out for lack of width: incarnation, pid; --json has all" in lines
    assert lines[1].split()[:4] == ["agent-0", "training", "1,234", "3.250"]

    console.print(make_status([replace(agents[0], name=name)]))
    folded = text.getvalue().splitlines()[len(lines) :]
    assert "".join(folded).count("A") == 64
    assert "…" not in text.getvalue()
    assert [line for line in folded if "training" in line]


def test_the_age_of_a_checkpoint_is_told_in_its_largest_unit():
    ages = (80, 40 * 60, 5 * 3600, 288000)
    text = rendered(*({"progress": replace(PROGRESS, saved_at=time.time() - age)} for age in ages))

    assert [line.split("f7df40")[1].split("ago")[0].strip() for line in text.splitlines()[1:]] == [
        "80 s", "40 min", "5 h", "3 d",
    ]  # fmt: skip


def test_an_agent_that_waits_for_resources_has_empty_columns_and_a_note():
    no_process = {"progress": None, "incarnation": 0, "pid": 0, "node": "", "device": ""}
    waiting_for = "1 CPU: 0.5 of 2 in the cluster are free"
    text = rendered({**no_process, "phase": "waiting", "waiting_for": waiting_for})

    assert "nan" not in text
    assert "agent-0 waits for 1 CPU: 0.5 of 2 in the cluster are free" in text


def test_what_an_agent_could_not_write_is_shown_with_its_reason_and_how_long_it_has_lasted():
    lost = UnsavedRecord(path="run/checkpoint.safetensors", reason="No space left", since=time.time() - 35)

    text = " ".join(rendered({"unsaved": (lost,)}).split())

    assert (
        "agent-0 cannot write run/checkpoint.safetensors (No space left) for 35 s; it goes on and tries"
        in text
    )


def test_an_unknown_loss_is_left_empty():
    text = rendered({"progress": replace(PROGRESS, loss=None)})

    assert "None" not in text
    assert "1,234" in text


def test_a_failure_is_shown_without_parsing_brackets_as_markup():
    text = rendered({"failure": FAILURE}, {"name": "agent-1"})

    assert "failed" in text
    assert "agent-0 failed: KeyError: 'boom' [/bold] [red], my.py line 12 (training, after 7 steps)" in text
    assert "training" in text


def test_agents_are_shown_with_their_hosts_and_with_the_node_where_two_share_a_name():
    text = rendered(
        {"host": "gpu-1", "node": "a" * 12}, {"host": "gpu-1", "node": "b" * 12}, {"host": "cpu-2"}
    )
    rows = [line.split() for line in text.splitlines() if "agent-0" in line]

    assert [row[8:10] for row in rows[:2]] == [["gpu-1", "aaaaaa"], ["gpu-1", "bbbbbb"]]
    assert rows[2][8] == "cpu-2"
    assert "f7df40" not in text


def test_anchors_of_a_public_scene_are_said_with_its_seed():
    assert "anchors are frames of the public scene of seed 7" in rendered({}, anchor_seed=7)
    assert "public" not in rendered({})


def test_no_agents_give_a_table_with_headings_only():
    assert "agent" in rendered()


def test_the_history_of_an_edge_is_printed_in_the_given_order(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(status_table, "make_console", lambda: Console(file=text, width=200))
    accepted = edge(
        round=1, source_checkpoint="0123456789abcdef", target_checkpoint="f" * 16, r2_shared=0.9375,
        null_correlation=-0.25, bytes=12345,
    )  # fmt: skip
    print_edges([accepted, replace(accepted, status=Status.ENDED, reason="b left [/]", r2_shared=None)])

    first, second = [line for line in text.getvalue().splitlines() if "a > b" in line]
    assert all(part in first for part in ("01234567 > ffffffff", "accepted", "0.938", "-0.250", "12,345"))
    assert "ended" in second
    assert "b left [/]" in second


def test_the_time_of_an_edge_has_its_date_on_later_days_and_as_of_takes_it(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(status_table, "make_console", lambda: Console(file=text, width=200))
    now = time.time()
    earlier = datetime.datetime(2026, 3, 5, 22, 20, 41, 123456).timestamp()
    print_edges([edge(time=earlier), edge(time=earlier + 0.5), edge(time=now)])

    first, second, today = [line.split()[3] for line in text.getvalue().splitlines() if "a > b" in line]
    assert (first, second) == ("2026-03-05T22:20:41.124", "2026-03-05T22:20:41.624")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", today)
    assert earlier <= parse_time(first, now) < earlier + 0.002
    assert now <= parse_time(today, now + 1) < now + 0.002


def test_maps_of_raw_latents_are_told_where_they_mean_something(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(status_table, "make_console", lambda: Console(file=text, width=300))
    raw = RawMapRecord(directions=16, r2=0.9, r2_similarity=0.875, kappa=None, largest=2.0, smallest=0.0)

    print_edges([edge(), edge(raw=raw, raw_strong=replace(raw, directions=4, kappa=1.25, smallest=1.6))])
    print_edges([edge(), edge()])

    lines = text.getvalue().splitlines()
    told = [line for line in lines if "raw latents" in line]
    assert "all 16 directions: R2 0.900, of a rotation with one scale 0.875, kappa infinite" in told[0]
    assert "those that correlate by 0.5 or more: R2 0.900" in told[0]
    assert "kappa 1.25, singular values 1.6 to 2" in told[0]
    assert [line for line in lines if "no meaning" in line] == [lines[-1]]


def chosen(*agents, **choice):
    found = [replace(AGENT, name=f"agent-{number}", **changes) for number, changes in enumerate(agents)]
    return [agent.name for agent in AgentChoice(**choice).of(found)]


def test_agents_are_chosen_by_phase_and_sorted_with_those_without_a_value_last():
    losses = [{"progress": replace(PROGRESS, loss=loss)} for loss in (0.5, float("nan"), 2.0, 0.5)]
    agents = [*losses, {"progress": None, "phase": "waiting"}, {"failure": FAILURE}]

    assert chosen(*agents) == [f"agent-{number}" for number in range(6)]
    assert chosen(*agents[:5], order=AgentOrder.LOSS) == [f"agent-{number}" for number in (2, 0, 3, 1, 4)]
    assert chosen(*agents, phase="failed") == ["agent-5"]
    assert chosen(*agents, order=AgentOrder.PHASE, limit=2) == ["agent-5", "agent-0"]


def test_a_part_of_the_agents_is_said_to_be_one_with_the_phases_of_all():
    text = rendered(*[{}] * 3, {"failure": FAILURE}, choice=AgentChoice(limit=2))

    assert "2 of 4 agents: 1 failed, 3 training" in text
    assert "of 4 agents" not in rendered(*[{}] * 4)

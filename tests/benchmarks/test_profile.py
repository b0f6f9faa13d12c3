import psutil
import pytest

from benchmarks.harness import Effort
from benchmarks.scale import profile
from tests.support.command import TINY

COMMANDS = {
    "python -m social_jepa.runtime.launch_process": profile.COMMAND,
    "python -m social_jepa.runtime.session_leader run 2 0": profile.RAY,
    "/site-packages/ray/core/src/ray/gcs/gcs_server --log_dir": profile.RAY,
    "ray::DashboardAgent": profile.RAY,
    "ray::Supervisor.status": profile.SUPERVISOR,
    "ray::IDLE": profile.IDLE,
    "ray::AgentActor.report": profile.IDLE,  # until an agent has reported from that process
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_belongs_to_a_part_by_its_command_line(command):
    assert profile.part_of_command(command, is_root=False) == COMMANDS[command]
    assert profile.part_of_command(command, is_root=True) == profile.COMMAND


PHASES = {
    **dict.fromkeys(("starting", "waiting", "checking"), profile.AGENT_START),
    **{phase: phase for phase in ("recording", "training", "training stages", "embedding", "ready")},
    **dict.fromkeys(
        ("trained", "stopped", "distilling", "resting", "paused", "returning", "new"), profile.AGENT_OTHER
    ),
}


@pytest.mark.parametrize("phase", PHASES)
def test_an_agent_in_any_phase_belongs_to_a_part_and_all_parts_have_a_row(phase):
    seen, own = profile.Profile(), psutil.Process()
    seen._sample(own, False, phase)

    cpu = seen.cpu_seconds()
    found = profile.rows(cpu, {"all": 1.0})
    assert [part for part, seconds in cpu.items() if seconds] == [PHASES[phase]]
    assert sum(each.value for each in found if each.name.startswith("CPU")) == 2 * cpu[PHASES[phase]]


def test_what_an_agent_did_before_its_first_report_was_its_start():
    seen = profile.Profile()
    seen._cpu[7] |= {profile.IDLE: 2.0, "recording": 3.0}
    seen._cpu[8] |= {profile.IDLE: 5.0}
    seen._agents = {7}

    found = seen.cpu_seconds()
    assert (found[profile.AGENT_START], found[profile.IDLE], found["recording"]) == (2.0, 5.0, 3.0)


def test_wall_times_are_those_of_the_agent_that_published_last_and_fill_the_run():
    seen = profile.Profile()
    seen.began, seen.answered, seen.silent = 100.0, 107.0, 160.0
    seen.entered["agent-0"] = {"recording": 110.0, "training": 120.0, "embedding": 150.0, "ready": 155.0}
    seen.entered["agent-1"] = {"recording": 112.0, "training": 125.0, "embedding": 151.0, "ready": 156.0}

    found = seen.wall_seconds(170.0)
    assert list(found.values()) == [7.0, 5.0, 13.0, 26.0, 5.0, 4.0, 10.0]
    assert sum(found.values()) == 170.0 - seen.began


def test_an_agent_whose_recording_no_poll_saw_started_until_the_phase_that_was_seen_first():
    seen = profile.Profile()
    seen.began, seen.answered, seen.silent = 100.0, 107.0, 160.0
    seen.entered["agent-0"] = {"training": 120.0, "trained": 149.0, "embedding": 150.0, "ready": 155.0}

    assert list(seen.wall_seconds(170.0).values()) == [7.0, 13.0, 30.0, 5.0, 5.0, 10.0]


@pytest.mark.ray
def test_the_profile_of_a_run_names_where_all_of_its_seconds_go():
    found = {each.name: each for each in profile.metrics(Effort(settings=TINY))}
    shares = {"CPU": list[float](), "wall": list[float]()}
    for name, each in found.items():
        shares[name.partition(":")[0]].append(each.ratio)

    assert sum(shares["CPU"][1:]) == pytest.approx(1)
    assert sum(shares["wall"]) == pytest.approx(1)
    for name in ("CPU: the command: start, scoring, report", "CPU: agents: start, imports, checks"):
        assert found[name].value > 0

import os
import subprocess
import sys

import msgspec
import psutil
import pytest

from social_jepa.system.process_identity import MachineIdentity, Presence, ProcessIdentity
from tests.support.simulations import until


@pytest.fixture
def process():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "mine"]) as started:
        yield started
        started.kill()


def changed(identity, **changes):
    return msgspec.structs.replace(identity, **changes)


def test_a_process_runs_until_it_has_ended(process):
    until(lambda: psutil.Process(process.pid).cmdline()[-1:] == ["mine"])  # it has none for a moment
    mine = ProcessIdentity.of(process.pid)

    assert mine.presence() is Presence.RUNNING
    assert mine.command[-1] == "mine"
    assert msgspec.json.decode(msgspec.json.encode(mine), type=ProcessIdentity) == mine
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays as a zombie
    assert mine.presence() is Presence.ENDED
    process.wait()
    assert mine.presence() is Presence.ENDED
    with pytest.raises(LookupError):
        ProcessIdentity.of(process.pid)


@pytest.mark.parametrize(
    "changes", [{"started": 1.0}, {"command": ("python", "another")}, {"command": ()}], ids=str
)
def test_another_process_of_the_same_number_is_not_taken_for_it(process, changes):
    assert changed(ProcessIdentity.of(process.pid), **changes).presence() is Presence.ENDED


@pytest.mark.parametrize(
    ("changes", "presence"),
    [
        ({"boot": "an earlier one"}, Presence.ENDED),
        ({"host": "renamed meanwhile"}, Presence.RUNNING),
        ({"host": "another", "boot": "another"}, Presence.ELSEWHERE),
        ({"machine": "another", "boot": "another"}, Presence.ELSEWHERE),
        ({"pid_namespace": "pid:[1]"}, Presence.ELSEWHERE),
    ],
    ids=str,
)
def test_a_process_number_means_nothing_on_another_machine_boot_or_container(process, changes, presence):
    mine = ProcessIdentity.of(process.pid)

    assert changed(mine, machine=changed(mine.machine, **changes)).presence() is presence


def test_a_machine_is_recognized():
    here = MachineIdentity.current()

    assert here.is_here
    assert not here.has_rebooted
    assert changed(here, boot="an earlier one").has_rebooted
    assert not changed(here, boot="an earlier one", host="another").has_rebooted

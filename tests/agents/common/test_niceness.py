import errno
import itertools
import json
import os
import subprocess
import sys

import pytest

from agents.common.niceness import ATTEMPTS, AUTOGROUP, set_session_niceness

PROGRAM = """
import json, os, sys, threading
from agents.common import niceness

os.setpriority(os.PRIO_PROCESS, 0, int(sys.argv[2]))
done, waits = threading.Event(), [threading.Event() for _ in range(3)]

def wait(started):
    started.set()
    done.wait()

for each in waits:
    threading.Thread(target=wait, args=(each,), daemon=True).start()
    each.wait()
getattr(niceness, sys.argv[1])(int(sys.argv[3]))
found = [os.getpriority(os.PRIO_PROCESS, int(each)) for each in os.listdir("/proc/self/task")]
group = niceness.AUTOGROUP.read_text() if niceness.AUTOGROUP.exists() else ""
print(json.dumps([found, group]))
"""


def niceness_of_threads(function, before, least):
    """Niceness of each thread of a process that had some, and the line of its session's group."""
    command = [sys.executable, "-c", PROGRAM, function, str(before), str(least)]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


OWN = os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness of each thread")
@pytest.mark.parametrize(("before", "least"), [(OWN, 0), (OWN, 19), (18, 19), (19, 18), (19, 0)])
def test_every_thread_has_at_least_the_niceness_and_none_less_than_before(before, least):
    threads, _ = niceness_of_threads("raise_niceness", before, least)

    assert threads == [max(before, least)] * 4


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group processes by session")
@pytest.mark.parametrize("least", [0, 19])
def test_a_session_gives_way_as_its_leader_does(least):
    threads, group = niceness_of_threads("raise_session_niceness", OWN, least)

    assert threads == [max(OWN, least)] * 4
    assert group.split()[-2:] == ["nice", str(least)]


def refusing(*numbers):
    """A write that is refused with these error numbers in turn, and then taken; and what was written."""
    written, refusals = [], itertools.chain(numbers, itertools.repeat(0))

    def write(text):
        written.append(text)
        if number := next(refusals):
            raise OSError(number, os.strerror(number))

    return write, written


@pytest.mark.parametrize("refused", [0, 1, ATTEMPTS - 1])
def test_a_session_niceness_that_comes_too_soon_after_another_is_set_again(refused, caplog):
    write, written = refusing(*[errno.EAGAIN] * refused)

    assert set_session_niceness(7, write, pause=0)
    assert written == ["7"] * (refused + 1)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("refusals", "attempts"),
    [([errno.EAGAIN] * ATTEMPTS, ATTEMPTS), ([errno.EPERM], 1), ([errno.EAGAIN, errno.EROFS], 2)],
)
def test_a_session_niceness_that_is_refused_is_logged_and_ends_nothing(refusals, attempts, caplog):
    write, written = refusing(*refusals)

    assert not set_session_niceness(7, write, pause=0)
    assert len(written) == attempts
    assert os.strerror(refusals[-1]) in caplog.text

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    ObjectLostError,
    OutOfMemoryError,
    RaySystemError,
    RuntimeEnvSetupError,
)

from social_jepa.runtime.deaths import DeathCause, one_line, read_death

CLOSED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit "
    "detail: Worker unexpectedly exits with a connection error code 2. End of file. Some common causes "
    "include: (1) the process was killed by the OOM killer due to high memory usage, (2) ray stop --force "
    "was called, or (3) the worker crashed unexpectedly due to SIGSEGV or another unexpected error."
)
LOW = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.7, ID: "
    "8ae4) was 1.55GB used / 23.54GB limit (0.065992)\nOOM kill reason: Memory usage exceeded"
)
NODE = "The actor died because its node has died. Node Id: 8ae4"
LEFT = {
    "": "",
    "exit": 'exit code 3\n  File "/opt/me/model.py", line 12 in \n',
    "crash": (
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x01 (most recent call first):\n"
        '  File "/opt/me/native.py", line 7 in loss\n  File "/lib/other.py", line 1 in run\n'
    ),
}


def died(text):
    error = ActorDiedError()
    error.error_msg = text
    return error


@pytest.mark.parametrize(
    ("error", "left", "oom_killed", "cause", "text"),
    [
        (OutOfMemoryError(LOW), "", False, "out_of_memory",
         "its process was killed for memory (node 10.0.0.7 used 1.55GB of 23.54GB)"),
        (died(f"The actor is dead. {LOW}"), "", False, "out_of_memory", "its process was killed for memory"),
        (OutOfMemoryError(""), "", False, "out_of_memory", "its process was killed for memory"),
        (died(CLOSED), "", True, "out_of_memory", "its process was killed for memory by the kernel"),
        (died(CLOSED), "exit", False, "exit", "its process ended with exit code 3"),
        (died(CLOSED), "exit", True, "exit", "its process ended with exit code 3"),
        (died(CLOSED), "crash", False, "crash", "its process crashed (Segmentation fault)"),
        (died(CLOSED), "", False, "killed", "its process was killed"),
        (died("Worker exits with an exit code 7."), "", False, "exit", "its process ended with exit code 7"),
        (died(NODE), "exit", True, "node_lost", "its node was lost"),
        (died("it was killed by `ray.kill`."), "", False, "killed", "its process ended: it was killed by"),
        (RuntimeEnvSetupError("no space"), "", False, "could_not_start", "its process could not be started"),
    ],
)  # fmt: skip
def test_a_death_is_stated_in_our_words(tmp_path, error, left, oom_killed, cause, text):
    exit_file = tmp_path / "exit.txt"
    exit_file.write_text(LEFT[left])

    death = read_death(error, exit_file, oom_killed)

    assert death.cause is DeathCause(cause)
    assert death.text.startswith(text)
    assert "common causes" not in death.text


def test_an_exit_and_a_crash_name_file_and_line(tmp_path):
    exit_file = tmp_path / "exit.txt"
    places = []
    for left in ("exit", "crash"):
        exit_file.write_text(LEFT[left])
        death = read_death(died(CLOSED), exit_file, False)
        places.append((death.file, death.line))

    assert places == [("/opt/me/model.py", 12), ("/opt/me/native.py", 7)]


@pytest.mark.parametrize(
    "error",
    [
        ActorUnavailableError("socket closed", None),
        GetTimeoutError("late"),
        RaySystemError("unknown"),
        ObjectLostError("00", "addr", "stack"),
        TimeoutError(),
    ],
)
def test_an_error_that_does_not_say_that_the_process_died_is_no_death(tmp_path, error):
    assert read_death(error, tmp_path / "none", True) is None


def test_an_error_without_a_text_is_named_by_its_class():
    assert one_line(TimeoutError()) == "TimeoutError"
    assert "\n" not in one_line(died("a\n\tb"))

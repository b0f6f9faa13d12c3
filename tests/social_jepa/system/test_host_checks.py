import json
import os
import subprocess
import sys

import pytest

from social_jepa.system import host_checks

GIB, MIB = 2**30, 2**20


def full(free):
    return lambda _: (GIB, GIB - free, free)


FAILING = {
    "Windows": (lambda: host_checks.check_system("win32"), "WSL 2"),
    "one CPU": (lambda: host_checks.check_cpus(lambda: 1), "two CPUs"),
    "no memory": (lambda: host_checks.check_memory(lambda: GIB), "agents.count"),
    "few processes": (lambda: host_checks.check_tasks(2, lambda: (100, "ulimit -u")), "by 160 or more"),
    "a full disk": (lambda: host_checks.check_disk("here", full(0)), "--out"),
    "a full temporary folder": (lambda: host_checks.check_temporary_disk({}, full(MIB)), "RAY_TMPDIR"),
    "little shared memory": (lambda: host_checks.check_shared_memory("there", full(64 * MIB)), "--shm-size"),
    "no shared memory": (lambda: host_checks.check_shared_memory("/no/such/folder"), "--shm-size"),
    "a home that cannot be written": (lambda: host_checks.check_home({"HOME": "/dev/null/home"}), "HOME"),
    "no home": (lambda: host_checks.check_home({"HOME": "/proc/nowhere"}), "HOME"),
}


@pytest.mark.parametrize(("check", "named"), FAILING.values(), ids=FAILING)
def test_a_failed_check_names_the_flag_or_variable_that_helps(check, named):
    found = check()

    assert not found.ok
    assert found.found
    assert named in found.remedy


@pytest.mark.parametrize("free", [64 * MIB, 90 * MIB, 127 * MIB])
def test_what_is_free_and_what_is_needed_never_read_the_same(free):
    found = host_checks.check_shared_memory("there", full(free)).found

    have, need = found.split(" free, ")
    assert have != need.removesuffix(" needed")


def test_a_temporary_folder_too_long_for_the_paths_of_sockets_is_found():
    check = host_checks.check_temporary_folder({"RAY_TMPDIR": f"/tmp/{'x' * 65}"})

    assert not check.ok
    assert "70 letters" in check.found
    assert "set RAY_TMPDIR" in check.remedy


def test_ray_can_bind_its_sockets_in_the_longest_temporary_folder_that_passes():
    longest = host_checks.MAX_SOCKET_PATH - len(host_checks.RAY_FOLDER + host_checks.RAY_SOCKET)
    folder = "/" + "x" * (longest - 1)

    assert "letters" not in host_checks.check_temporary_folder({"RAY_TMPDIR": folder}).found
    assert "letters" in host_checks.check_temporary_folder({"RAY_TMPDIR": folder + "x"}).found


@pytest.mark.parametrize("folder", ["/dev/null", "/no/such/folder"])
def test_a_temporary_folder_that_cannot_be_written_is_found(folder):
    check = host_checks.check_temporary_folder({"RAY_TMPDIR": folder})

    assert (check.ok, check.found) == (False, f"{folder} does not exist or cannot be written")


def test_more_agents_need_more_processes():
    assert host_checks.check_tasks(2, lambda: (300, "ulimit -u")).ok
    assert not host_checks.check_tasks(16, lambda: (300, "ulimit -u")).ok
    assert host_checks.check_tasks(16, lambda: None).ok


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_the_limit_on_processes_of_the_user_is_found():
    code = (
        "import json, os, psutil, resource; from social_jepa.system import host_checks\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (120, 120))\n"
        "print(json.dumps(host_checks.tasks_left()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    count, name = json.loads(done.stdout)

    assert 0 <= count <= 119
    assert name == "ulimit -u"

import os
import subprocess
import sys

import psutil
import pytest

from social_jepa.system import cgroups, machine

GIB = 2**30
UNLIMITED_V1 = "9223372036854771712\n"


@pytest.fixture
def tree(tmp_path):
    """Write files of a made-up machine; return its root folder."""

    def write(own, mounts, **files):
        lines = [
            f"3{k} 23 0:28 {root} {mount} rw,relatime shared:9 - {kind}"
            for k, (root, mount, kind) in enumerate(mounts)
        ]
        proc = tmp_path / "proc" / "self"
        proc.mkdir(parents=True)
        (proc / "cgroup").write_text("".join(f"{line}\n" for line in own))
        (proc / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/vda rw\n" + "\n".join(lines) + "\n")
        for place, text in files.items():
            path = tmp_path / "sys/fs/cgroup" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


V2 = ("/", "/sys/fs/cgroup", "cgroup2 cgroup2 rw,nsdelegate")
V1_CPU = ("/", "/sys/fs/cgroup/cpu,cpuacct", "cgroup cgroup rw,cpu,cpuacct")
V1_MEMORY = ("/", "/sys/fs/cgroup/memory", "cgroup cgroup rw,memory")


def test_the_limits_of_the_own_group_count(tree):
    files = {
        "user.slice/job/cpu.max": "150000 100000\n",
        "user.slice/job/memory.max": f"{GIB}\n",
        "user.slice/job/memory.current": f"{GIB // 2}\n",
        "user.slice/job/memory.stat": f"anon 1\ninactive_file {GIB // 4}\nactive_file 5\n",
        "user.slice/job/pids.max": "120\n",
        "user.slice/job/pids.current": "20\n",
        "user.slice/cpu.max": "max 100000\n",
        "user.slice/memory.max": "max\n",
        "user.slice/pids.max": "max\n",
    }
    root = tree(["0::/user.slice/job"], [V2], **files)

    assert cgroups.cpu_quota(root) == 1.5
    assert machine.usable_cpus(root) == 1
    assert machine.memory_limit(root) == GIB
    assert machine.available_memory(root) == GIB - GIB // 2 + GIB // 4
    assert cgroups.tasks_left(root) == 100


def test_the_smallest_limit_of_all_groups_around_counts(tree):
    files = {
        "a/cpu.max": "50000 100000", "a/memory.max": f"{3 * GIB}", "a/memory.current": f"{2 * GIB}",
        "a/b/cpu.max": "400000 100000", "a/b/memory.max": f"{2 * GIB}", "a/b/memory.current": "0",
        "a/b/c/cpu.max": "max 100000", "a/b/c/memory.max": "max", "a/b/c/memory.high": f"{4 * GIB}",
    }  # fmt: skip
    root = tree(["0::/a/b/c"], [V2], **files)

    assert cgroups.cpu_quota(root) == 0.5
    assert machine.usable_cpus(root) == 1
    assert cgroups.memory_limit(root) == 2 * GIB
    assert cgroups.memory_left(root) == GIB, "a is full first, though b is smaller"


def test_version_1_is_read(tree):
    files = {
        "cpu,cpuacct/docker/x/cpu.cfs_quota_us": "50000\n",
        "cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/docker/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/docker/cpu.cfs_period_us": "100000\n",
        "memory/docker/x/memory.limit_in_bytes": UNLIMITED_V1,
        "memory/docker/x/memory.usage_in_bytes": "5\n",
        "memory/docker/memory.limit_in_bytes": f"{GIB}\n",
        "memory/docker/memory.usage_in_bytes": f"{GIB // 2}\n",
        "memory/docker/memory.stat": f"cache 3\ntotal_inactive_file {GIB // 8}\n",
    }
    own = ["4:memory:/docker/x", "2:cpu,cpuacct:/docker/x", "9:name=systemd:/", "0::/"]
    root = tree(own, [V1_CPU, V1_MEMORY, ("/", "/sys/fs/cgroup/unified", "cgroup2 cgroup2 rw")], **files)

    assert cgroups.cpu_quota(root) == 0.5
    assert machine.usable_cpus(root) == 1
    assert machine.memory_limit(root) == GIB
    assert machine.available_memory(root) == GIB - GIB // 2 + GIB // 8


def test_a_container_that_mounts_its_own_group_is_read_at_the_mount_point(tree):
    mounts = [("/docker/x", "/sys/fs/cgroup/memory", "cgroup cgroup rw,memory")]
    files = {"memory/memory.limit_in_bytes": f"{GIB}", "memory/memory.usage_in_bytes": "0"}

    assert cgroups.memory_limit(tree(["4:memory:/docker/x"], mounts, **files)) == GIB


@pytest.mark.parametrize("own", ["0::/../elsewhere", "0::/elsewhere"])
def test_a_group_outside_of_what_is_mounted_counts_as_the_mounted_one(tree, own):
    mounts = [("/pod", "/sys/fs/cgroup", "cgroup2 cgroup2 rw")]

    assert cgroups.memory_limit(tree([own], mounts, **{"memory.max": f"{GIB}"})) == GIB


def test_a_use_above_the_limit_leaves_nothing(tree):
    files = {"memory.max": f"{GIB}", "memory.current": f"{2 * GIB}"}

    assert machine.available_memory(tree(["0::/"], [V2], **files)) == 0


@pytest.mark.parametrize("own", [[], ["0::/gone"]])
def test_without_limits_the_machine_counts(tree, own):
    root = tree(own, [V2] if own else [])

    assert cgroups.cpu_quota(root) is None
    assert cgroups.tasks_left(root) is None
    assert machine.usable_cpus(root) == len(os.sched_getaffinity(0))
    assert machine.memory_limit(root) == psutil.virtual_memory().total


def test_a_quota_above_the_affinity_mask_grants_no_more_cpus(tree):
    root = tree(["0::/"], [V2], **{"cpu.max": "100000000 100000"})

    assert machine.usable_cpus(root) == len(os.sched_getaffinity(0))


def test_this_machine_grants_something():
    assert 1 <= machine.usable_cpus() <= (os.cpu_count() or 1)
    assert 0 <= machine.available_memory() <= machine.memory_limit() <= psutil.virtual_memory().total


def test_cpus_and_memory_are_found_on_a_system_without_affinity_or_proc(tmp_path):
    code = (
        "import os, psutil, sys; sys.platform = 'darwin'; del os.sched_getaffinity\n"
        "from pathlib import Path; from social_jepa.system import machine; root = Path(sys.argv[1])\n"
        "print(machine.usable_cpus(root) == os.cpu_count(), machine.available_memory(root) > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)

    assert done.stdout.split() == ["True", "True"], done.stderr


def test_processes_that_the_kernel_killed_for_memory_are_counted_in_every_group_around(tree):
    files = {
        "user.slice/job/memory.events": "low 0\nhigh 1\nmax 9\noom 2\noom_kill 2\n",
        "user.slice/memory.events": "low 0\nhigh 1\nmax 9\noom 3\noom_kill 3\noom_group_kill 7\n",
    }

    assert cgroups.oom_kills(tree(["0::/user.slice/job"], [V2], **files)) == 3


def test_without_groups_the_count_of_the_machine_is_used(tree):
    root = tree(["0::/"], [V2])
    (root / "proc/vmstat").write_text("pgfault 12\noom_kill 4\n")

    assert cgroups.oom_kills(root) == 4


def test_version_1_counts_in_another_file(tree):
    files = {"memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"}

    assert cgroups.oom_kills(tree(["4:memory:/job"], [V1_MEMORY], **files)) == 5

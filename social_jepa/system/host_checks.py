"""Checks of what the machine grants: system, CPUs, memory, processes, folders, shared memory.

Every check takes its lookups as arguments.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from social_jepa.system import cgroups
from social_jepa.system.check import Check, size_text
from social_jepa.system.machine import available_memory, ray_folder, usable_cpus

Usage = Callable[[str], tuple[int, int, int]]  # of a folder, in bytes: total, used, free

MIN_MEMORY = 2 * 2**30  # bytes; two agents with torch and a scene each, plus Ray
MIN_DISK = 2 * 2**30  # bytes; a run folder
MIN_TEMPORARY = 500 * 2**20  # bytes; what a local Ray writes: logs, and objects when shared memory is small
MIN_SHARED_MEMORY = 128 * 2**20  # bytes; the object store of a local Ray, plus a margin
TASKS_OF_RAY, TASKS_OF_AGENT = 200, 30  # processes and threads, measured with 2 CPUs and rounded up
RAY_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # longest path in its folder
RAY_FOLDER = "/sj-12345678"  # folder of a local Ray in the temporary folder
MAX_SOCKET_PATH = 103 if sys.platform == "darwin" else 107  # bytes


def check_system(platform: str = sys.platform) -> Check:
    """Check the operating system."""
    names = {"linux": "Linux", "darwin": "macOS: not tested, and MiniWorld cannot draw (scene.renderer=toy)"}
    found = names.get(platform, f"{platform}, not Linux")
    remedy = "run it on Linux; on Windows, inside WSL 2"
    return Check("system", platform in names, found, remedy)


def check_cpus(usable: Callable[[], int] = usable_cpus) -> Check:
    """Check the number of CPUs that this process may use."""
    count = usable()
    remedy = "provide two CPUs or more: with one, agents and Ray's own processes take turns"
    return Check("CPUs", count >= 2, str(count), remedy)


def check_memory(available: Callable[[], int] = available_memory) -> Check:
    """Check that memory suffices for two agents."""
    free = available()
    remedy = "close other programs, raise the container's limit (docker run --memory), or lower agents.count"
    return Check("memory", free >= MIN_MEMORY, _free(free, MIN_MEMORY), remedy)


def check_tasks(agents: int = 2, left: Callable[[], tuple[int, str] | None] | None = None) -> Check:
    """Check that the limits on processes and threads leave room for a local Ray with its agents."""
    needed, found = TASKS_OF_RAY + agents * TASKS_OF_AGENT, (left or tasks_left)()
    if found is None:
        return Check("processes", True, "no limit", "")
    count, limit = found
    remedy = f"raise that limit by {max(0, needed - count)} or more, or lower agents.count"
    text = f"{count} more processes and threads allowed ({limit}), {needed} needed for {agents} agents"
    return Check("processes", count >= needed, text, remedy)


def tasks_left() -> tuple[int, str] | None:
    """Return the number of processes and threads that may start, and the limit's name; None: no limit."""
    found = []
    if (left := cgroups.tasks_left()) is not None:
        found.append((left, "pids.max of the control group; docker run --pids-limit"))
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        if limit != resource.RLIM_INFINITY and os.getuid():  # root is exempt
            found.append((max(0, limit - _tasks_of(os.getuid())), "ulimit -u"))
    return min(found, default=None)


def _tasks_of(user: int) -> int:
    """Return the number of threads of all processes of a user."""
    import psutil

    count = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == user:
                count += process.num_threads()
    return count


def check_disk(folder: str = ".", usage: Usage = shutil.disk_usage) -> Check:
    """Check that a run folder fits on the disk."""
    free = usage(folder)[2]
    remedy = "delete what is not needed here, or keep runs on another disk: --out FOLDER"
    return Check("disk", free >= MIN_DISK, _free(free, MIN_DISK), remedy)


def check_temporary_folder(environ: Mapping[str, str] = os.environ) -> Check:
    """Check that a local Ray can create its sockets and logs in its temporary folder."""
    folder = ray_folder(environ)
    name, remedy = "temporary folder", "set RAY_TMPDIR to another folder, for example RAY_TMPDIR=/tmp"
    longest = MAX_SOCKET_PATH - len(RAY_FOLDER + RAY_SOCKET)
    if len(os.fsencode(folder)) > longest:
        found = f"{folder} has {len(os.fsencode(folder))} letters: Ray's sockets in it allow {longest}"
        return Check(name, False, found, remedy)
    ok = Path(folder).is_dir() and can_write(Path(folder))
    return Check(name, ok, folder if ok else f"{folder} does not exist or cannot be written", remedy)


def check_temporary_disk(environ: Mapping[str, str] = os.environ, usage: Usage = shutil.disk_usage) -> Check:
    """Check that what a local Ray writes fits into its temporary folder."""
    folder = ray_folder(environ)
    existing = next((each for each in (Path(folder), *Path(folder).parents) if each.exists()), Path("/"))
    free = usage(str(existing))[2]
    remedy = f"delete files in {folder}, or set RAY_TMPDIR to a folder on another disk"
    return Check("temporary disk", free >= MIN_TEMPORARY, _free(free, MIN_TEMPORARY), remedy)


def check_shared_memory(folder: str = "/dev/shm", usage: Usage = shutil.disk_usage) -> Check:
    """Check that Ray's object store fits into shared memory; else Ray uses the disk and is slow."""
    if sys.platform != "linux":
        return Check("shared memory", True, "not used on this system", "")
    remedy = f"delete files in {folder}; a container takes --shm-size=1g when it starts"
    try:
        free = usage(folder)[2]
    except OSError:
        return Check("shared memory", False, f"there is no {folder}", remedy)
    return Check("shared memory", free >= MIN_SHARED_MEMORY, _free(free, MIN_SHARED_MEMORY), remedy)


def check_home(environ: Mapping[str, str] = os.environ) -> Check:
    """Check that libraries can keep their caches in the home folder."""
    home = environ.get("HOME") or "/"
    remedy = "set HOME to a folder that can be written: matplotlib, torch and Ray keep files there"
    if can_write(Path(home)):
        return Check("home folder", True, home, remedy)
    return Check("home folder", False, f"{home} cannot be written", remedy)


def can_write(folder: Path) -> bool:
    """Return whether a file can be created in a folder, or in one that is created there."""
    existing = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError:
        return False
    return True


def _free(free: int, needed: int) -> str:
    return f"{size_text(free)} free" + ("" if free >= needed else f", {size_text(needed)} needed")

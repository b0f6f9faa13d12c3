"""Limits that control groups set on this process: CPU quota, memory, number of processes.

Versions 1 and 2 are read, also side by side. A limit holds for a group and all groups inside it, so the
smallest one between this process's own group and the mount point counts. Only Linux has any.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

UNLIMITED = 2**60  # version 1 writes "no limit" as the largest multiple of the page size


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy of control groups.

    Attributes:
        version: 1 or 2.
        root: Group that is mounted; in a container, often the container's own.
        mount: Folder that it is mounted on, below the root folder that was given.
    """

    version: int
    root: PurePosixPath
    mount: Path


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return CPUs' worth of time that this process's groups may use, or None where there is no limit.

    Args:
        root: Folder that holds proc and sys.
    """
    quotas = []
    for version, folder in _groups("cpu", root):
        if version == 2:
            limit, _, period = _read(folder / "cpu.max").partition(" ")
        else:
            limit, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if limit.isdecimal() and period.isdecimal() and int(period):  # "max" and -1 are no limits
            quotas.append(int(limit) / int(period))
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return bytes of memory that this process's groups may hold, or None where there is no limit."""
    return min((limit for limit, _ in _memory(root)), default=None)


def memory_left(root: Path = Path("/")) -> int | None:
    """Return bytes of memory until the first limit; cache that the kernel can drop counts as free."""
    return min((max(0, limit - used) for limit, used in _memory(root)), default=None)


def tasks_left(root: Path = Path("/")) -> int | None:
    """Return processes and threads that the groups may still start, or None where there is no limit."""
    left = []
    for _, folder in _groups("pids", root):
        limit, used = _read(folder / "pids.max"), _read(folder / "pids.current")
        if limit.isdecimal() and used.isdecimal():
            left.append(max(0, int(limit) - int(used)))
    return min(left, default=None)


def oom_kills(root: Path = Path("/")) -> int:
    """Return the number of kills by the kernel for memory, in this process's groups or, else, at all.

    Args:
        root: Folder that holds proc and sys.
    """
    names = {1: "memory.oom_control", 2: "memory.events"}
    texts = [_read(folder / names[version]) for version, folder in _groups("memory", root)]
    found = [re.search(r"^oom_kill (\d+)$", text, re.MULTILINE) for text in texts]
    if not any(found):
        found = [re.search(r"^oom_kill (\d+)$", _read(root / "proc/vmstat"), re.MULTILINE)]
    return max((int(each[1]) for each in found if each), default=0)


def _memory(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use in bytes of each group that has a limit."""
    for version, folder in _groups("memory", root):
        limits: tuple[str, ...] = ("memory.max", "memory.high")
        used, cache = "memory.current", "inactive_file"
        if version == 1:
            limits = ("memory.limit_in_bytes",)
            used, cache = "memory.usage_in_bytes", "total_inactive_file"
        found = [int(text) for name in limits if (text := _read(folder / name)).isdecimal()]
        if found and min(found) < UNLIMITED:
            dropped = re.search(rf"^{cache} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
            yield min(found), int(_read(folder / used) or 0) - int(dropped[1] if dropped else 0)


def _groups(controller: str, root: Path) -> Iterator[tuple[int, Path]]:
    """Yield version and folder of this process's group of a controller, and of each group around it."""
    own = _own_groups(root)
    for names, hierarchy in _hierarchies(root):
        wanted = controller if hierarchy.version == 1 else ""
        if wanted not in names or wanted not in own:
            continue
        group = own[wanted]
        if ".." in group.parts or not group.is_relative_to(hierarchy.root):
            folder = hierarchy.mount  # it lies outside of what is mounted here
        else:
            folder = hierarchy.mount / group.relative_to(hierarchy.root)
        for each in (folder, *folder.parents):
            yield hierarchy.version, each
            if each == hierarchy.mount:
                break


def _own_groups(root: Path) -> dict[str, PurePosixPath]:
    """Return the path of this process's group by controller; that of version 2 has no name."""
    groups: dict[str, PurePosixPath] = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        groups |= {name: PurePosixPath(path) for name in names.split(",")}
    return groups


def _hierarchies(root: Path) -> Iterator[tuple[set[str], Hierarchy]]:
    """Yield each mounted hierarchy with its mount options, which name the controllers of version 1."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        place, kind = left.split(), right.split()
        if len(place) < 5 or not kind or kind[0] not in ("cgroup", "cgroup2"):
            continue
        path, mount = (_unescape(text) for text in place[3:5])
        version = 2 if kind[0] == "cgroup2" else 1
        names = {""} if version == 2 else set(kind[-1].split(","))
        yield names, Hierarchy(version, PurePosixPath(path), root / mount.lstrip("/"))


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda digits: chr(int(digits[1], 8)), text)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""

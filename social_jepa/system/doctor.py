"""Check whether this machine can run a simulation; each check has a remedy.

Nothing heavy is imported here: a check of torch or of MiniWorld that crashes must not end the others, so both
run in a subprocess. Every check takes its lookup as an argument.
"""

import ctypes.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

from social_jepa.system.machine import available_memory, is_listening, usable_cpus

DISTRIBUTION = "social-jepa"
TOP_LEVEL_NAMES = ("env", "agents", "alignment", "social_jepa")
APT_LINE = "sudo apt-get install -y libegl1 libgl1-mesa-dri libglu1-mesa"
INSTALL_LINE = "run `make setup`, or install this project into a new virtual environment"
PROBE_SECONDS = 120  # importing torch from a cold disk takes up to a minute
Usage = Callable[[str], tuple[int, int, int]]  # of a folder, in bytes: total, used, free

MIN_MEMORY = 2 * 2**30  # bytes; two agents with torch and a scene each, plus Ray
MIN_DISK = 2 * 2**30  # bytes; a run folder, plus what Ray writes
MIN_SHARED_MEMORY = 100 * 10**6  # bytes; the smallest object store that Ray accepts, plus a margin

RENDER_PROBE = """
import numpy as np
from env.camera import Pose
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig

config = SceneConfig(renderer="miniworld")
renderer = build_renderer(config)
frame = renderer.render(Scene(config, seed=0).state(0), Pose(-4.8, 3.2, 0.0, yaw=0.0, pitch=-35.0))
renderer.close()
assert frame.std() > 0, "OpenGL started and drew an image of one color"
print("x".join(map(str, frame.shape[:2])), "pixels rendered")
"""

DEVICE_PROBE = """
import json, torch
gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
print(json.dumps({"bf16": torch.ops.mkldnn._is_mkldnn_bf16_supported(), "gpus": gpus}))
"""


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        name: What was checked.
        ok: Whether it meets the requirement.
        found: What was found.
        remedy: What to do when it is not ok.
    """

    name: str
    ok: bool
    found: str
    remedy: str


class ProbeError(Exception):
    """A probe in a subprocess failed; the message is its last line."""


def checks() -> list[Check]:
    """Return all checks of this machine, cheap ones first; takes some seconds."""
    return [
        check_python(),
        *check_packages(),
        *check_names(),
        check_opengl(),
        check_rendering(),
        check_ray(),
        check_cpus(),
        check_memory(),
        *check_torch_devices(),
        check_disk(),
        check_shared_memory(),
    ]


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Check the Python version."""
    found = ".".join(map(str, version))
    remedy = "recreate the environment with Python 3.11 or newer: make setup PYTHON=python3.11"
    return Check("python", version >= (3, 11), found, remedy)


def check_packages(
    requires: Callable[[str], list[str] | None] = metadata.requires,
    version_of: Callable[[str], str] = metadata.version,
) -> Iterator[Check]:
    """Check that each required package is installed in a version that is new enough.

    Requirements are parsed here, because `packaging` may be among the missing ones.
    """
    try:
        lines = requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Check(DISTRIBUTION, False, "not installed", INSTALL_LINE)
        return
    for line in lines:
        wanted = re.match(r"([\w.-]+)[^;>]*>=\s*([\d.]+)", line)
        if wanted is None or "extra ==" in line:
            continue
        name, floor = wanted.groups()
        found = _version(name, version_of)
        ok = found is not None and _numbers(found) >= _numbers(floor)
        remedy = f"{name} {floor} or newer is needed: {INSTALL_LINE}"
        yield Check(name, ok, found or "not installed", remedy)


def check_names(owners: Mapping[str, list[str]] | None = None) -> Iterator[Check]:
    """Check that no other distribution owns one of our import names: pip overwrites files silently."""
    owners = metadata.packages_distributions() if owners is None else owners
    for name in TOP_LEVEL_NAMES:
        others = sorted(set(owners.get(name, [])) - {DISTRIBUTION})
        found = f"also from {', '.join(others)}" if others else "no other owner"
        remedy = f"make an environment without {', '.join(others)}: both write to the folder {name}"
        yield Check(f"name {name}", not others, found, remedy)


def check_opengl(find: Callable[[str], str | None] = ctypes.util.find_library) -> Check:
    """Check that the OpenGL libraries of MiniWorld are installed."""
    missing = [f"lib{name}" for name in ("EGL", "GL", "GLU") if find(name) is None]
    found = f"missing: {', '.join(missing)}" if missing else "libEGL, libGL, libGLU"
    return Check("OpenGL libraries", not missing, found, APT_LINE)


def check_rendering(probe: Callable[[str], str] | None = None) -> Check:
    """Check that MiniWorld renders a frame: a driver may be missing although the libraries are there."""
    remedy = f"{APT_LINE}; or render without OpenGL: scene.renderer=toy"
    try:
        return Check("rendering", True, (probe or run_probe)(RENDER_PROBE), remedy)
    except ProbeError as error:
        return Check("rendering", False, str(error), remedy)


def check_ray(
    version_of: Callable[[str], str] = metadata.version,
    environ: Mapping[str, str] = os.environ,
    listens: Callable[[str], bool] | None = None,
) -> Check:
    """Check the Ray version, and that the cluster at RAY_ADDRESS answers."""
    version = _version("ray", version_of)
    if version is None:
        return Check("ray cluster", False, "not installed", INSTALL_LINE)
    address = environ.get("RAY_ADDRESS", "")
    if address in ("", "auto", "local"):
        return Check("ray cluster", True, f"{version}, RAY_ADDRESS is {address or 'not set'}", INSTALL_LINE)
    ok = (listens or is_listening)(address)
    found = f"{version}, {address} {'answers' if ok else 'does not answer'}"
    return Check(
        "ray cluster", ok, found, "start that cluster, or `unset RAY_ADDRESS` to run on this machine"
    )


def check_cpus(usable: Callable[[], int] | None = None) -> Check:
    """Check the number of CPUs that this process may use."""
    count = (usable or usable_cpus)()
    remedy = "provide two CPUs or more: with one, agents and Ray's own processes take turns"
    return Check("CPUs", count >= 2, str(count), remedy)


def check_memory(available: Callable[[], int] | None = None) -> Check:
    """Check that memory suffices for two agents."""
    free = (available or available_memory)()
    return Check("memory", free >= MIN_MEMORY, _size(free), "close other programs, or lower agents.count")


def check_torch_devices(probe: Callable[[str], str] | None = None) -> Iterator[Check]:
    """Check torch and list its devices; a machine without bfloat16 or GPUs is only slower."""
    try:
        seen = json.loads((probe or run_probe)(DEVICE_PROBE))
    except (ProbeError, ValueError) as error:
        yield Check("torch", False, str(error), INSTALL_LINE)
        return
    yield Check("bfloat16 on the CPU", True, "yes" if seen["bf16"] else "no, float32 is used instead", "")
    yield Check("GPUs", True, ", ".join(seen["gpus"]) or "none, agents share the CPUs", "")


def check_disk(folder: str = ".", usage: Usage = shutil.disk_usage) -> Check:
    """Check that a run folder fits on the disk."""
    free = usage(folder)[2]
    remedy = f"free {_size(MIN_DISK)} here, or keep runs on another disk"
    return Check("disk", free >= MIN_DISK, f"{_size(free)} free", remedy)


def check_shared_memory(folder: str = "/dev/shm", usage: Usage = shutil.disk_usage) -> Check:
    """Check that Ray's object store fits into shared memory; else Ray uses the disk and is slow."""
    remedy = f"free {_size(MIN_SHARED_MEMORY)} in {folder}; a container takes --shm-size=1g when it starts"
    try:
        free = usage(folder)[2]
    except OSError:
        return Check("shared memory", False, f"there is no {folder}", remedy)
    return Check("shared memory", free >= MIN_SHARED_MEMORY, f"{_size(free)} free", remedy)


def run_probe(code: str, seconds: float = PROBE_SECONDS) -> str:
    """Run code in a new Python process and return its last line of output.

    Raises:
        ProbeError: It failed, or timed out.
    """
    # pyglet reads this when it is imported; there may be no display
    environ = {**os.environ, "PYGLET_HEADLESS": "True"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environ,
            capture_output=True,
            timeout=seconds,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"no answer within {seconds:g} seconds") from error
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    if done.returncode or not lines:
        raise ProbeError(lines[-1] if lines else f"ended with status {done.returncode} without output")
    return lines[-1]


def _version(name: str, version_of: Callable[[str], str]) -> str | None:
    try:
        return version_of(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"

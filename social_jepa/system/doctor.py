"""Check whether this machine, or a cluster, can run a simulation; each check has a remedy.

Nothing heavy is imported here: a check of torch or of MiniWorld that crashes must not end the others, so both
run in a subprocess. Every check takes its lookup as an argument.
"""

import ctypes.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from social_jepa.system.check import Check
from social_jepa.system.cluster_checks import check_cluster
from social_jepa.system.host_checks import (
    check_cpus,
    check_disk,
    check_home,
    check_memory,
    check_shared_memory,
    check_system,
    check_tasks,
    check_temporary_disk,
    check_temporary_folder,
)
from social_jepa.system.imports import OURS, TOP_LEVEL_NAMES, check_imports
from social_jepa.system.probe import ProbeError, run_probe

DISTRIBUTION = "social-jepa"
APT_LINE = "sudo apt-get install -y libegl1 libgl1-mesa-dri libglu1-mesa"
INSTALL_LINE = "run `make setup`, or install this project into a new virtual environment"

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


def checks(address: str | None = None) -> Iterator[Check]:
    """Yield all checks of this machine, and of the cluster that runs would join; takes some seconds.

    Args:
        address: Ray cluster; by default RAY_ADDRESS, else none.
    """
    yield check_system()
    yield check_python()
    yield check_imports(current_folder=True)
    yield from check_packages()
    yield check_installation()
    yield from check_names()
    yield check_opengl()
    yield check_rendering()
    yield check_cpus()
    yield check_memory()
    yield check_tasks()
    yield from check_torch_devices()
    yield check_disk()
    yield check_temporary_folder()
    yield check_temporary_disk()
    yield check_shared_memory()
    yield check_home()
    yield from check_ray(address)


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


def check_installation(find: Callable[[str], metadata.Distribution] = metadata.distribution) -> Check:
    """Check that the code that runs is the installed one, which other commands and machines may use."""
    try:
        distribution = find(DISTRIBUTION)
        read_metadata = distribution.read_text  # always UTF-8
    except metadata.PackageNotFoundError:
        return Check("installation", False, f"{OURS} is not installed", INSTALL_LINE)
    source = json.loads(read_metadata("direct_url.json") or "{}")
    if source.get("dir_info", {}).get("editable"):
        installed = Path(url2pathname(urlsplit(source["url"]).path))
    else:
        installed = Path(str(distribution.locate_file("")))
    same = installed.resolve() == OURS
    found = str(OURS) if same else f"{OURS} runs, but what is installed is {installed}"
    remedy = f"unset PYTHONPATH and leave {OURS}, or install it: pip install -e {OURS}"
    return Check("installation", same, found, remedy)


def check_names(owners: Mapping[str, list[str]] | None = None) -> Iterator[Check]:
    """Check the import names: pip overwrites files of another distribution with the same name silently."""
    owners = metadata.packages_distributions() if owners is None else owners
    for name in TOP_LEVEL_NAMES:
        others = sorted(set(owners.get(name, [])) - {DISTRIBUTION})
        found = f"also from {', '.join(others)}" if others else "no other owner"
        remedy = f"make an environment without {', '.join(others)}: both write to the folder {name}"
        yield Check(f"name {name}", not others, found, remedy)


def check_ray(
    address: str | None = None,
    environ: Mapping[str, str] = os.environ,
    check: Callable[[str], Iterator[Check]] = check_cluster,
) -> Iterator[Check]:
    """Check the cluster that a run would join, if any."""
    address = address or environ.get("RAY_ADDRESS", "")
    if address in ("", "local"):
        yield Check("ray cluster", True, "none: neither --address nor RAY_ADDRESS names one", "")
    else:
        yield from check(address)


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


def check_torch_devices(probe: Callable[[str], str] | None = None) -> Iterator[Check]:
    """Check torch and list its devices; a machine without bfloat16 or GPUs is only slower."""
    try:
        seen = json.loads((probe or run_probe)(DEVICE_PROBE))
    except (ProbeError, ValueError) as error:
        yield Check("torch", False, str(error), INSTALL_LINE)
        return
    yield Check("bfloat16 on the CPU", True, "yes" if seen["bf16"] else "no, float32 is used instead", "")
    yield Check("GPUs", True, ", ".join(seen["gpus"]) or "none, agents share the CPUs", "")


def _version(name: str, version_of: Callable[[str], str]) -> str | None:
    try:
        return version_of(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])

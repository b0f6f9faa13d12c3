"""Other operating systems, made up in a subprocess: another name, and without what only Linux has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# Libraries choose their code for the platform when they are imported, so they come first.
LIKE_MACOS = """
import os, sys
import psutil, torch, typer, rich.console, matplotlib.font_manager, scipy, networkx, msgspec, filelock

for name in ("sched_getaffinity", "sched_setaffinity", "process_cpu_count", "pidfd_open"):
    if hasattr(os, name):
        delattr(os, name)

def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith(("/proc", "/sys")):
        frame = sys._getframe()
        while frame and "psutil" not in frame.f_code.co_filename:
            frame = frame.f_back
        if frame is None:
            raise FileNotFoundError(arguments[0])

sys.addaudithook(refuse)
sys.platform = "darwin"
"""
LIKE_WINDOWS = """
import sys, sysconfig
import typer, rich.console, rich.table

sysconfig.get_config_vars()
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
sys.platform = "win32"
"""
COMMAND = "from social_jepa.cli.app import main; main()"


def run_like(system, *words, code=COMMAND):
    return subprocess.run(
        [sys.executable, "-c", system + code, *map(str, words)], capture_output=True, text=True
    )


@pytest.mark.parametrize("verb", ["graph", "report"])
def test_a_run_folder_is_read_without_proc_and_affinity(small_run, verb):
    done = run_like(LIKE_MACOS, verb, "--run", small_run.folder.path)

    assert (done.returncode, done.stderr) == (0, "")


def test_cpus_and_memory_are_found_without_proc_and_affinity():
    code = """
from social_jepa.system import machine, host_checks
from agents.common.niceness import raise_session_niceness
raise_session_niceness(0)
assert machine.usable_cpus() == os.cpu_count() and machine.available_memory() > 0
print(*(check.ok for check in (host_checks.check_system(), host_checks.check_shared_memory())))
"""
    done = run_like(LIKE_MACOS, code=code)

    assert done.stdout.split() == ["True", "True"], done.stderr


@pytest.mark.parametrize("words", [["run"], ["up"], ["status"], ["graph"], ["experiment", "all"]])
def test_another_system_is_refused_in_one_sentence(words):
    done = run_like(LIKE_WINDOWS, *words)

    assert done.returncode == 1
    assert done.stderr == "social-jepa: system: win32, not Linux; run it on Linux; on Windows, inside WSL 2\n"


@pytest.mark.parametrize(("name", "status"), [("Darwin", 0), ("MINGW64_NT-10.0", 1), ("FreeBSD", 1)])
def test_setup_says_which_systems_work(tmp_path, name, status):
    uname = tmp_path / "uname"
    uname.write_text(f"#!/bin/sh\necho {name}\n")
    uname.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", ROOT / "scripts/check_system.sh"], env=environ, capture_output=True, text=True
    )

    assert done.returncode == status
    assert done.stderr.count("\n") == 1
    assert ("Linux" if status else "scene.renderer=toy") in done.stderr

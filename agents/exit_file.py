"""A file that says how a process ended when nothing else can: by os._exit, or by a crash of native code.

Ray sees only that the connection to such a process closed.
"""

import faulthandler
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from agents.logs import agent_at_work

FRAME = re.compile(r'^  File "(.*)", line (\d+) in ', re.MULTILINE)
EXIT = re.compile(r"^exit code (-?\d+)$", re.MULTILINE)
AGENT = re.compile(r"^agent (.+)$", re.MULTILINE)
CRASH = re.compile(r"^Fatal Python error: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class ProcessExit:
    """How a process ended.

    Attributes:
        code: Exit code that it chose; None after a crash.
        crash: Name of the crash, for example "Segmentation fault"; empty after an exit.
        file: File of the newest call; empty: unknown.
        line: Line in that file; 0: unknown.
        agent: Agent whose code ended it; empty: unknown.
    """

    code: int | None
    crash: str
    file: str
    line: int
    agent: str = ""


def exit_path(log_file: Path) -> Path:
    """Return the file that belongs to the log file of an agent."""
    return log_file.with_name(f"{log_file.stem}.exit.txt")


def record_exit(path: Path) -> None:
    """Have this process write to a file how it ends, in place of what its predecessor wrote.

    Nothing is written when it is killed, or when it ends as Python programs do.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w", encoding="utf-8", errors="backslashreplace")
    faulthandler.enable(file, all_threads=False)  # keeps the file open
    exit_now = os._exit

    def exit_and_tell(status: int) -> None:
        try:
            frame = sys._getframe(1)
            file.write(
                f'exit code {status}\n  File "{frame.f_code.co_filename}", line {frame.f_lineno} in \n'
                f"agent {agent_at_work.get()}\n"
            )
            file.flush()
        finally:
            exit_now(status)

    os._exit = exit_and_tell  # type: ignore[assignment]


def read_exit(path: Path) -> ProcessExit | None:
    """Return the record that a process wrote to its file, or None where it wrote nothing."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    code, crash, frame = EXIT.search(text), CRASH.search(text), FRAME.search(text)
    agent = AGENT.search(text)
    if code is None and crash is None:
        return None
    file, line = (frame[1], int(frame[2])) if frame else ("", 0)
    return ProcessExit(
        int(code[1]) if code else None, crash[1] if crash else "", file, line, agent[1] if agent else ""
    )

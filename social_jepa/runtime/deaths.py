"""Why the process of an agent died, from Ray's error and from what the process left behind."""

import agents.common.ray_environment  # noqa: F401

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ray.exceptions import (
    ActorDiedError,
    ActorUnschedulableError,
    OutOfMemoryError,
    RuntimeEnvSetupError,
)

from agents.exit_file import read_exit

MEMORY_USED = re.compile(r"Memory on the node \(IP: ([^,)]+).*?was (\S+) used / (\S+) limit")
EXIT_CODE = re.compile(r"exit code (\d+)")
BOILERPLATE = re.compile(r"Some common causes include.*", re.DOTALL)
MAX_TEXT = 300  # characters of Ray's text


class DeathCause(StrEnum):
    """What ended a process."""

    MEMORY = "out_of_memory"
    EXIT = "exit"
    CRASH = "crash"
    NODE = "node_lost"
    KILLED = "killed"
    START = "could_not_start"


@dataclass(frozen=True)
class Death:
    """How a process died.

    Attributes:
        cause: What ended it.
        text: One sentence without the agent's name.
        file: File of the code that ended it; empty: unknown.
        line: Line in that file; 0: unknown.
        agent: Agent whose code ended it; empty: unknown.
    """

    cause: DeathCause
    text: str
    file: str = ""
    line: int = 0
    agent: str = ""


def read_death(error: Exception, exit_file: Path | None = None, oom_killed: bool = False) -> Death | None:
    """Return the death of a process, or None for an error that does not say that it is dead.

    Args:
        error: What a call of the actor raised.
        exit_file: File of `agents.exit_file.record_exit`, if the process has one.
        oom_killed: Whether the kernel has killed a process for memory since the last death.
    """
    text = one_line(error)
    if isinstance(error, OutOfMemoryError) or "running low on memory" in text:
        return _killed_for_memory(text)
    if isinstance(error, ActorUnschedulableError | RuntimeEnvSetupError):
        return Death(DeathCause.START, f"its process could not be started: {text[:MAX_TEXT]}")
    if not isinstance(error, ActorDiedError):
        return None
    if error.actor_init_failed:
        last = [line for line in str(error).splitlines() if line.strip()][-1]
        return Death(DeathCause.START, f"its process could not be started: {last.strip()[:MAX_TEXT]}")
    if "node has died" in text or "node was terminated" in text:
        return Death(DeathCause.NODE, "its node was lost")
    if left := read_exit(exit_file) if exit_file else None:
        if left.code is None:
            return Death(DeathCause.CRASH, f"its process crashed ({left.crash})", left.file, left.line)
        text = f"its process ended with exit code {left.code}"
        return Death(DeathCause.EXIT, text, left.file, left.line, left.agent)
    if oom_killed:
        return Death(DeathCause.MEMORY, "its process was killed for memory by the kernel")
    if code := EXIT_CODE.search(text):
        return Death(DeathCause.EXIT, f"its process ended with exit code {code[1]}")
    if "connection error code" in text:
        return Death(DeathCause.KILLED, "its process was killed")
    return Death(DeathCause.KILLED, f"its process ended: {text[:MAX_TEXT]}")


def _killed_for_memory(text: str) -> Death:
    found = MEMORY_USED.search(text)
    where = f" (node {found[1]} used {found[2]} of {found[3]})" if found else ""
    return Death(DeathCause.MEMORY, f"its process was killed for memory{where}")


def one_line(error: BaseException) -> str:
    """Return the text of an error of Ray in one line, without its advice; its class where it has none."""
    return " ".join(BOILERPLATE.sub("", str(error)).split()) or type(error).__name__

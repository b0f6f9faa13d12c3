"""Progress of a wait: a bar of tqdm where it is installed, else the lines of `ProgressDisplay`.

Where stderr is no terminal, only notes are logged: without them a wait for what never comes would be silent.
"""

import importlib.util
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any, Final, Protocol

from social_jepa.records import AgentStatus
from social_jepa.runtime.agent_notes import agent_notes, note_kind

logger = logging.getLogger(__name__)

REDRAW_SECONDS: Final = 0.5
MAX_NAMED: Final = 3  # agents that the bar describes one by one


class WaitProgress(Protocol):
    """Shows the progress of agents."""

    def progress(self, agents: Sequence[AgentStatus]) -> None:
        """Show the status of the agents."""

    def close(self) -> None:
        """Stop showing it."""


class NoProgress:
    """Shows nothing."""

    def progress(self, agents: Sequence[AgentStatus]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class LoggedNotes(NoProgress):
    """Logs each note once, as a warning."""

    def __init__(self) -> None:
        """Log none yet."""
        self._notes = NewNotes()

    def progress(self, agents: Sequence[AgentStatus]) -> None:
        """Log what a person should know about the agents."""
        for note in self._notes.of(agents):
            logger.warning("%s", note)


class NewNotes:
    """Tells notes that have not been shown."""

    def __init__(self) -> None:
        """Begin with none shown."""
        self._shown: set[str] = set()

    def of(self, agents: Sequence[AgentStatus]) -> list[str]:
        """Return the notes about agents that are not like one of an earlier call."""
        new = [note for note in agent_notes(agents) if note_kind(note) not in self._shown]
        self._shown.update(map(note_kind, new))
        return new


class ProgressBar:
    """A bar of training steps, with the phase of each agent behind it and notes above it."""

    def __init__(self) -> None:
        """Start at zero; `progress` sets the total."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a notebook without widgets: the bar is then drawn as text
            from tqdm.auto import tqdm
        self._bar: Any = tqdm(total=0, unit="step", leave=False, file=sys.stderr)
        self._notes = NewNotes()
        self._drawn_at = 0.0

    def progress(self, agents: Sequence[AgentStatus]) -> None:
        """Show steps, phases, and each note once."""
        if time.monotonic() - self._drawn_at < REDRAW_SECONDS:
            return
        self._drawn_at = time.monotonic()
        known = [agent.progress for agent in agents if agent.progress]
        self._bar.total = sum(each.steps for each in known)
        self._bar.n = sum(min(each.step, each.steps) for each in known)
        self._bar.set_postfix_str(describe_agents(agents))
        for note in self._notes.of(agents):
            self._bar.write(note, file=sys.stderr)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


def describe_agents(agents: Sequence[AgentStatus]) -> str:
    """Return the state of each of a few agents, else the number of agents in each phase."""
    if len(agents) <= MAX_NAMED:
        return ", ".join(f"{agent.name} {describe_agent(agent)}" for agent in agents)
    phases = [_phase(agent) for agent in agents]
    return ", ".join(f"{phases.count(phase)} {phase}" for phase in dict.fromkeys(phases))


def describe_agent(agent: AgentStatus) -> str:
    """Return phase and progress of an agent, such as "training 93/150, 2 min left"."""
    progress, phase = agent.progress, _phase(agent)
    if progress is None or agent.settled:
        return phase
    if phase == "recording":
        return f"recording, {progress.recorded:,} ticks"
    if phase not in ("training", "distilling"):
        return phase
    left = "" if progress.seconds_left is None else f", {describe_seconds(progress.seconds_left)} left"
    return f"{phase} {progress.step}/{progress.steps}{left}"


def describe_seconds(seconds: float) -> str:
    """Return a time in the largest unit that fits: 95 s are "2 min"."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _phase(agent: AgentStatus) -> str:
    return "failed" if agent.failure else "settled" if agent.settled else agent.phase


def make_progress(shown: bool | None) -> WaitProgress:
    """Return the display of a wait.

    Args:
        shown: Whether to show it; None: on a terminal and in a notebook, and elsewhere only the notes.
    """
    if shown is None and not is_watched():
        return LoggedNotes()
    if shown is False:
        return NoProgress()
    if importlib.util.find_spec("tqdm") is not None:
        return ProgressBar()
    from rich.console import Console

    from social_jepa.runtime.console_progress import ProgressDisplay

    return ProgressDisplay(Console(stderr=True))


def is_watched() -> bool:
    """Return whether a person may read stderr: it is a terminal, or this process is a notebook's kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return sys.stderr.isatty() or hasattr(shell, "kernel")

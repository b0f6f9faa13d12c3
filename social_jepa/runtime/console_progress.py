"""Progress of a run on the console: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from social_jepa.records import AgentStatus, ProgressRecord
from social_jepa.runtime.agent_notes import agent_notes, note_kind

PLAIN_EVERY = 10.0  # seconds between plain lines
MANY_AGENTS = 16  # beyond which those that have learned are counted, not listed
DONE = ("ready", "stopped")  # phases of an agent that has learned


class ProgressDisplay:
    """Show progress as a table that is redrawn on a terminal, and as occasional lines elsewhere."""

    def __init__(self, console: Console) -> None:
        """Write to a console: that of stderr, because stdout holds results only."""
        self._console = console
        self._live: Live | None = None
        self._printed_at = 0.0
        self._notes: set[str] = set()  # kinds of those printed
        self._began = time.monotonic()

    def phase(self, text: str) -> None:
        """Print that a new phase began."""
        self.close()
        self._printed_at = 0.0
        self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/]  {escape(text)}")

    def progress(self, agents: Sequence[AgentStatus]) -> None:
        """Show the progress of the agents, and what a person should know about them."""
        notes = agent_notes(agents)
        known = {agent.name: agent.progress for agent in agents if agent.progress}
        if len(agents) > MANY_AGENTS:
            ready = sum(bool(agent.checkpoint) for agent in agents)
            settled = sum(agent.settled for agent in agents)
            notes.append(
                f"{ready} of {len(agents)} agents have published, {settled} have settled their edges"
            )
            known = {name: each for name, each in known.items() if each.phase not in DONE}
        if not known and not notes:
            return
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, transient=True, refresh_per_second=4)
                self._live.start()
            self._live.update(_table(known, notes))
            return
        kinds = set(map(note_kind, notes))  # a new note is printed at once, a changed one later
        if time.monotonic() - self._printed_at > PLAIN_EVERY or not kinds <= self._notes:
            self._printed_at, self._notes = time.monotonic(), kinds
            for name, progress in known.items():
                cells = filter(None, _cells(name, progress))
                self._console.print("          " + escape("  ".join(cells)), soft_wrap=True)
            for note in notes:
                self._console.print("          " + escape(note), soft_wrap=True)

    def close(self) -> None:
        """Remove the live table from the terminal."""
        if self._live:
            self._live.stop()
            self._live = None


def _table(agents: Mapping[str, ProgressRecord], notes: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("agent", "phase", "step", "frames", "loss", "speed", "left"):
        table.add_column(heading, justify="left" if heading in ("agent", "phase") else "right")
    for name, progress in agents.items():
        table.add_row(*_cells(name, progress))
    table.caption, table.caption_justify = escape("\n".join(notes)) or None, "left"
    return table


def _cells(name: str, progress: ProgressRecord) -> list[str]:
    if progress.phase == "recording":
        return [name, progress.phase, "", f"{progress.recorded:,} ticks", "", "", ""]
    loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
    speed = f"{progress.frames_per_s:,.0f} frames/s" if progress.frames_per_s else ""
    left = "" if progress.seconds_left is None else f"{progress.seconds_left:.0f} s left"
    step = f"{progress.step}/{progress.steps}"
    return [name, progress.phase, step, f"{progress.frames:,} frames", loss, speed, left]

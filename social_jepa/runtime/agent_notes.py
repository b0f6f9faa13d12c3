"""Notes for people about the agents of a simulation: failures, waits, missing progress and answers."""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from social_jepa.config.time_format import format_time

if TYPE_CHECKING:
    from social_jepa.records import AgentStatus, UnsavedRecord

NUMBER = re.compile(r"(\d{4}-\d\d-\d\dT)?\d+(\.\d+)?")  # a time has its date from midnight on
BUSY_SHARE = 0.5  # of the time that a thread waits for a CPU, above which the machine is the bottleneck


def agent_notes(agents: Sequence["AgentStatus"]) -> list[str]:
    """Return one line for each thing that a person should know."""
    notes = []
    for agent in agents:
        if agent.failure:
            notes.append(f"{agent.name} failed: {agent.failure.summary}")
        if agent.flagged:
            notes.append(f"{agent.name} is not trusted, and its edges are refused: {agent.flagged}")
        if agent.note:
            notes.append(f"{agent.name} {agent.note}")
        notes += unsaved_notes(agent.name, agent.unsaved)
        if agent.waiting_for:
            notes.append(f"{agent.name} waits for {agent.waiting_for}")
        if agent.idle_seconds and not agent.failure:
            notes.append(idle_note(agent.name, agent.idle_seconds, agent.idle_place))
    return [*notes, *_silent(agents), *_unanswered(agents), *_busy(agents)]


def note_kind(note: str) -> str:
    """Return a note without the numbers that change while it holds; the name that it begins with stays."""
    name, _, rest = note.partition(" ")
    return f"{name} {NUMBER.sub('', rest)}"


def anchor_notes(seed: int | None) -> list[str]:
    """Return a line that says of which public scene anchors are; none where they are of the run's own."""
    return [] if seed is None else [f"anchors are frames of the public scene of seed {seed}"]


def unsaved_notes(name: str, unsaved: "Iterable[UnsavedRecord]") -> list[str]:
    """Return one line for each file of an agent that cannot be written."""
    now = time.time()
    return [f"{name} {each} for {now - each.since:.0f} s; it goes on and tries again" for each in unsaved]


def idle_note(name: str, seconds: float, place: str) -> str:
    """Return a line about an agent that makes no step; `place`: file and line that it is in, or empty."""
    return f"{name} has made no step for {seconds:.0f} s" + (f": it is in {place}" if place else "")


def list_names(names: Iterable[str]) -> str:
    """Return names in one text, see `alignment.natural_order.list_names`."""
    from alignment import natural_order  # the command line checks first where packages come from

    return natural_order.list_names(names)


def _silent(agents: Sequence["AgentStatus"]) -> list[str]:
    """Return a line for each node, or each agent, that does not answer the supervisor."""
    nodes: dict[str, list[AgentStatus]] = defaultdict(list)
    for agent in agents:
        nodes[agent.node].append(agent)
    lines = []
    for node, found in nodes.items():
        silent = {agent.name: agent.silent_since for agent in found if agent.silent_since is not None}
        if not silent:
            continue
        clock = format_time(min(silent.values()), precision="seconds")
        names = list_names(silent)
        if node and len(silent) == len(found) and len(nodes) > 1:
            lines.append(f"node {found[0].host or node[:6]} is unreachable since {clock}: {names}")
        else:
            lines.append(f"{names} gave no report since {clock}")
    return lines


def _unanswered(agents: Sequence["AgentStatus"]) -> list[str]:
    """Return a line for each agent that does not answer peers."""
    callers: dict[str, dict[str, float]] = defaultdict(dict)
    for agent in agents:
        for peer, since in agent.unanswered.items():
            callers[peer][agent.name] = since
    lines = []
    for peer, found in callers.items():
        others = {agent.name for agent in agents if agent.checkpoint and agent.name != peer}
        every = len(others) > 1 and others <= found.keys()
        who = "any peer" if every else list_names(found)
        clock = format_time(min(found.values()), precision="seconds")
        lines.append(f"{peer} has not answered {who} since {clock}: frames to it may be lost")
    return lines


def _busy(agents: Sequence["AgentStatus"]) -> list[str]:
    """Return a line if agents wait for CPUs for most of the time."""
    waits = [agent.cpu_wait for agent in agents if agent.cpu_wait is not None and agent.cpu_wait > BUSY_SHARE]
    if not waits:
        return []
    return [
        f"the machine is the bottleneck: {len(waits)} of {len(agents)} agents wait for a CPU up to "
        f"{max(waits):.0%} of the time; lower agents.count or agents.threads, or end other programs"
    ]

"""The options of the command `status`: which agents are shown, and in which order."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from social_jepa.records import AgentStatus


class AgentOrder(StrEnum):
    """Order of the rows of agents."""

    INDEX = "index"
    NAME = "name"
    PHASE = "phase"
    STEP = "step"
    LOSS = "loss"
    DRIFT = "drift"
    SPEED = "speed"


FIELDS: Final[Mapping[AgentOrder, str]] = {  # of an agent's progress; the largest value comes first
    AgentOrder.STEP: "step",
    AgentOrder.LOSS: "loss",
    AgentOrder.DRIFT: "drift",
    AgentOrder.SPEED: "frames_per_s",
}


@dataclass(frozen=True)
class AgentChoice:
    """Which agents are shown, and in which order.

    Attributes:
        order: Order of the rows; between equal ones the index decides.
        phase: Only agents in this phase; empty: in any.
        limit: Most agents; None: all.
    """

    order: AgentOrder = AgentOrder.INDEX
    phase: str = ""
    limit: int | None = None

    def of(self, agents: Sequence["AgentStatus"]) -> list["AgentStatus"]:
        """Return the agents to show."""
        found = [agent for agent in agents if self.phase in ("", shown_phase(agent))]
        if self.order is not AgentOrder.INDEX:
            found.sort(key=_key(self.order))
        return found[: self.limit]

    def remark(self, agents: Sequence["AgentStatus"], shown: Sequence["AgentStatus"]) -> str:
        """Return a line that counts all agents by phase; empty where all are shown."""
        if len(shown) == len(agents):
            return ""
        phases = sorted(Counter(map(shown_phase, agents)).items())
        counts = ", ".join(f"{count:,} {phase}" for phase, count in phases)
        return f"{len(shown):,} of {len(agents):,} agents: {counts}"


def shown_phase(agent: "AgentStatus") -> str:
    """Return the phase of an agent as the table shows it."""
    return "failed" if agent.failure else agent.phase


def _key(order: AgentOrder) -> Callable[["AgentStatus"], Any]:
    from alignment.natural_order import natural_key  # imports torch, which other commands do not need

    if order is AgentOrder.NAME:
        return lambda agent: natural_key(agent.name)
    if order is AgentOrder.PHASE:
        return shown_phase

    def descending(agent: "AgentStatus") -> tuple[bool, float]:
        value: float | None = getattr(agent.progress, FIELDS[order], None)
        if value is None or math.isnan(value):
            return True, 0.0
        return False, -value

    return descending

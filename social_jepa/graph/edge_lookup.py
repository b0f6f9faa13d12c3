"""Look up one edge; where it is not settled, say what the two agents have tried."""

import contextlib
import time

from alignment.graph import NoPathError, UnknownAgentError
from alignment.natural_order import list_names
from social_jepa.config.time_parsing import FOREVER
from social_jepa.graph.query_errors import SameAgentError
from social_jepa.graph.results import Results
from social_jepa.records import EdgeRecord
from social_jepa.storage.ledger import Ledger


class UnsettledEdgeError(NoPathError):
    """Two agents have not settled an edge.

    Attributes:
        source: Source of the edge.
        target: Target of the edge.
        messages: Messages about the edge since both agents published their newest models.
        since: When the first of them was recorded, in seconds since the epoch; 0: there are none.
    """

    def __init__(self, source: str, target: str, messages: int = 0, since: float = 0.0) -> None:
        """Keep the fields."""
        super().__init__(source, target, messages, since)
        self.source, self.target, self.messages, self.since = source, target, messages, since

    def __str__(self) -> str:
        """Return the sentence."""
        if not self.messages:
            return f"{self.source} and {self.target} have not tried that edge yet"
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        count = f"{self.messages} message{'s' if self.messages > 1 else ''}"
        return f"{self.source} and {self.target} have tried that edge since {clock}: {count}, no answer"


def edge_history(ledger: Ledger, source: str, target: str) -> list[EdgeRecord]:
    """Return every edge that an ordered pair has had, oldest first, also of agents that have left.

    Raises:
        UnknownAgentError: No agent has ever had that name.
        SameAgentError: Source and target are the same.
    """
    names = ledger.names()
    for name in (source, target):
        if name not in names:
            raise UnknownAgentError(f"no agent has ever been named {name!r}; there were {list_names(names)}")
    _check_two(source, target)
    return ledger.history(source, target)


def find_edge(results: Results, source: str, target: str, until: float = FOREVER) -> EdgeRecord:
    """Return the record of an edge.

    Args:
        results: A graph.
        source: Source of the edge.
        target: Target of the edge.
        until: Time of the graph, up to which messages count.

    Raises:
        UnknownAgentError: There is no such agent.
        SameAgentError: Source and target are the same.
        UnsettledEdgeError: The two have not settled that edge.
    """
    results.graph.check(source, target)
    _check_two(source, target)
    if found := results.edge(source, target):
        return found
    published = [agent.published_at for name in (source, target) if (agent := results.published(name))]
    with contextlib.closing(Ledger(results.folder.ledger_file, read_only=True)) as ledger:
        tried = ledger.attempts(source, target, max(published, default=0.0), until)
    raise UnsettledEdgeError(source, target, *tried)


def _check_two(source: str, target: str) -> None:
    """Raise SameAgentError for an agent and itself: there is never an edge."""
    if source == target:
        raise SameAgentError(source)

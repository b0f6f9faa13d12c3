"""Look up one edge; where it is not settled, say what the two agents have tried."""

import contextlib
import time

from alignment.graph import NoPathError
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


def find_edge(results: Results, source: str, target: str) -> EdgeRecord:
    """Return the record of an edge.

    Raises:
        UnknownAgentError: There is no such agent.
        UnsettledEdgeError: The two have not settled that edge.
    """
    results.graph.check(source, target)
    if found := results.edge(source, target):
        return found
    published = [agent.published_at for name in (source, target) if (agent := results.published(name))]
    with contextlib.closing(Ledger(results.folder.ledger_file, read_only=True)) as ledger:
        tried = ledger.attempts(source, target, max(published, default=0.0))
    raise UnsettledEdgeError(source, target, *tried)

"""Whether agents of a simulation have settled their edges, or never will."""

import contextlib
import time
from collections.abc import Mapping, Sequence

from social_jepa.records import AgentStatus, FailureRecord
from social_jepa.runtime.errors import AgentLeftError, AgentLostError, PeerLostError
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.partners import partners_of
from social_jepa.storage.run_folder import RunFolder

PEER_SECONDS = 5.0  # between two looks for peers that have failed, which read the ledger


class Settling:
    """What a caller waits for: that an agent, or all, settle their edges."""

    def __init__(self, folder: RunFolder, name: str) -> None:
        """Wait for an agent of the simulation in a run folder; "" as its name: for all."""
        self._folder, self._name = folder, name
        self._topology = folder.config().negotiation.topology
        self._looked_at = -PEER_SECONDS

    def is_done(self, every: Sequence[AgentStatus]) -> bool:
        """Return whether the agents have settled their edges, and the ledger holds these.

        Args:
            every: Status of every agent.

        Raises:
            AgentLostError: One that is waited for failed.
            AgentLeftError: It is not there any more.
            PeerLostError: It has published, and all that it lacks are edges with peers that have failed.
        """
        agents = [agent for agent in every if self._name in ("", agent.name)]
        for agent in agents:
            if agent.failure:
                raise AgentLostError(agent.failure)
        if not agents:
            raise AgentLeftError(self._name)
        if all(agent.settled for agent in agents):
            with self._ledger() as ledger:
                return not ledger.missing_edges([agent.name for agent in agents], self._topology)
        failures = {agent.name: agent.failure for agent in every if agent.failure}
        if failures and time.monotonic() - self._looked_at >= PEER_SECONDS:
            self._looked_at = time.monotonic()
            for agent in agents:
                if agent.checkpoint and not agent.settled:
                    self._check_peers(agent.name, {each.name: each for each in every}, failures)
        return False

    def _check_peers(
        self, name: str, every: Mapping[str, AgentStatus], failures: Mapping[str, FailureRecord]
    ) -> None:
        """Raise PeerLostError if an agent lacks edges with peers that have failed, and no others.

        A peer that failed in its training but has published still replies: only one without a process or
        without a model does not.
        """
        with self._ledger() as ledger:
            peers = partners_of(ledger.topology(self._topology), ledger.members()).get(name, frozenset())
            missing = ledger.missing_edges([name, *failures], self._topology)
        if not all(peer in failures or (peer in every and every[peer].checkpoint) for peer in peers):
            return  # another one is still to publish
        lacking = {other for pair in missing if name in pair for other in pair if other != name}
        lost = [
            peer for peer in sorted(lacking & failures.keys())
            if failures[peer].cause == "process_died" or not every[peer].checkpoint
        ]  # fmt: skip
        if lost and lacking <= failures.keys():
            raise PeerLostError(name, failures[lost[0]])

    def _ledger(self) -> contextlib.closing[Ledger]:
        return contextlib.closing(Ledger(self._folder.ledger_file, read_only=True))

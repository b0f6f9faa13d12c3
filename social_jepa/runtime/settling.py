"""Whether agents of a simulation have settled their edges, or never will."""

import contextlib
from collections.abc import Mapping, Sequence

from social_jepa.records import AgentStatus, FailureRecord
from social_jepa.runtime.errors import AgentLeftError, AgentLostError, PeerLostError
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.partners import partners_of
from social_jepa.storage.run_folder import RunFolder


def have_settled(folder: RunFolder, name: str, every: Sequence[AgentStatus]) -> bool:
    """Return whether an agent has settled its edges, and the ledger holds these.

    Args:
        folder: The run folder of the simulation.
        name: The agent; "": all of them.
        every: Status of every agent.

    Raises:
        AgentLostError: It failed.
        AgentLeftError: It is not there any more.
        PeerLostError: It has published, and all that it lacks are edges with peers that have failed.
    """
    agents = [agent for agent in every if name in ("", agent.name)]
    for agent in agents:
        if agent.failure:
            raise AgentLostError(agent.failure)
    if not agents:
        raise AgentLeftError(name)
    unsettled = [agent.name for agent in agents if not agent.settled]
    failures = {agent.name: agent.failure for agent in every if agent.failure}
    waits_in_vain = bool(failures) and all(agent.checkpoint for agent in agents)
    if unsettled and not waits_in_vain:
        return False
    with contextlib.closing(Ledger(folder.ledger_file, read_only=True)) as ledger:
        topology = folder.config().negotiation.topology
        missing = ledger.missing_edges([agent.name for agent in agents], topology)
        peers = partners_of(ledger.topology(topology), ledger.members())
    if unsettled and all(failures.keys() & {*pair} for pair in missing):
        _raise_lost_peer(unsettled, peers, failures)
    return not unsettled and not missing


def _raise_lost_peer(
    names: Sequence[str], peers: Mapping[str, frozenset[str]], failures: Mapping[str, FailureRecord]
) -> None:
    """Raise PeerLostError if a peer of one of these agents has failed."""
    for name in names:
        for peer in sorted(peers.get(name, frozenset()) & failures.keys()):
            raise PeerLostError(name, failures[peer])

r"""Which agents others confirm and which they contradict: trust, from the records of a ledger alone.

Two agents *confirm* each other if both have accepted the edge from the other, and what goes there and back
by the two maps returns. They *contradict* each other if

- both accepted, and it does not return, or
- one accepted, and the other measured that no direction is shared, or an R2 of zero or less where the first
  claims more than a half, or
- most walks over a third agent come back wrong (`alignment.consistency`).

All other pairs are undecided: agents that share nothing are no contradiction. A contradiction has two sides,
and a majority decides whose it is: an agent is flagged if at least two others contradict it, and more of them
than confirm it. The agent with the largest excess is flagged first, and does not count for or against the
others. One that is proved to have embedded a tick in two ways (`agents.protocol.evidence`) is flagged in any
case.

With C the agents that confirm agent i, X those that contradict it, and o_ij the share of the anchors of i
that the fit of j left out because they contradict the others,

    trust_i = sum_{j in C} (1 - o_ij) / (|C| + |X|)

It is unknown where both are empty, as for two agents that have not negotiated, and 0 for a proved liar.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from alignment.consistency import contradicted, round_trips, stack_maps
from alignment.linear_map import LinearMap
from alignment.natural_order import natural_key
from alignment.status import Status
from social_jepa.records import EdgeRecord, EventRecord, TrustRecord, proof_reason, replace

Pair = tuple[str, str]
DENIED: Final = 0.5  # R2 by which honest agents never differ in what they measure both ways


def trust_records(
    names: Iterable[str], edges: Sequence[EdgeRecord], maps: Mapping[str, LinearMap],
    proofs: Iterable[EventRecord] = (),
) -> tuple[TrustRecord, ...]:  # fmt: skip
    """Return the trust of each agent, in natural order of the names.

    Args:
        names: The agents.
        edges: Newest edge of each ordered pair.
        maps: Maps by "source/target/shared".
        proofs: Events of the type ``equivocation``.
    """
    proved = {proof.details["agent"]: proof for proof in proofs}
    everyone = sorted(names, key=natural_key)
    found = {name: _proved(name, proved[name]) for name in everyone if name in proved}
    by_pair = {(edge.source, edge.target): edge for edge in edges}
    accepted = {
        (edge.source, edge.target): maps[f"{edge.source}/{edge.target}/shared"]
        for edge in edges
        if edge.status is Status.ACCEPTED
    }
    left = [name for name in everyone if name not in found]
    while True:
        confirms, contradicts = _judge(left, by_pair, accepted)
        excess = contradicts.sum(1) - confirms.sum(1)
        flagged = (contradicts.sum(1) > 1) & (excess > 0)
        if not flagged.any():
            break
        for place in (flagged & (excess == excess.max())).nonzero().flatten().tolist():
            found[left[place]] = _record(place, left, confirms, contradicts, by_pair, True)
        left = [name for name in left if name not in found]
    for place, name in enumerate(left):
        found[name] = _record(place, left, confirms, contradicts, by_pair, False)
    return tuple(found[name] for name in everyone)


def refuse_untrusted(edges: Iterable[EdgeRecord], trust: Iterable[TrustRecord]) -> list[EdgeRecord]:
    """Return edges, each accepted one refused that leads from or to a flagged agent."""
    reasons = {
        record.agent: f"{record.agent} is not trusted: {record.reason}" for record in trust if record.flagged
    }

    def judged(edge: EdgeRecord) -> EdgeRecord:
        reason = reasons.get(edge.source) or reasons.get(edge.target)
        if edge.status is not Status.ACCEPTED or not reason:
            return edge
        return replace(edge, status=Status.REFUSED, reason=reason)

    return [judged(edge) for edge in edges]


def _judge(
    names: Sequence[str], edges: Mapping[Pair, EdgeRecord], accepted: Mapping[Pair, LinearMap]
) -> tuple[Tensor, Tensor]:
    """Return which pairs confirm and which contradict each other, bool [N, N] each, symmetric."""
    maps = stack_maps(names, accepted)
    denied = torch.zeros(len(names), len(names), dtype=torch.bool)
    for i, j in maps.present.nonzero().tolist():
        source, target = names[i], names[j]
        denied[i, j] = _is_denied(edges[source, target], edges.get((target, source)))
    both = maps.present & maps.present.T
    contradicts = (both & ~(round_trips(maps) & ~contradicted(maps))) | denied | denied.T
    return both & ~contradicts, contradicts


def _is_denied(accepted: EdgeRecord, other: EdgeRecord | None) -> bool:
    """Return whether the edge the other way measured what an accepted edge rules out."""
    if other is None or other.status is not Status.REFUSED or not other.heldout:
        return False
    return other.shared_dim == 0 or (accepted.r2_shared or 0.0) - max(other.r2_shared or 0.0, 0.0) > DENIED


def _record(
    place: int, names: Sequence[str], confirms: Tensor, contradicts: Tensor, edges: Mapping[Pair, EdgeRecord],
    flagged: bool,
) -> TrustRecord:  # fmt: skip
    name = names[place]
    peers = [names[j] for j in confirms[place].nonzero().flatten().tolist()]
    against = int(contradicts[place].sum())
    kept = sum(_kept(edges[name, peer]) for peer in peers)
    reason = f"{against} agents contradict it and {len(peers)} confirm it" if flagged else ""
    return TrustRecord(
        agent=name, trust=kept / (len(peers) + against) if peers or against else None,
        confirmed=len(peers), contradicted=against, flagged=flagged, reason=reason,
    )  # fmt: skip


def _kept(edge: EdgeRecord) -> float:
    """Return the share of the anchors of a source that the fit did not leave out."""
    return edge.anchors / max(1, edge.anchors + edge.outliers)


def _proved(name: str, proof: EventRecord) -> TrustRecord:
    reason = proof_reason(proof)
    return TrustRecord(agent=name, trust=0.0, confirmed=0, contradicted=0, flagged=True, reason=reason)

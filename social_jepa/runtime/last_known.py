"""The agents of a simulation as its ledger has them, for when its supervisor does not answer."""

import contextlib

from social_jepa.records import AgentStatus
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

UNKNOWN = "unknown"  # phase of an agent that nothing was heard of


def last_known(folder: RunFolder) -> list[AgentStatus]:
    """Return the members of a simulation, each with its newest published model and phase `UNKNOWN`."""
    with contextlib.closing(Ledger(folder.ledger_file, read_only=True)) as ledger:
        members, published, incarnations = ledger.members(), ledger.agents(), ledger.incarnations()
        flagged = _flagged(ledger) if ledger.edge_scores() else {}
    return [
        AgentStatus(
            name=member.name, kind=member.kind, pose=member.pose, teacher=member.teacher,
            incarnation=incarnations.get(member.name, 0), phase=UNKNOWN, waiting_for="", failure=None,
            note="",
            progress=None, settled=False, checkpoint=model.checkpoint if model else "",
            node=model.node if model else "", device=model.device if model else "", pid=0,
            flagged=flagged.get(member.name, ""),
        )
        for member in members
        for model in [published.get(member.name)]
    ]  # fmt: skip


def _flagged(ledger: Ledger) -> dict[str, str]:
    """Return why agents are flagged, by name."""
    # this imports torch, which a run without edges spares
    from social_jepa.graph.judged_edges import EdgeReader, flag_reasons

    return flag_reasons(EdgeReader(ledger))

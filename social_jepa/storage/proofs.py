"""Evidence in a ledger that agents contradicted themselves; this loads no torch."""

from social_jepa.config.time_parsing import FOREVER
from social_jepa.records import proof_reason
from social_jepa.storage.ledger import Ledger

EQUIVOCATION = "equivocation"  # an event


def proved_agents(ledger: Ledger, as_of: float = FOREVER) -> dict[str, str]:
    """Return why agents are flagged, by name: there is evidence that they contradicted themselves."""
    proofs = ledger.events_of(EQUIVOCATION, as_of=as_of)
    return {proof.details["agent"]: proof_reason(proof) for proof in proofs}

"""Requests about members of a simulation that cannot be granted; see `errors`."""

import difflib
from dataclasses import dataclass

from social_jepa.runtime.agent_notes import list_names


class MembershipError(ValueError):
    """An agent cannot join, move or leave."""


@dataclass(eq=False, repr=False)
class UnknownMemberError(MembershipError):
    """No present agent has a name.

    Attributes:
        name: The name.
        present: Names of the present agents.
        left: Whether an agent had that name and has left.
    """

    name: str
    present: tuple[str, ...]
    left: bool = False

    def __str__(self) -> str:
        if self.left:
            return f"{self.name} has left: choose one of {list_names(self.present)}"
        near = difflib.get_close_matches(self.name, self.present, n=1)
        suggestion = f"did you mean {near[0]}?" if near else f"choose one of {list_names(self.present)}"
        return f"no agent is named {self.name!r}: {suggestion}"


@dataclass(eq=False, repr=False)
class InvalidNameError(MembershipError):
    """A name that no agent may have.

    Attributes:
        name: The name.
        reserved: Whether it names another part of every simulation, instead of being malformed.
    """

    name: str
    reserved: bool = False

    def __str__(self) -> str:
        if self.reserved:
            return f"{self.name} is reserved: choose another name"
        return f"{self.name!r} is not a valid name: up to 64 letters, digits, dots, dashes and underscores"


@dataclass(eq=False, repr=False)
class NameTakenError(MembershipError):
    """A name that an agent has or had.

    Attributes:
        name: The name.
        present: Whether that agent is present; otherwise it has left, and its edges are in the ledger.
    """

    name: str
    present: bool

    def __str__(self) -> str:
        reason = "exists" if self.present else "belonged to an agent that left, with edges in the ledger"
        return f"the name {self.name} {reason}: choose another, or give none"


@dataclass(eq=False, repr=False)
class LastAgentError(MembershipError):
    """The last agent of a simulation cannot be removed.

    Attributes:
        name: Its name.
    """

    name: str

    def __str__(self) -> str:
        return f"{self.name} is the last agent: to end the simulation, take it down"

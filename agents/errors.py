"""Errors of an actor that its callers tell apart; importing this loads no torch."""


class UnknownAgentError(LookupError):
    """A call for an agent that does not live in the called actor.

    Attributes:
        agent: Its name.
    """

    def __init__(self, agent: str) -> None:
        """Keep the name."""
        super().__init__(agent)
        self.agent = agent

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.agent} does not live in this actor"

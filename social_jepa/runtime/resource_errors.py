"""A machine or a cluster that has too little memory, disk or room for a run; see `errors`."""

from dataclasses import dataclass


@dataclass(eq=False, repr=False)
class NotEnoughMemoryError(ValueError):
    """Agents that do not fit into the memory of this machine.

    Attributes:
        agents: How many.
        each: Bytes that each needs at least.
        available: Bytes that can be had.
        base: Bytes that Ray and the supervisor need beside them; 0 where they run already.
        frames: Whether the frames of their replay buffers are among these bytes.
    """

    agents: int
    each: int
    available: int
    base: int = 0
    frames: bool = False

    @property
    def fits(self) -> int:
        """How many such agents fit."""
        return max(0, self.available - self.base) // self.each

    def __str__(self) -> str:
        need = f"{self.agents} agents need" if self.agents > 1 else "another agent needs"
        if self.base:
            need = f"Ray and {self.agents} agent{'s' if self.agents > 1 else ''} need"
        return (
            f"{need} at least {(self.base + self.agents * self.each) / 2**30:.1f} GiB of memory, and "
            f"{self.available / 2**30:.1f} GiB can be had on this machine"
        )


@dataclass(eq=False, repr=False)
class NotEnoughDiskError(ValueError):
    """Agents whose replay buffers do not fit on the disk of this machine.

    Attributes:
        agents: How many.
        each: Bytes of each buffer.
        available: Bytes that are free.
        folder: Folder that the buffers would be kept in.
    """

    agents: int
    each: int
    available: int
    folder: str

    @property
    def fits(self) -> int:
        """How many such agents fit."""
        return self.available // self.each

    def __str__(self) -> str:
        buffers = (
            f"replay buffers of {self.agents} agents need" if self.agents > 1 else "a replay buffer needs"
        )
        return (
            f"{buffers} {self.agents * self.each / 2**30:.1f} GiB in {self.folder}, where "
            f"{self.available / 2**30:.1f} GiB are free"
        )


@dataclass(eq=False, repr=False)
class NoRoomError(ValueError):
    """An agent needs resources that a local Ray will never have.

    Attributes:
        agent: Its name.
        waiting_for: What it would wait for.
    """

    agent: str
    waiting_for: str

    def __str__(self) -> str:
        return f"{self.agent} cannot start, because it waits for {self.waiting_for}"

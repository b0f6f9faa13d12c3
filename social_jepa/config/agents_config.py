"""Who takes part in a run, as its settings say."""

import math
import re
from dataclasses import dataclass, field

from agents.settings import check_kind
from env.camera import RingConfig

MAX_AGENTS = 64


@dataclass(frozen=True)
class AgentsConfig:
    """Who takes part."""

    count: int = 4  # how many agents, named agent-0, agent-1, ...
    kind: str = "jepa"  # kind of world model: jepa, seq_jepa, p_jepa, or package.module:Class of one's own
    kinds: tuple[str, ...] = ()  # kind of each agent, for a mixed society; empty: all are of agents.kind
    poses: tuple[str, ...] = ()  # "x,y,z,yaw,pitch[,fov]" for each agent; empty: places on the ring
    ring: RingConfig = field(default_factory=RingConfig)
    device: str = "auto"  # auto: the GPU that Ray grants, else the CPU
    threads: int = 0  # CPU threads of each agent; 0: its share of the machine's cores
    gpus: float = 0.0  # GPUs that each agent reserves; 0: its share of those there are

    @property
    def common_kind(self) -> str:
        """Kind of a newcomer that names none: that of all others, if they are alike."""
        return self.kinds[0] if len(set(self.kinds)) == 1 else self.kind

    def __post_init__(self) -> None:
        """Refuse a society that cannot be, by name."""
        for kind in (self.kind, *self.kinds):
            check_kind(kind)
        if not 2 <= self.count <= MAX_AGENTS:
            raise ValueError(
                f"agents.count={self.count}: a translation needs at least 2 agents, at most {MAX_AGENTS}"
            )
        for name in ("poses", "kinds"):
            named = len(getattr(self, name))
            if named and named != self.count:
                raise ValueError(
                    f"agents.{name} names {named} {name} for agents.count={self.count} agents: "
                    "name one for each"
                )
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise ValueError(f"agents.device={self.device!r}: choose auto, cpu, cuda, cuda:<number> or mps")
        for name in ("threads", "gpus"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"agents.{name}={getattr(self, name)}: 0 for a fair share, or how many")

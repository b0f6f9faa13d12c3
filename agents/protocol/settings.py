"""Settings of the negotiation between peers, and the ticks that they reserve; this loads no torch."""

import math
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta

from agents.common.config_error import ConfigError
from agents.common.fields import CountOrZero, check_fields, one_of, settings_repr
from agents.protocol.topology import Topology

Precision = Literal["float32", "float16", "int8"]
NUMBER_BYTES: Final[dict[str, int]] = {"float32": 4, "float16": 2, "int8": 1}
SCALE_BYTES: Final = 4  # of each dimension in int8
MAX_NOISE: Final = 50  # standard deviations
NOISE_STEPS: Final = 1000  # a reply states its noise in thousandths of one
MIN_STRIDE: Final = 4  # adjacent ticks are nearly the same sample
MEMORY_ROWS: Final = 16  # rows of a pool within which a scene may still resemble itself
MAX_PEERS: Final = 1024  # of one agent
MEMORIES: Final = 12  # lengths of the memory that a pool spans at least: shifts within one are alike


def embedding_bytes(rows: int, dim: int, precision: Precision) -> int:
    """Return the bytes of embeddings [rows, dim]."""
    scales = dim * SCALE_BYTES if precision == "int8" else 0
    return scales + rows * dim * NUMBER_BYTES[precision]


@dataclass(frozen=True)
class NegotiationConfig:
    """How peers exchange anchors, fit maps and judge them."""

    anchors: Annotated[int, Meta(ge=4, le=65536)] = 256  # ticks that a map is fitted on
    heldout: Annotated[int, Meta(ge=4, le=65536)] = 512  # ticks that it is scored on, apart in time
    pool_ticks: Annotated[int, Meta(le=65536)] = 1024  # ticks of each stretch that every agent encodes
    pool_stride: CountOrZero = 0  # ticks between neighbors in a pool; 0: from how slow the scene is
    dims: Annotated[int, Meta(ge=0, le=4096)] = 0  # leading dimensions to ask for and to send; 0: all
    precision: Annotated[Precision, one_of(*get_args(Precision))] = "float32"  # asked for, and finest sent
    noise: Annotated[float, Meta(ge=0, le=MAX_NOISE)] = 0.0  # added to what is sent, in standard deviations
    # seed of a public scene whose frames are anchors, in place of those of the run's own scene; -1: none
    anchor_seed: Annotated[int, Meta(ge=-1, lt=2**62)] = -1
    ridge: Annotated[float, Meta(ge=1e-9)] = 4.0  # weight of |W|^2 in a map of all dimensions, in anchors
    max_drift: Annotated[float, Meta(gt=0, le=1)] = 0.05  # share of variance; beyond, a model is republished
    # numbers of anchors that the quality of a map is measured at; without any, an edge costs half
    budgets: tuple[Annotated[int, Meta(ge=2, le=65536)], ...] = (2, 4, 8, 16, 32, 64, 128, 256, 512)
    topology: str = "all"  # which pairs negotiate: all, ring, k_regular(K), hubs(H) or tree

    __repr__ = settings_repr

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot work; the message names the setting."""
        check_fields(self)
        try:
            Topology.parse(self.topology)
        except ValueError as error:
            raise ConfigError(str(error), "topology", self.topology) from error
        for name in ("anchors", "heldout"):
            if getattr(self, name) > self.pool_ticks:
                raise ConfigError(
                    f"choose from 4 to negotiation.pool_ticks={self.pool_ticks} "
                    "(more anchors than ticks need a larger negotiation.pool_ticks)",
                    name,
                    getattr(self, name),
                )

    @property
    def public_seed(self) -> int | None:
        """Seed of the public scene whose frames are anchors; None: they are those of the run's own scene."""
        return self.anchor_seed if self.anchor_seed >= 0 else None

    def sent_dims(self, dim: int) -> int:
        """Return the number of leading dimensions that is asked for, and sent at most, of so many."""
        return min(self.dims, dim) if self.dims else dim

    def stride(self, memory: int) -> int:
        """Return the ticks between neighbors in a pool of a scene that forgets within so many ticks.

        A pool of a slow scene reaches further, so that it spans a dozen memories at least.
        """
        rows = max(1, min(MEMORY_ROWS, self.pool_ticks // MEMORIES))
        return self.pool_stride or max(MIN_STRIDE, math.ceil(memory / rows))

    def memory_rows(self, memory: int) -> int:
        """Return the rows of a pool after which a scene that forgets within so many ticks has done so.

        Raises:
            ConfigError: The pool is too short to be shifted in time by more than that.
        """
        rows = max(1, math.ceil(memory / self.stride(memory)))
        least = MEMORIES * rows
        if self.pool_ticks < least:
            raise ConfigError(
                f"the scene remembers {memory} ticks, {rows} rows of a pool, which is shifted in time by "
                f"more: choose at least {least}, or a larger negotiation.pool_stride",
                "pool_ticks", self.pool_ticks,
            )  # fmt: skip
        return rows


def tick_ranges(config: NegotiationConfig, gap: int, memory: int) -> tuple[range, range, int]:
    """Return (ticks to score on, ticks to fit on, first tick of training): three stretches apart in time.

    Args:
        config: Sizes of the two anchor pools.
        gap: Ticks between two stretches; large enough for the scene to decorrelate.
        memory: Ticks after which the scene no longer resembles itself.
    """
    stride = config.stride(memory)
    length = config.pool_ticks * stride
    fit = length + gap
    return range(0, length, stride), range(fit, fit + length, stride), fit + length + gap

"""The wire protocol: bytes and seconds of negotiation per edge, against anchors, pixels and weights."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.messages import AnchorReply
from agents.protocol.negotiation import Negotiation
from agents.protocol.settings import NegotiationConfig
from alignment.anchors import AnchorSet
from alignment.edge_score import budget_curve, score_edge
from alignment.held_out import HeldOut
from benchmarks.harness import BenchmarkError, Effort, Metric, alternate, at_most, log
from benchmarks.in_memory import negotiate_in_memory, open_channels
from benchmarks.processes import Worker, run_project
from env.scene import SceneConfig

NAMES = tuple(f"agent-{index}" for index in range(4))
CORE = 6
MEMORY_ROWS = 5  # of the default scene, which remembers 20 ticks
MAX_SECONDS = 3.0  # for the twelve edges under Ray
SHORT_TRAINING = (  # long enough that every agent finds a core
    "scene.renderer=toy", "training.steps=40", "training.replay_ticks=2048", "training.core_eval_ticks=1024",
)  # fmt: skip


def pools(index: int, config: NegotiationConfig) -> AnchorPools:
    """Return planted anchors of an agent: the shared factors under a random rotation, then noise."""
    factors = np.random.default_rng(0).standard_normal((2 * config.pool_ticks, CORE))
    rng = np.random.default_rng([1, index])
    rotation = np.linalg.qr(rng.standard_normal((CORE, CORE)))[0]
    core = factors @ rotation + 0.2 * rng.standard_normal(factors.shape)
    rest = rng.standard_normal((2 * config.pool_ticks, ModelConfig().dim - CORE))
    vectors = torch.from_numpy(np.concatenate([core, rest], axis=1)).float()
    ids = tuple(range(2 * config.pool_ticks))
    anchors, heldout = (
        AnchorSet(ids[part], vectors[part], CORE)
        for part in (slice(config.pool_ticks), slice(config.pool_ticks, None))
    )
    return AnchorPools(anchors, heldout)


class FourAgents:
    """Four agents with planted embeddings that negotiate on request."""

    def __init__(self, pool_ticks: int, anchors: int, heldout: int) -> None:
        """Plant the embeddings of all agents."""
        torch.set_num_threads(1)
        self.config = NegotiationConfig(pool_ticks=pool_ticks, anchors=anchors, heldout=heldout)
        self.pools = {name: pools(index, self.config) for index, name in enumerate(NAMES)}

    def __call__(self, action: str) -> dict[str, float]:
        """Do one of negotiate, fit and seal; return seconds, and the largest edge's bytes if there is any.

        Args:
            action: Negotiate twelve edges, only fit and score them, or pass one edge's anchors twelve times.
        """
        began = time.perf_counter()
        sent: Counter[tuple[str, str]] = getattr(self, action)()
        return {"seconds": time.perf_counter() - began, "bytes": max(sent.values(), default=0)}

    def negotiate(self) -> Counter[tuple[str, str]]:
        """Let all pairs negotiate in memory; return the bytes of each edge, both ways."""
        sides = {}
        for index, name in enumerate(NAMES):
            info = PeerInfo(name, "scene", "jepa", "0" * 16, ModelConfig().dim, CORE, False)
            rng = np.random.default_rng([2, index])
            sides[name] = Negotiation(info, self.pools[name], self.config, rng, MEMORY_ROWS)
        channels = negotiate_in_memory(sides)
        assert all(edge.score for side in sides.values() for edge in side.edges.values())
        return sum((channel.sent for channel in channels.values()), Counter())

    def seal(self) -> Counter[tuple[str, str]]:
        """Sign, check and decode the anchors of twelve edges."""
        names = NAMES[:2]
        transport, channels = open_channels(names)
        source, target = (channels[name] for name in names)
        transport.listen(names[1], lambda data: target.receive(data))  # type: ignore[arg-type]
        vectors = self.pools[names[0]].anchors.vectors.numpy()
        rows = np.resize(vectors, (self.config.anchors + self.config.heldout, vectors.shape[1]))
        reply = AnchorReply(
            source=names[0], target=names[1], round=0, digest=bytes(16), rows=len(rows), dim=rows.shape[1],
            precision="float32", noise=0, data=rows.astype("<f4").tobytes(), metric=b"",
        )  # fmt: skip
        for _ in range(len(NAMES) * (len(NAMES) - 1)):
            source.send([reply])
            transport.run()
        return target.received

    def fit(self) -> Counter[tuple[str, str]]:
        """Fit and score the same maps without messages."""
        config, cores = self.config, (CORE, CORE)
        budgets = [pairs for pairs in config.budgets if pairs <= config.anchors]
        for source, target in ((a, b) for a in NAMES for b in NAMES if a != b):
            a, b = self.pools[source], self.pools[target]
            fit = (a.anchors.vectors[: config.anchors], b.anchors.vectors[: config.anchors])
            rows = torch.arange(config.heldout)
            held = HeldOut(a.heldout.vectors[rows], b.heldout.vectors, rows, memory=1)
            generator = torch.Generator().manual_seed(0)
            _, core, _ = score_edge(fit, held, cores, ridge=config.ridge)
            budget_curve(fit, held, budgets, cores, core, generator, config.ridge)
        return Counter()


def byte_metrics(sent: float, config: NegotiationConfig) -> list[Metric]:
    """Return the bytes of an edge beside those of its anchors, their pixels and a model."""
    rows, model = config.anchors + config.heldout, ModelConfig()
    size = SceneConfig().frame_size
    anchors = 4 * rows * model.dim
    weights = 4 * sum(each.numel() for each in build_world_model("jepa", model, size, (0,)).parameters())
    return [
        Metric(
            "bytes of an edge, both ways", sent, "bytes", f"{rows} anchors of {model.dim} floats", anchors,
            at_most(1.02 * anchors + 1024),
        ),
        Metric("bytes of an edge, both ways", sent, "bytes", f"{rows} frames", rows * size * size * 3),
        Metric("bytes of an edge, both ways", sent, "bytes", "weights of one model", weights),
    ]  # fmt: skip


def memory_metrics(effort: Effort) -> list[Metric]:
    """Measure the negotiation of four agents in one process."""
    config = NegotiationConfig()
    names = ("pool_ticks", "anchors", "heldout")
    sizes: dict[str, Any] = {name: max(16, effort.of(getattr(config, name))) for name in names}
    config = replace(config, **sizes)
    with Worker("benchmarks.speed.wire:FourAgents", {"OMP_NUM_THREADS": "1"}, **sizes) as agents:
        found = alternate(
            {
                "negotiate": lambda: agents(action="negotiate"), "fit": lambda: agents(action="fit"),
                "seal": lambda: agents(action="seal"),
            },
            effort.rounds,
        )  # fmt: skip
    negotiated = found["negotiate"]
    duration = Metric(
        "12 edges negotiated in memory", negotiated["seconds"], "s", "fitted and scored without messages",
        found["fit"]["seconds"],
    )  # fmt: skip
    rows = config.anchors + config.heldout
    sealed = Metric(
        f"{rows} x {ModelConfig().dim} floats signed, checked and decoded, 12 times",
        found["seal"]["seconds"], "s", "fits of 12 edges", found["fit"]["seconds"],
        at_most(0.05, of_ratio=True),
    )  # fmt: skip
    return [*byte_metrics(negotiated["bytes"], config), sealed, duration]


def ray_metric(in_memory: float, settings: Sequence[str]) -> Metric:
    """Measure the negotiation of four Ray actors after short training."""
    log("  four actors under Ray")
    run = run_project([*SHORT_TRAINING, *settings])
    unfinished = [edge for edge in run.document["edges"] if not edge["anchors"]]
    if unfinished:
        raise BenchmarkError(f"an edge was not negotiated to its end: {unfinished[0]['reason']}")
    return Metric(
        f"{len(run.document['edges'])} edges negotiated under Ray", run.document["seconds"]["negotiate"], "s",
        "in memory, one process", in_memory, at_most(MAX_SECONDS),
    )  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Measure bytes and seconds."""
    found = memory_metrics(effort)
    return [*found, ray_metric(found[-1].value, effort.settings)]

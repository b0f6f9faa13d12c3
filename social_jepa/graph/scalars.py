"""Losses of agents and scores of every edge over time as scalars for TensorBoard and W&B.

TensorBoard is an optional dependency, imported when its files are written.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from agents.common.files import write_atomically
from alignment.natural_order import natural_key
from social_jepa.records import AgentRecord, EdgeRecord
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

EDGE_SCORES: Final = ("r2_shared", "r2", "shared_dim", "null_correlation", "retrieval_at_1", "bytes")
STEP, VERSION = "step", "version"  # what the step of a scalar counts


class Scalar(NamedTuple):
    """One value of one curve.

    Attributes:
        tag: Name of the curve: loss/AGENT, or SCORE/SOURCE/TARGET.
        axis: What the step counts: "step" of training, or "version" of an edge from 1.
        step: The training step, or the number of the edge's version.
        value: The value, finite.
        time: Seconds since the epoch, when the ledger recorded it; all losses of an agent have the time at
            which it published them.
    """

    tag: str
    axis: str
    step: int
    value: float
    time: float


def read_scalars(folder: RunFolder) -> list[Scalar]:
    """Return the scalars of a run, up or not: losses by agent, then scores of edges by time.

    Losses are those of each agent's newest published model: of every step, or of the newest ones of a long
    training run. Every version of an edge has its scores; one that was not measured is left out.

    Raises:
        LedgerError: The ledger is missing or damaged.
    """
    with contextlib.closing(Ledger(folder.ledger_file, read_only=True)) as ledger:
        agents = sorted(ledger.agents().values(), key=lambda agent: natural_key(agent.name))
        pairs = sorted(ledger.pairs(), key=lambda pair: tuple(map(natural_key, pair)))
        edges = [
            scalar
            for pair in pairs
            for version, edge in enumerate(ledger.history(*pair), start=1)
            for scalar in _of_edge(edge, version)
        ]
    losses = [scalar for agent in agents for scalar in _of_agent(agent)]
    return losses + sorted(edges, key=lambda scalar: scalar.time)


def _of_agent(agent: AgentRecord) -> Iterator[Scalar]:
    first = agent.steps - len(agent.losses) + 1
    for step, loss in enumerate(agent.losses, start=first):
        if math.isfinite(loss):
            yield Scalar(f"loss/{agent.name}", STEP, step, loss, agent.published_at)


def _of_edge(edge: EdgeRecord, version: int) -> Iterator[Scalar]:
    for score in EDGE_SCORES:
        value = getattr(edge, score)
        measured = score == "bytes" or edge.heldout > 0
        if value is not None and measured:
            yield Scalar(f"{score}/{edge.source}/{edge.target}", VERSION, version, float(value), edge.time)


def write_tensorboard(scalars: Sequence[Scalar], folder: Path) -> None:
    """Write scalars as an event file in a folder, for ``tensorboard --logdir FOLDER``.

    Raises:
        ImportError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ImportError("event files need TensorBoard: pip install 'social-jepa[tensorboard]'") from error
    with SummaryWriter(str(folder)) as writer:
        for scalar in scalars:
            writer.add_scalar(scalar.tag, scalar.value, scalar.step, walltime=scalar.time)


def write_history(scalars: Sequence[Scalar], path: Path) -> None:
    """Write scalars as lines of JSON, each a row of W&B's history: a dict that ``wandb.log`` takes.

    All scalars of one step of training, or of one version at one time, are one row. ``_step`` counts the
    rows, as W&B needs it to rise; the axis of a row is its field "step" or "version".
    """
    ordered = sorted(scalars, key=_row_of)
    rows = [
        {"_step": number, "_timestamp": max(scalar.time for scalar in group), axis: step}
        | {scalar.tag: scalar.value for scalar in group}
        for number, ((axis, _, step), group) in enumerate(
            (key, list(found)) for key, found in groupby(ordered, key=_row_of)
        )
    ]
    write_atomically(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())


def _row_of(scalar: Scalar) -> tuple[str, float, int]:
    return scalar.axis, scalar.time if scalar.axis == VERSION else 0.0, scalar.step

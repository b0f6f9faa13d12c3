"""Small deterministic decision processes as tables, and the bisimulation classes of their states."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Mdp:
    """A deterministic process with finitely many states.

    Attributes:
        name: Name of its structure.
        successors: int64 [S, A], the state f(s, a) that each action leads to.
        values: float64 [S], p(s): the target of the auxiliary head, here the reward of a state.
    """

    name: str
    successors: np.ndarray
    values: np.ndarray


def bisimulation(mdp: Mdp) -> np.ndarray:
    """Return the class of each state, int64 [S]; states of one class are bisimilar.

    The coarsest partition in which the states of a class share p, and every action leads from all of them to
    one class: classes are split by the classes of their successors until none can be split (partition
    refinement, Moore 1956). States of different classes therefore have different p now or after some sequence
    of at most S - 2 actions.
    """
    classes = np.unique(mdp.values, return_inverse=True)[1]
    while True:
        signatures = np.column_stack([classes, classes[mdp.successors]])
        finer = np.unique(signatures, axis=0, return_inverse=True)[1].reshape(-1)
        if finer.max() == classes.max():
            return classes
        classes = finer


def random_process(rng: np.random.Generator, states: int, actions: int, name: str = "random") -> Mdp:
    """Return a process with random successors; p is 1 in about a third of the states, 0 in the others.

    Raises:
        ValueError: Fewer than two states, or no action.
    """
    if states < 2 or actions < 1:
        raise ValueError(f"a process needs at least two states and one action, got {states} and {actions}")
    values = np.zeros(states)
    values[rng.permutation(states)[: max(1, states // 3)]] = 1
    return Mdp(name, rng.integers(states, size=(states, actions)), values)


def chain(states: int) -> Mdp:
    """Return a line with steps left and right; p is 1 only at its right end."""
    position = np.arange(states)
    moves = np.column_stack([position - 1, position + 1]).clip(0, states - 1)
    return Mdp("chain", moves, (position == states - 1).astype(np.float64))


def cycle(states: int, period: int) -> Mdp:
    """Return a ring with a step forward and no step; p is 1 at each multiple of the period.

    If the period divides the number of states, states that are a period apart are bisimilar.
    """
    position = np.arange(states)
    moves = np.column_stack([(position + 1) % states, position])
    return Mdp("cycle", moves, (position % period == 0).astype(np.float64))


def grid(rows: int, columns: int) -> Mdp:
    """Return a room with steps along both axes; p is 1 in the last corner."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    moves = [
        (y + dy).clip(0, rows - 1) * columns + (x + dx).clip(0, columns - 1)
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1))
    ]
    return Mdp("grid", np.column_stack(moves), ((y == rows - 1) & (x == columns - 1)).astype(np.float64))


def duplicated(rng: np.random.Generator, mdp: Mdp, copies: int) -> Mdp:
    """Return a process in which each state has several copies, and an action leads to a random copy.

    Copy k of state s is row ``k * S + s``; copies of a state are bisimilar.
    """
    states, actions = mdp.successors.shape
    copy = rng.integers(copies, size=(copies * states, actions))
    return Mdp(
        f"{mdp.name} twice" if copies == 2 else f"{mdp.name} times {copies}",
        copy * states + np.tile(mdp.successors, (copies, 1)), np.tile(mdp.values, copies),
    )  # fmt: skip


def sample_processes(rng: np.random.Generator, random: int, max_states: int = 12) -> list[Mdp]:
    """Return random processes of 6 to ``max_states`` states, and twelve structured ones."""
    sampled = [
        random_process(rng, int(rng.integers(6, max_states + 1)), int(rng.integers(2, 4)))
        for _ in range(random)
    ]
    return [
        *sampled, chain(6), chain(8), chain(10), cycle(7, 7), cycle(9, 3), cycle(12, 4),
        grid(2, 4), grid(3, 3),
        duplicated(rng, chain(5), 2), duplicated(rng, cycle(6, 6), 2),
        duplicated(rng, random_process(rng, 6, 2), 2), duplicated(rng, random_process(rng, 4, 3), 3),
    ]  # fmt: skip

"""Resume: an agent that is killed half-way learns, to the last digit, what it would have learned anyway."""

import os
import signal
from collections.abc import Sequence

from benchmarks.harness import BenchmarkError, Effort, Metric, at_most, say
from benchmarks.soak.all_parts import TOY, by_name, is_back, living, until
from social_jepa.runtime.simulation import Simulation

STEPS = 400  # of the whole course
VICTIM = "agent-0"


def settings(steps: int, effort: Effort) -> tuple[str, ...]:
    """Return the settings of both simulations: equal in all that a seed decides."""
    course = (f"training.steps={steps}", f"training.checkpoint_every={max(1, steps // 40)}")
    return (*TOY, "agents.device=cpu", *course, *effort.settings)


def losses(simulation: Simulation) -> list[float]:
    """Return what the agent lost at every step of its course, once it has published."""
    until(f"{VICTIM} to publish", lambda: by_name(simulation)[VICTIM]["checkpoint"])
    return list(simulation.results().agent(VICTIM).losses)


def kill_at(simulation: Simulation, step: int) -> int:
    """Kill the agent once it has come to a step, and return the step at which it was last seen."""

    def there() -> int | None:
        progress = by_name(simulation)[VICTIM]["progress"]
        return progress["step"] if progress and progress["step"] >= step else None

    seen: int = until(f"{VICTIM} at step {step}", there, every=0.02)
    agent = by_name(simulation)[VICTIM]
    if agent["checkpoint"]:
        raise BenchmarkError(f"{VICTIM} was done before it could be killed: lengthen training.steps")
    os.kill(agent["pid"], signal.SIGKILL)
    until(f"{VICTIM} back", lambda: is_back(by_name(simulation)[VICTIM], agent["incarnation"]))
    return seen


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest difference of two sequences of losses.

    Raises:
        BenchmarkError: They are not equally long.
    """
    if len(one) != len(other):
        raise BenchmarkError(f"{len(one)} losses undisturbed, {len(other)} after a kill")
    return max(abs(mine - theirs) for mine, theirs in zip(one, other, strict=True))


def figures(effort: Effort) -> list[Metric]:
    """Train twice with one seed, the second time with a kill half-way."""
    steps = max(40, effort.of(STEPS))
    with living(settings(steps, effort)) as simulation:
        whole = losses(simulation)
    with living(settings(steps, effort)) as simulation:
        seen = kill_at(simulation, steps // 2)
        say(f"  {VICTIM} killed at step {seen} of {steps}")
        broken = losses(simulation)
    fell = whole[0] - whole[-1]
    return [
        Metric(
            f"largest difference of {len(whole)} losses, killed at step {seen}", difference(whole, broken),
            "", "by how much the loss fell", fell, at_most(0),
        )
    ]  # fmt: skip

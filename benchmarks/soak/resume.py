"""Resume: largest difference between the losses of an agent killed half-way and an undisturbed one."""

import os
import signal
from collections.abc import Sequence

from benchmarks.harness import BenchmarkError, Effort, Metric, at_most, log
from benchmarks.soak.common import TOY, agents_by_name, has_recovered, simulation_up, wait_until
from social_jepa.runtime.simulation import Simulation

STEPS = 400  # of the training run
VICTIM = "agent-0"


def settings(steps: int, effort: Effort) -> tuple[str, ...]:
    """Return the settings of both simulations, deterministic on the CPU."""
    overrides = (f"training.steps={steps}", f"training.checkpoint_every={max(1, steps // 40)}")
    return (*TOY, "agents.device=cpu", *overrides, *effort.settings)


def losses(simulation: Simulation) -> list[float]:
    """Wait until the agent has published and return its loss at every step."""
    wait_until(f"{VICTIM} to publish", lambda: agents_by_name(simulation)[VICTIM].checkpoint)
    return list(simulation.results().agent(VICTIM).losses)


def kill_at(simulation: Simulation, step: int) -> int:
    """Kill the agent once it has reached a step, and return its last reported step."""

    def reached() -> int | None:
        progress = agents_by_name(simulation)[VICTIM].progress
        return progress.step if progress and progress.step >= step else None

    last_step: int = wait_until(f"{VICTIM} at step {step}", reached, every=0.02)
    agent = agents_by_name(simulation)[VICTIM]
    if agent.checkpoint:
        raise BenchmarkError(f"{VICTIM} finished before it could be killed: raise training.steps")
    os.kill(agent.pid, signal.SIGKILL)
    wait_until(
        f"recovery of {VICTIM}",
        lambda: has_recovered(agents_by_name(simulation)[VICTIM], agent.incarnation),
    )
    return last_step


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest difference between two sequences of losses.

    Raises:
        BenchmarkError: Their lengths differ.
    """
    if len(one) != len(other):
        raise BenchmarkError(f"{len(one)} losses undisturbed, {len(other)} after a kill")
    return max(abs(mine - theirs) for mine, theirs in zip(one, other, strict=True))


def metrics(effort: Effort) -> list[Metric]:
    """Train twice with one seed, the second time with a kill half-way."""
    steps = max(40, effort.of(STEPS))
    with simulation_up(settings(steps, effort)) as simulation:
        undisturbed = losses(simulation)
    with simulation_up(settings(steps, effort)) as simulation:
        step = kill_at(simulation, steps // 2)
        log(f"  {VICTIM} killed at step {step} of {steps}")
        resumed = losses(simulation)
    decrease = undisturbed[0] - undisturbed[-1]
    return [
        Metric(
            f"largest difference of {len(undisturbed)} losses, killed at step {step}",
            difference(undisturbed, resumed),
            "", "decrease of the loss", decrease, at_most(0),
        )
    ]  # fmt: skip

r"""Do agents that learn alone agree up to a rotation, as closely as theory promises each of them by itself?

The theory, after Klindt, LeCun and Balestriero (arXiv:2605.26379). The world has n independent latents z,
each a Gaussian process with correlation rho from one tick to the next; an agent sees x = g(z), g injective.
Its whitened code h(x) then splits into Hermite polynomials of z, and those of degree k have correlation
rho^k. Let V = E|h|^2 and S the part of V from degree 2 on. Then

    E|h - h'|^2 >= 2 (1 - rho) (V - S) + 2 (1 - rho^2) S = 2 (1 - rho) V + 2 rho (1 - rho) S,

so S <= D = delta / (2 rho (1 - rho)), delta the loss in excess of 2 (1 - rho) V. The linear part is A z with
A A^T = cov h - cov of the rest, so |A A^T - I|_F <= eps + D with eps = |cov h - I|_F. Of A = P Q, P positive
and Q orthogonal, |A - Q|_F <= |A A^T - I|_F, because |s - 1| <= |s^2 - 1| for s >= 0. Together

    E|h - Q z|^2 <= b = D + (eps + D)^2,

the paper's bound. All in it is measured on one agent's code, given the world's rho, which an agent cannot
measure: with rho estimated from its own code, as E<h, h'> / V, delta would be 0 by construction. Two agents,
by the triangle: E|h_B - R h_A|^2 <= 2 (b_A + b_B) for the orthogonal R = Q_B Q_A^T; the best R does no worse.
Any two white codes come as close as 2 n, so that a bound above that says nothing.

Protocol. *rho 0.3 ... 0.95*: the theory's own setting. Three latents; three agents, each with a random
injective observation of its own (12 numbers), a perceptron, and fresh steps of the world, minimise
E|h - h'|^2 of codes that each batch whitens exactly. Codes are whitened, and R is fitted by Procrustes, on
held-out states; all is scored on others, after 0, 10, 30, 100, 300 and all steps. A scored state has two
successors with opposite noise, so that sampling blurs delta little.

*uniform*, *heavy-tailed*, *bouncing*: worlds outside the theory, for the same agents. Uniform: the
distribution function of the Gaussian processes. Heavy-tailed: autoregressive processes with a Laplace
distribution. Bouncing: objects between two walls, each with a speed of its own. The "bound" is computed as
if nothing were wrong, with the linear correlation of the latents as rho.

*scene*: agents of a run, four cameras around three objects. Pixels hide part of the state, so that it too
lies outside the theory. The code is each agent's core, on ticks after its training; rho is the scene's rate.

*symmetry*: without whitening, theory allows less. For an invertible A, (h A, p(. A^-1) A) predicts as well
as (h, p): tried on a planted world without loss, and on an agent that learned to predict one, at each look
with a linear predictor, at the last look with a learned one too, and with condition numbers of A from 1 to
1000.

Null: R fitted on shuffled pairs. Baseline: the untrained agents.

Goals, set beforehand: every pair of the theory's own setting is inside the bound, at every rho and look; and
A changes the loss in whitened units by at most 1e-6 of it. Where the bound must fail there is no goal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.theory.agents import Sizes, States, embed_states, raise_agent
from social_jepa.experiments.theory.bound import score_agents, score_latents
from social_jepa.experiments.theory.metrics import figures, notes
from social_jepa.experiments.theory.plots import pictures
from social_jepa.experiments.theory.scene import run_scene
from social_jepa.experiments.theory.symmetry import run_symmetry
from social_jepa.experiments.theory.worlds import make_world

WORLD, HELDOUT, NULL = 101, 102, 103  # words; agents count from 0


@dataclass(frozen=True)
class Settings:
    """A run; the defaults are the full one."""

    rhos: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85, 0.95)
    outside: tuple[str, ...] = ("uniform", "heavy-tailed", "bouncing")
    outside_rho: float = 0.7  # of the worlds outside the theory that have one
    agents: int = 3
    sizes: Sizes = field(default_factory=Sizes)
    fitting: int = 20_000  # states that whiten codes and fit maps
    scoring: int = 10_000
    upbringing: AgentSetup = field(default_factory=AgentSetup)
    cameras: int = 4
    ticks: int = 2048  # consecutive ones that score in the scene

    def __post_init__(self) -> None:
        """Refuse what the theory says nothing of."""
        if not all(0 < rho < 1 for rho in (*self.rhos, self.outside_rho)):
            raise ValueError(f"correlations lie between 0 and 1, got {self.rhos} and {self.outside_rho}")
        if self.agents < 2 or self.cameras < 2:
            raise ValueError(f"a pair needs two agents, got {self.agents} and {self.cameras} cameras")


def parts(settings: Settings) -> Sequence[str]:
    """Return the names of the pieces of work, the longest first."""
    return ("scene", *(f"rho {rho:g}" for rho in settings.rhos), *settings.outside, "symmetry")


def run(part: str, seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Train the agents of one world and compare what they may differ by with what they do.

    Args:
        part: One of ``parts``.
        seed: Of the world and of the agents.
        settings: Of the run.
        say: Told how it goes.
    """
    if part == "scene":
        return run_scene(seed, settings.upbringing, settings.cameras, settings.ticks, say)
    if part == "symmetry":
        return run_symmetry(seed, settings.sizes, settings.scoring, say)
    own = part.startswith("rho ")
    rho = float(part.removeprefix("rho ")) if own else settings.outside_rho
    sizes = settings.sizes
    world = make_world("gaussian" if own else part, np.random.default_rng([seed, WORLD]), sizes.latents, rho)
    states = States.draw(world, np.random.default_rng([seed, HELDOUT]), settings.fitting, settings.scoring)
    agents = [raise_agent(world, seed, index, sizes, say) for index in range(settings.agents)]
    history = [[embed_states(agent, look, states) for agent in agents] for look in range(len(sizes.looks))]
    measures, arrays = score_agents(history, states.rho, [seed, NULL])
    more, curves = score_latents(history, states.truth, states.rho, [seed, NULL])
    say(f"{part}: measured over bound {measures['ratio'].score:.3f}")
    return ConditionResult(measures | more, arrays | curves, flops=sum(agent.flops for agent in agents))


EXPERIMENT = Experiment(
    name="theory",
    question="Do agents agree up to a rotation as closely as theory promises each of them by itself?",
    settings=Settings,
    quick={
        "sizes": {"steps": 150, "hidden": 32, "pairs": 256}, "fitting": 4000, "scoring": 4000,
        "upbringing": QUICK_SETUP, "cameras": 3, "ticks": 512,
    },
    conditions=parts,
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)  # fmt: skip

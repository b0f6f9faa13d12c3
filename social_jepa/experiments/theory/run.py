r"""Do separately trained agents agree up to a rotation, as closely as theory bounds each of them by itself?

The theory, after Klindt, LeCun and Balestriero (arXiv:2605.26379). The world has n independent factors z,
each a Gaussian process with autocorrelation rho at a lag of one tick; an agent observes x = g(z), g
injective. Its whitened latents h(x) then split into Hermite polynomials of z, and those of degree k have
autocorrelation rho^k. Let V = E|h|^2 and S the part of V from degree 2 on. Then

    E|h - h'|^2 >= 2 (1 - rho) (V - S) + 2 (1 - rho^2) S = 2 (1 - rho) V + 2 rho (1 - rho) S,

so S <= D = delta / (2 rho (1 - rho)), delta the loss in excess of 2 (1 - rho) V. The linear part is A z with
A A^T = cov h - cov of the rest, so |A A^T - I|_F <= eps + D with eps = |cov h - I|_F. Of A = P Q, P positive
and Q orthogonal, |A - Q|_F <= |A A^T - I|_F, because |s - 1| <= |s^2 - 1| for s >= 0. Together

    E|h - Q z|^2 <= b = D + (eps + D)^2,

the paper's bound. Everything in it is measured on the latents of one agent, given the world's rho, which an
agent cannot measure: with rho estimated from its own latents, as E<h, h'> / V, delta would be 0 by
construction. For two agents, by the triangle inequality: E|h_B - R h_A|^2 <= 2 (b_A + b_B) for the
orthogonal R = Q_B Q_A^T; the best R does no worse. Any two white latent spaces come as close as 2 n, so that
a bound above that is vacuous.

Protocol. *rho 0.3 ... 0.95*: inside the theory. Three factors; three agents, each with a random injective
observation of its own (dimension 12), a perceptron, and freshly drawn transitions of the world, minimize E|h
- h'|^2 of latents that each batch whitens exactly. Latents are whitened, and R is fitted by Procrustes, on
the fit states; everything is scored on other states, after 0, 10, 30, 100, 300 and all steps. A held-out
state has two successors with opposite noise, so that sampling adds little noise to delta.

*uniform*, *heavy-tailed*, *bouncing*: worlds outside the theory, for the same agents. Uniform: the
distribution function of the Gaussian processes. Heavy-tailed: autoregressive processes with a Laplace
distribution. Bouncing: objects between two walls, each with its own speed. The "bound" is computed as if the
assumptions held, with the linear autocorrelation of the factors as rho.

*scene*: agents of a run, four cameras around three objects. Pixels hide part of the state, so that the scene
is outside the theory, too. The latents are each agent's core, on ticks after its training; rho is the
autocorrelation of the scene.

*symmetry*: without whitening, theory guarantees less. For an invertible A, (h A, p(. A^-1) A) predicts as
well as (h, p): tested on a planted world without loss, and on an agent trained to predict one, at each
evaluation with a linear predictor, at the last evaluation with a trained one too, and with condition numbers
of A from 1 to 1000.

Null: R fitted on shuffled pairs. Baseline: the untrained agents.

Thresholds, set beforehand: every pair inside the theory is within the bound, at every rho and evaluation;
and A changes the loss in whitened units by at most 1e-6 of it. Where the bound must fail there is no
threshold.
"""

from collections.abc import Sequence

import numpy as np

from social_jepa.experiments.common.trained_agents import AgentSetup, ring_poses, train_agent, untrained_agent
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.theory.agents import States, encode_states, train_encoder
from social_jepa.experiments.theory.bound import WhiteLatents, score_agents, score_factors
from social_jepa.experiments.theory.describe import describe_methods
from social_jepa.experiments.theory.metrics import make_metrics, make_notes
from social_jepa.experiments.theory.plots import make_plots
from social_jepa.experiments.theory.settings import QUICK, Settings, TheoryStream
from social_jepa.experiments.theory.symmetry import run_symmetry
from social_jepa.experiments.theory.worlds import make_world


def list_conditions(settings: Settings) -> Sequence[str]:
    """Return the names of the conditions, the slowest first."""
    return ("scene", *settings.theory_conditions, *settings.outside_worlds, "symmetry")


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the agents of one condition, and compare the deviations between them with the bounds.

    Args:
        condition: One of ``list_conditions``.
        seed: Seed of the world and of the agents.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    if condition == "scene":
        return run_scene(seed, settings.setup, settings.cameras, settings.scene_ticks, log)
    if condition == "symmetry":
        return run_symmetry(seed, settings.encoder, settings.heldout_states, log)
    return run_world(condition, seed, settings, log)


def run_world(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Return the scores of the agents of a synthetic world, inside or outside the theory."""
    inside, encoder = condition.startswith("rho "), settings.encoder
    rho = float(condition.removeprefix("rho ")) if inside else settings.outside_rho
    kind = "gaussian" if inside else condition
    world = make_world(kind, TheoryStream.WORLD.rng(seed), encoder.factors, rho)
    rng = TheoryStream.HELDOUT.rng(seed)
    states = States.draw(world, rng, settings.fit_states, settings.heldout_states)
    agents = [train_encoder(world, seed, index, encoder, log) for index in range(settings.agents)]
    history = [
        [encode_states(agent, index, states) for agent in agents] for index in range(len(encoder.eval_steps))
    ]
    words = [seed, TheoryStream.NULL]
    scores, arrays = score_agents(history, states.rho, words)
    factor_scores, factor_arrays = score_factors(history, states.factors, states.rho, words)
    log(f"{condition}: deviation / bound {scores['deviation / bound'].score:.3f}")
    flops = sum(agent.flops for agent in agents)
    return ConditionResult(scores | factor_scores, arrays | factor_arrays, flops=flops)


def run_scene(seed: int, setup: AgentSetup, cameras: int, ticks: int, log: Log) -> ConditionResult:
    """Train agents of a run, and compute the bounds from their cores at ticks after training.

    Args:
        seed: Seed of the scene and of all randomness of the agents.
        setup: Setup of the agents; the bound uses the autocorrelation of its scene.
        cameras: Number of agents.
        ticks: Number of consecutive ticks that are scored; as many before them fit the maps.
        log: Receives progress messages.
    """
    poses = ring_poses(setup, cameras)
    latents, flops = [], 0.0
    for index in range(cameras):
        with untrained_agent(setup, seed, index, poses) as agent:
            flops += train_agent(agent, log)
            # The core was chosen on ticks right after training: fit and score on ticks behind those.
            chosen_on = agent.ticks.core_eval(agent.trainer.seen_stop)
            fit_start = int(chosen_on.max()) + 1 + agent.ticks.gap
            heldout_start = fit_start + ticks + agent.ticks.gap
            fit = agent.encode_core(range(fit_start, fit_start + ticks)).double()
            rows = agent.encode_core(range(heldout_start, heldout_start + ticks + 1)).double()
            latents.append(WhiteLatents(fit, rows[:-1], rows[1:]))
    rho = float(np.mean(setup.scene.autocorrelation))
    scores, arrays = score_agents([latents], rho, [seed, TheoryStream.SCENE_NULL])
    return ConditionResult(scores, arrays, flops=flops)


EXPERIMENT = Experiment(
    name="theory",
    question="Do separately trained agents agree up to a rotation as closely as theory bounds each alone?",
    settings=Settings,
    quick=QUICK,
    conditions=list_conditions,
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
)

"""The No Unhealthy Representation Collapse theorem on decision processes small enough to check every pair.

After Yu et al., arXiv:2509.12249: in a deterministic process, if T(E(o), a) = E(f(o, a)) and
P(E(o)) = p(o) everywhere, then observations that are not bisimilar (p differs now or after some actions) have
different latents. The converse does not hold: bisimilar ones may merge or not.

Question:
    Do latents of states that are not bisimilar ever merge while both losses are near zero: without
    intervention, from an initialization with equal latents, or under an adversarial search?

Protocol:
    Random processes, chains, rings, rooms and processes with duplicated states, of 6 to 12 states. The
    observation of a state is a one-hot or a random vector. E, P and, for each action, T are networks of two
    layers in float64, trained on all states and actions at once; the classes of bisimilar states are computed
    exactly (`mdp.bisimulation`). The initial latents have a spread (root mean square distance from their
    mean) of one. The theorem is about losses on all states, so all states are trained on and none is held
    out.

Conditions:
    joint                both losses, no stop-gradient, no target network.
    collapsed-start      joint, from an encoder with the same latent for all states and a T that is the
                         identity.
    detached             the head is trained, but its gradient does not reach the encoder.
    dynamics-only        no head; its latents are free to collapse.
    collapsed-dynamics   dynamics-only from the collapsed start, where its loss is zero: the null.
    search               joint, and the latents of a pair with equal p that is not bisimilar are attracted to
                         each other, by the logarithm of their squared distance, at every step with losses
                         below half the threshold: an adversarial search for a counterexample, each pair in
                         its own model.
    search-without-head  the same search without the head: its control.

Measured:
    processes below      processes whose worst squared errors, of T over states and actions and of P over
                         states, are both at most the threshold (without a head that trains E: of T only).
    counterexamples      pairs closer than `models.lower_bound`: the theorem's proof with errors, for the
                         errors and the Lipschitz constants of T and P at the latents found. It holds by
                         arithmetic: a count above zero is a mistake in the proof or in the code.
    merged               pairs not bisimilar but closer than the tolerance 2 sqrt(threshold), the sum of the
                         two largest errors of T below the threshold. The theorem excludes only a distance of
                         zero; that none comes this close is the hypothesis that can be refuted here.
    bisimilar merged     the same for bisimilar pairs, about which the theorem says nothing.

Thresholds, set before the full run:
    Worst squared errors of 1e-6, so a tolerance of 2e-3. Joint and collapsed-start: at least 20 processes
    below, no counterexample, no pair merged. Search: no counterexample, no searched pair merged. Controls
    without a head: all pairs merged, from either start, and 90 % of the searched ones.

Shown on the page: all scores of each condition; the null of joint scores is collapsed-dynamics, that of the
search is search-without-head.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from agents.common.streams import seeded
from social_jepa.experiments.collapse.describe import describe_methods
from social_jepa.experiments.collapse.mdp import sample_processes
from social_jepa.experiments.collapse.metrics import metrics, notes
from social_jepa.experiments.collapse.models import BatchedPJepa, Outputs, ProcessBatch
from social_jepa.experiments.collapse.plots import plots
from social_jepa.experiments.collapse.scores import pair_scores, search_scores
from social_jepa.experiments.collapse.search import AdversarialSearch, sample_search_pairs
from social_jepa.experiments.collapse.settings import (
    CONDITIONS,
    QUICK,
    SEARCHES,
    WITHOUT_HEAD,
    CollapseStream,
    Settings,
)
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the models of a condition and score their latents.

    Args:
        condition: One of CONDITIONS.
        seed: Seed of the processes, the observations, the weights and the searched pairs.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    batch, pairs = _build_batch(condition, seed, settings)
    model = _build_model(condition, batch, seed, settings)
    search = AdversarialSearch(pairs, settings) if condition in SEARCHES else None

    def batch_loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        outputs = model(batch, condition == "detached")
        dynamics = outputs.dynamics.sum((1, 2)) / batch.steps.sum((1, 2))
        head = outputs.head.sum(1) / batch.states.sum(1)
        total = dynamics if condition in WITHOUT_HEAD else dynamics + settings.head_weight * head
        if search is not None:
            attraction = search.attraction_loss(outputs, worst_error(condition, outputs))
            total = total + settings.attraction * attraction
        return total.sum(), {"dynamics": dynamics.mean().item(), "head": head.mean().item()}

    curves, flops = fit_model(
        model, batch_loss, settings.steps, settings.learning_rate, [seed, CollapseStream.TRAINING], log,
        weight_decay=0.0,
    )  # fmt: skip
    with torch.no_grad():
        outputs = model(batch)
    below = (worst_error(condition, outputs) <= settings.threshold).numpy()
    scores, arrays = pair_scores(batch, outputs, below, settings.tolerance)
    if search is not None:
        found, more = search_scores(batch, search.at, pairs, search.closest.numpy(), settings.tolerance)
        scores, arrays = scores | found, arrays | more | {"history": torch.stack(search.history).numpy()}
    arrays |= {f"curve {name}": _thin_curve(curve) for name, curve in curves.items()}
    return ConditionResult(scores, arrays, flops=flops)


def _build_model(condition: str, batch: ProcessBatch, seed: int, settings: Settings) -> BatchedPJepa:
    """Return the untrained models of a condition; a collapsed start has equal latents and an identity T."""
    model = seeded([seed, CollapseStream.WEIGHTS], lambda: BatchedPJepa(batch, settings.dim, settings.hidden))
    if condition.startswith("collapsed"):
        with torch.no_grad():
            model.encoder.last.zero_()
            model.transition.last.zero_()
    return model


def _build_batch(condition: str, seed: int, settings: Settings) -> tuple[ProcessBatch, np.ndarray]:
    """Return the processes of a condition, and for a search the pair of states of each, int64 [M, 2]."""
    processes = sample_processes(CollapseStream.PROCESSES.rng(seed), settings.random_processes)
    batch = ProcessBatch.from_processes(processes, CollapseStream.OBSERVATIONS.rng(seed))
    if condition not in SEARCHES:
        return batch, np.zeros((0, 2), dtype=np.int64)
    rng = CollapseStream.SEARCH_PAIRS.rng(seed)
    rows, pairs = sample_search_pairs(batch, settings.search_pairs, rng)
    return batch.repeated(rows), pairs


def worst_error(condition: str, outputs: Outputs) -> Tensor:
    """Return the largest squared error of each model, [M]; of T only if no head trains the encoder."""
    dynamics, head = outputs.worst
    if condition in (*WITHOUT_HEAD, "detached"):
        return dynamics.detach()
    return torch.maximum(dynamics, head).detach()


def _thin_curve(curve: Sequence[float]) -> np.ndarray:
    """Return about 200 evenly spaced values of a curve."""
    return np.asarray(curve[:: max(1, len(curve) // 200)])


EXPERIMENT = Experiment(
    name="collapse",
    question="Do latents of states that are not bisimilar ever merge while both losses are near zero?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: CONDITIONS,
    run=run,
    metrics=metrics,
    plots=plots,
    methods=describe_methods,
    notes=notes,
)

"""The No Unhealthy Representation Collapse theorem on decision processes small enough to check every pair.

After Yu et al., arXiv:2509.12249: in a deterministic process, if T(E(o), a) = E(f(o, a)) and
P(E(o)) = p(o) everywhere, then observations that are not bisimilar (p differs now or after some actions) have
different codes. It says nothing the other way: bisimilar ones may merge or not.

Question:
    Do codes of states that are not bisimilar ever come together while both losses are near zero, be it by
    themselves, from a start where all codes are equal, or when they are pulled together?

Protocol:
    Random processes, chains, rings, rooms and processes with duplicated states, of 6 to 12 states. A state
    shows an indicator or a random vector. E, P and, for each action, T are networks of two layers in float64,
    trained on all states and actions at once; the classes of bisimilar states are computed exactly
    (`mdp.bisimulation`). Codes start with a spread (root mean square distance from their mean) of one. The
    theorem is about losses everywhere, so every state is trained on and nothing is held out.

Parts:
    joint                both losses, no stop-gradient, no target network.
    collapsed-start      joint from an encoder that gives one code to all, and a T that changes nothing.
    detached             the head learns and teaches the encoder nothing.
    dynamics-only        no head; its codes are free to collapse.
    collapsed-dynamics   dynamics only from the collapsed start, where its loss is zero: the null.
    search               joint, and a pair that shares p but is not bisimilar is pulled together, by the
                         logarithm of its squared distance, in every step that begins with losses below half
                         the threshold: an active search for a counter-example, each pair in its own model.
    search-without-head  the same search without the head: its control.

Measured:
    below                processes whose worst squared errors, of T over states and actions and of P over
                         states, are both at most the threshold (where no head teaches E: of T).
    counter-examples     pairs closer than `mdp_models.lower_bound` lets them be: the theorem's proof with
                         errors, for the errors and the steepness of T and P at the codes found. It holds by
                         arithmetic: a count above zero is a mistake in the proof or in the code.
    merged               pairs not bisimilar yet closer than the tolerance 2 sqrt(threshold), the sum of the
                         two largest errors that T can make below the threshold. The theorem rules out a
                         distance of zero alone; that none comes this close is what can be refuted here.
    bisimilar merged     the same for bisimilar pairs: the theorem leaves them free.

Thresholds, fixed beforehand:
    Worst squared errors of 1e-6, so a tolerance of 2e-3. Joint, from both starts: at least 20 processes
    below, no counter-example, no pair merged. Search: no counter-example, no pulled pair merged. Controls
    without a head: all pairs merged, from either start, and 90 % of the pulled ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.streams import seeded
from social_jepa.experiments.collapse.mdp import family
from social_jepa.experiments.collapse.mdp_models import Jepas, Seen, Worlds
from social_jepa.experiments.collapse.mdp_scores import score_all, score_search
from social_jepa.experiments.collapse.metrics import figures, notes, pictures
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log

# Words after the seed: what each generator is for.
PROCESSES, OBSERVATIONS, WEIGHTS, TRAINING, PULLED = range(1, 6)
SEARCHES = ("search", "search-without-head")
PARTS = ("joint", "collapsed-start", "dynamics-only", "collapsed-dynamics", "detached", *SEARCHES)
HEADLESS = ("dynamics-only", "collapsed-dynamics", "search-without-head")
LOOKS = 100  # points of a search that are kept for its picture


@dataclass(frozen=True)
class CollapseSettings:
    """How many processes, and what learns them."""

    random: int = 16  # random processes, beside twelve with a structure
    dim: int = 8  # of a code
    hidden: int = 64  # units of E, T and P
    steps: int = 4000
    learning_rate: float = 2e-2
    head_weight: float = 5.0  # c_p
    threshold: float = 1e-6  # of the worst squared errors
    pairs: int = 2  # pulled together in each process, each in a model of its own
    pull: float = 1e-2  # weight of the pull

    @property
    def tolerance(self) -> float:
        """The distance below which two codes count as merged."""
        return 2 * float(np.sqrt(self.threshold))


class Hunt:
    """The closest that each pulled pair came while its model's errors were below the threshold.

    Attributes:
        closest: float64 [M], infinite where a model never was below.
        at: What the models made of their worlds then.
        looks: float64 [K, M] distances, at steps a hundredth of the search apart; NaN where not below.
    """

    def __init__(self, pairs: np.ndarray, settings: CollapseSettings) -> None:
        """Hunt for pairs of states, int64 [M, 2]."""
        self._first, self._second = torch.from_numpy(pairs.T)
        self._rows = torch.arange(len(pairs))
        self._settings = settings
        self._step = 0
        self.closest = torch.full((len(pairs),), torch.inf, dtype=torch.float64)
        self.at: list[Tensor] = []
        self.looks: list[Tensor] = []

    def __call__(self, seen: Seen, worst: Tensor) -> Tensor:
        """Note what is seen and return the pull, [M]; worst are squared errors, [M]."""
        gap = seen.codes[self._rows, self._first] - seen.codes[self._rows, self._second]
        square = gap.square().sum(1)
        with torch.no_grad():
            below = torch.where(worst <= self._settings.threshold, square.sqrt(), torch.inf)
            found = below < self.closest
            self.closest = torch.where(found, below, self.closest)
            now = [field.detach() for field in (seen.codes, seen.ahead, seen.told)]
            self.at = [
                torch.where(found.view(-1, *[1] * (new.ndim - 1)), new, old)
                for new, old in zip(now, self.at or now, strict=True)
            ]
            if self._step % max(1, self._settings.steps // LOOKS) == 0:
                self.looks.append(torch.where(below.isfinite(), below, torch.nan))
            self._step += 1
        return (worst <= self._settings.threshold / 2) * (square + 1e-24).log()


def run(part: str, seed: int, settings: CollapseSettings, say: Log) -> ConditionResult:
    """Train the models of a part with a seed and score their codes."""
    worlds = Worlds.of(
        family(np.random.default_rng([seed, PROCESSES]), settings.random),
        np.random.default_rng([seed, OBSERVATIONS]),
    )
    pairs = np.zeros((0, 2), dtype=np.int64)
    if part in SEARCHES:
        rows, pairs = pulled(worlds, settings.pairs, np.random.default_rng([seed, PULLED]))
        worlds = worlds.repeated(rows)
    model = seeded([seed, WEIGHTS], lambda: Jepas(worlds, settings.dim, settings.hidden))
    if part.startswith("collapsed"):
        with torch.no_grad():
            model.encoder.last.zero_()
            model.transition.last.zero_()
    hunt = Hunt(pairs, settings) if part in SEARCHES else None

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        seen = model(worlds, part == "detached")
        dynamics = seen.dynamics.sum((1, 2)) / worlds.steps.sum((1, 2))
        head = seen.head.sum(1) / worlds.states.sum(1)
        total = dynamics if part in HEADLESS else dynamics + settings.head_weight * head
        if hunt is not None:
            total = total + settings.pull * hunt(seen, worst(part, seen))
        return total.sum(), {"dynamics": dynamics.mean().item(), "head": head.mean().item()}

    curves, flops = fit_model(
        model, batch, settings.steps, settings.learning_rate, [seed, TRAINING], say, weight_decay=0.0
    )
    with torch.no_grad():
        seen = model(worlds)
    below = (worst(part, seen) <= settings.threshold).numpy()
    measures, arrays = score_all(worlds, seen, below, settings.tolerance)
    if hunt is not None:
        found, more = score_search(worlds, hunt.at, pairs, hunt.closest.numpy(), settings.tolerance)
        measures, arrays = measures | found, arrays | more | {"looks": torch.stack(hunt.looks).numpy()}
    arrays |= {
        f"curve {name}": np.asarray(curve[:: max(1, len(curve) // 200)]) for name, curve in curves.items()
    }
    return ConditionResult(measures, arrays, flops=flops)


def worst(part: str, seen: Seen) -> Tensor:
    """Return the largest squared error that counts for a part, [M]; where no head teaches E, that of T."""
    dynamics, head = seen.worst
    return dynamics.detach() if part in (*HEADLESS, "detached") else torch.maximum(dynamics, head).detach()


def pulled(worlds: Worlds, most: int, rng: np.random.Generator) -> tuple[list[int], np.ndarray]:
    """Return worlds [M] and a pair of states for each, int64 [M, 2], that share p and are not bisimilar.

    Only dynamics keep such a pair apart. Of each world up to ``most`` pairs are drawn.
    """
    rows: list[int] = []
    pairs: list[Sequence[int]] = []
    for k, mdp in enumerate(worlds.mdps):
        x, y = np.triu_indices(len(mdp.values), 1)
        wanted = np.flatnonzero(
            (mdp.values[x] == mdp.values[y]) & (worlds.classes[k, x] != worlds.classes[k, y])
        )
        for pair in rng.permutation(wanted)[:most]:
            rows.append(k)
            pairs.append((x[pair], y[pair]))
    return rows, np.array(pairs, dtype=np.int64).reshape(-1, 2)


EXPERIMENT = Experiment(
    name="collapse",
    question="Do codes of states that are not bisimilar ever merge while both losses are near zero?",
    settings=CollapseSettings,
    quick={"steps": 1000, "pairs": 1},
    conditions=lambda settings: PARTS,
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)

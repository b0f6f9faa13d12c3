"""Pairs of agents without pixels: latents mixed from the factors of a scene, and cores found in them.

A scene's factors, products of pairs of them, and noise are mixed by a random rotation, as an encoder mixes
what it sees; the core is then found in these latents as a trained agent finds its own. Training a hundred
pairs of agents is replaced, the alignment is not.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from agents.tick_plan import TickPlan
from alignment.core import find_core
from env.scene import Scene, SceneConfig
from social_jepa.experiments.common.edges import Embeddings, Pairing
from social_jepa.experiments.worlds.settings import OBJECTS, Settings

NOISE = 0.1  # standard deviation of what no factor explains, in each dimension
SCENE_SEEDS = 2**31


@dataclass(frozen=True)
class MixedLatents:
    """Latents of a scene without pixels.

    Attributes:
        scene: The scene.
        dim: D, number of dimensions: factors first, then products of two different ones.
        seed: Seed of rotation and noise.
    """

    scene: Scene
    dim: int
    seed: int

    def __call__(self, ticks: np.ndarray) -> np.ndarray:
        """Return latents of ticks, [T] -> [T, D]; the noise of ticks follows from the first one."""
        factors = self.scene.factors(ticks)
        products = [factors[:, a] * factors[:, b] for a, b in combinations(range(factors.shape[1]), 2)]
        content = np.column_stack([factors, *products])[:, : self.dim]
        rng = np.random.default_rng([self.seed, 0])
        rotation = np.linalg.qr(rng.standard_normal((content.shape[1], self.dim)).T)[0].T
        noise = np.random.default_rng([self.seed, 1, int(ticks[0])]).standard_normal((len(ticks), self.dim))
        return content @ rotation + NOISE * noise


def draw_pair(
    related: bool, settings: Settings, rng: np.random.Generator
) -> tuple[tuple[Embeddings, Embeddings], Pairing]:
    """Return two agents without pixels, of one world or of two, and how their rows are paired.

    Two worlds have different scene seeds and different rates. Both agents encode the same ticks, spread as
    the slower world asks for.

    Args:
        related: Whether both agents see one world.
        settings: Settings of the run.
        rng: Source of rates, scenes, rotations and noise.
    """
    scenes = [_draw_scene(settings, rng)]
    scenes.append(scenes[0] if related else _draw_scene(settings, rng))
    config = settings.setup.negotiation
    memory = max(scene.config.decorrelation_ticks for scene in scenes)
    dim = settings.setup.model.dim
    latents = [MixedLatents(scene, dim, int(rng.integers(2**62))) for scene in scenes]
    agents = [find_embeddings(each, memory, settings) for each in latents]
    return (agents[0], agents[1]), Pairing(config.anchors, config.heldout, config.memory_rows(memory))


def find_embeddings(latents: MixedLatents, memory: int, settings: Settings) -> Embeddings:
    """Return what an agent with these latents sends, on the ticks that a trained agent would encode.

    Args:
        latents: Its latents.
        memory: Ticks after which the slower of the two scenes no longer resembles itself.
        settings: Settings of the run.
    """
    ticks = TickPlan.of(settings.setup.negotiation, settings.setup.training, memory)
    found = np.arange(ticks.train_start, ticks.train_start + settings.latent_ticks)
    pairs = ticks.core_eval(int(found[-1]))
    later = torch.from_numpy(latents(pairs.ravel())).unflatten(0, pairs.shape)
    basis = find_core(torch.from_numpy(latents(found)), later=later)
    pools = (ticks.fit, ticks.heldout)
    anchors, held = (basis(torch.from_numpy(latents(np.array(pool)))) for pool in pools)
    return Embeddings(anchors, held, basis.core_dim)


def _draw_scene(settings: Settings, rng: np.random.Generator) -> Scene:
    rates = tuple(rng.uniform(settings.lowest_rate, settings.highest_rate, 2 * OBJECTS).tolist())
    config = SceneConfig(renderer="toy", objects=OBJECTS, autocorrelation=rates)
    return Scene(config, int(rng.integers(SCENE_SEEDS)))

"""Two trained agents and baselines with their cameras, and latents in the axes that each finds by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from agents.models.world_model import WorldModel, encode_with
from agents.training.stage_data import CHUNK
from alignment.core import find_core
from social_jepa.experiments.common.baselines import LinearTica, PixelPca
from social_jepa.experiments.common.similarity_baselines import PIXEL_PCA, TICA, UNTRAINED
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    ring_poses,
    train_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.one_moment.settings import AGENTS, MOMENT_TICKS, Settings

TRAINED = "trained"  # the model of an agent, beside those of the baselines


@dataclass(frozen=True, eq=False)
class FoundAxes:
    """Latents of one model in the D axes that it found on ticks of its own, all float64.

    Attributes:
        spectrum: [D], lag-1 autocorrelation of each axis.
        skewness: [D, D, D], E[z_a z_b z_c] over the ticks that the axes were found on.
        moments: [M, 4, D], of the moments that maps are fitted on.
        heldout: [K, D], of the ticks that they are scored on.
    """

    spectrum: np.ndarray
    skewness: np.ndarray
    moments: np.ndarray
    heldout: np.ndarray

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.spectrum)

    def shifted(self) -> "FoundAxes":
        """Return it with moments, which maps are fitted on, shifted in time by half of their range: the null.

        Held-out ticks stay as they are, so that a map that such moments happened to give right would score.
        """
        return replace(self, moments=np.roll(self.moments, len(self.moments) // 2, axis=0))


@dataclass(frozen=True, eq=False)
class AgentPair:
    """What the two agents of a scene have found.

    Attributes:
        axes: Those of both agents, by model: TRAINED, and the baselines where there are any.
        states: True states at the held-out ticks, float64 [K, F]; for plots alone.
        flops: Counted training FLOPs of both agents.
    """

    axes: Mapping[str, list[FoundAxes]]
    states: np.ndarray
    flops: float


def train_pair(settings: Settings, spacing: float, seed: int, log: Log) -> AgentPair:
    """Train two agents and find their axes; at the distinct spacing also those of baselines."""
    setup = settings.setup_of(spacing)
    poses, flops = ring_poses(setup, AGENTS), 0.0
    axes: dict[str, list[FoundAxes]] = {}
    for index in range(AGENTS):
        with untrained_agent(setup, seed, index, poses) as agent:
            flops += train_agent(agent, log)
            models = {TRAINED: agent.model}
            if spacing == settings.distinct_spacing:
                models |= baseline_models(agent)
            fresh = fresh_ticks(agent, setup, settings.axis_ticks)
            moments = moment_ticks(agent, settings.moment_distance(spacing))
            ticks = np.concatenate([fresh, moments.ravel(), agent.ticks.heldout])
            for name, latents in encode_all(agent, models, ticks).items():
                dim = None if name == TRAINED else settings.factors
                axes.setdefault(name, []).append(find_axes(latents, len(fresh), len(moments), dim))
            states = agent.scene.factors(np.asarray(agent.ticks.heldout))
        log(f"agent-{index} found {axes[TRAINED][index].dim} axes")
    return AgentPair(axes, states, flops)


def baseline_models(agent: Agent) -> dict[str, WorldModel]:
    """Return the models of the baselines, fitted where they need it to the ticks that an agent trained on."""
    config, size, buffer = agent.spec.model, agent.spec.scene.frame_size, agent.trainer.replay_buffer
    tica = LinearTica(config, size)
    models = {UNTRAINED: agent.build_model(), PIXEL_PCA: PixelPca(config, size), TICA: tica}
    for model in models.values():
        agent.calibrate(model)
    tica.fit(lambda ticks: torch.from_numpy(buffer.read(np.asarray(ticks))), buffer.ticks)
    return models


def fresh_ticks(agent: Agent, setup: AgentSetup, count: int) -> np.ndarray:
    """Return consecutive ticks that no agent trains on and no other finds its axes on, int64 [count]."""
    plan = agent.ticks
    first = plan.distill_start + setup.train_offset(AGENTS) + agent.spec.index * (count + plan.gap)
    return np.arange(first, first + count)


def moment_ticks(agent: Agent, distance: int) -> np.ndarray:
    """Return the ticks of moments, in the range that maps are fitted on, int64 [M, 4].

    Args:
        agent: Any agent; the ticks are those of all.
        distance: Ticks from the start of one moment to that of the next.
    """
    first, stop = agent.ticks.fit.start, agent.ticks.fit.stop
    starts = np.arange(first, stop - distance + 1, distance)
    return starts[:, None] + np.arange(MOMENT_TICKS)


@torch.inference_mode()
def encode_all(agent: Agent, models: Mapping[str, WorldModel], ticks: np.ndarray) -> dict[str, Tensor]:
    """Return latents of ticks by several models, float32 [K, D] each; a frame is rendered once for all."""
    parts: dict[str, list[Tensor]] = {name: [] for name in models}
    for start in range(0, len(ticks), CHUNK):
        chunk = ticks[start : start + CHUNK]
        frames, sensor_data = agent.read_frames(chunk), agent.recorder.sensor_data(chunk)
        for name, model in models.items():
            parts[name].append(encode_with(model.eval(), frames, sensor_data).cpu())
    return {name: torch.cat(latents) for name, latents in parts.items()}


def find_axes(latents: Tensor, fresh: int, moments: int, dim: int | None) -> FoundAxes:
    """Return the axes that one model finds on fresh ticks, and its other latents in them.

    Args:
        latents: Of the fresh ticks, then of the moments, then of the held-out ticks, [K, D].
        fresh: Number of fresh ticks, consecutive.
        moments: Number of moments.
        dim: Number of leading axes to keep; by default those that it finds to be its core.
    """
    own = latents[:fresh]
    basis = find_core(own)
    kept = basis.core_dim if dim is None else min(dim, len(basis.mean))
    rows = basis(latents)[:, :kept].double().numpy()
    own_rows, moment_rows, heldout = np.split(rows, [fresh, fresh + moments * MOMENT_TICKS])
    return FoundAxes(
        spectrum=basis.spectrum[:kept].double().numpy(),
        skewness=np.einsum("na,nb,nc->abc", own_rows, own_rows, own_rows, optimize=True) / fresh,
        moments=moment_rows.reshape(moments, MOMENT_TICKS, kept),
        heldout=heldout,
    )

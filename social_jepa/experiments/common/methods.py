"""Learning methods that experiments compare, and the agents that learn by them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agents.agent import Agent
from env.camera import Pose
from env.sensors import SensorSpec
from social_jepa.experiments.common.trained_agents import AgentSetup, untrained_agent

RING_AGENTS = 4  # bodies on the ring
COMPARED_AGENTS = (0, 2)  # those that a comparison trains: 180 degrees apart on the default ring
BASELINES = "social_jepa.experiments.common.baselines:"


@dataclass(frozen=True)
class Method:
    """A learning method.

    Attributes:
        title: Label in plots and tables.
        kind: Kind of world model, as in a run.
        model: Model settings that differ from the setup's.
        trains: Whether the model takes training steps.
        supervised: Whether the recorder provides the positions of the objects as targets.
    """

    title: str
    kind: str = "jepa"
    model: Mapping[str, Any] = field(default_factory=dict)
    trains: bool = True
    supervised: bool = False


@contextlib.contextmanager
def method_agent(
    method: Method, setup: AgentSetup, seed: int, index: int, poses: Sequence[Pose]
) -> Iterator[Agent]:
    """Yield an untrained agent that learns by a method; it is closed afterwards.

    Args:
        method: Learning method.
        setup: The scene and the training schedule.
        seed: Seed of the scene; all randomness of the agent follows from (seed, index).
        index: Index of the agent.
        poses: Camera poses of all agents.
    """
    model = replace(setup.model, **method.model)
    with untrained_agent(setup, seed, index, poses, method.kind, model) as agent:
        if method.supervised:
            agent.recorder.spec = SensorSpec(controlled_objects=setup.scene.objects, task="positions")
        yield agent

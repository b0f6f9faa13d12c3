"""From the settings of a run to what makes each agent."""

from agents.agent import AgentSpec
from env.scene import BodyEvent
from social_jepa.config import RunConfig
from social_jepa.store import RunFolder


def agent_specs(config: RunConfig, folder: RunFolder) -> list[AgentSpec]:
    """Return what makes each agent; agent k's never depends on how many there are, bodies aside."""
    places = list(zip(config.names(), config.poses(), strict=True))
    bodies = tuple(BodyEvent(0, name, pose) for name, pose in places)
    return [
        AgentSpec(
            name=name, index=index, seed=config.seed, kind=config.agents.kind, pose=pose, scene=config.scene,
            events=bodies, model=config.model, training=config.training, negotiation=config.negotiation,
            folder=str(folder.agent(name)), device=config.agents.device,
        )
        for index, (name, pose) in enumerate(places)
    ]  # fmt: skip

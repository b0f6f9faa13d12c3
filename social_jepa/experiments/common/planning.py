"""Moving the first object to its position in a goal frame: the cross-entropy method in a latent space.

As in ``env.gym.steering``, an action in [-1, 1] is in units of the standard deviation of the scene's own
actions, and the other objects move on their own; here many episodes run at once, with the agents' bodies in
the scene.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from env.recording import record_frame
from env.renderer import Renderer
from env.renderers.build import share_renderer
from env.scene import Scene
from social_jepa.experiments.common.core_predictors import (
    CoreRecording,
    Predict,
    action_directions,
    roll_out,
)
from social_jepa.experiments.common.trained_agents import AgentSetup
from social_jepa.experiments.framework.score import Score

STEERED = 2  # coordinates of the first object
MIN_PLOT_DISTANCE = 0.8  # least distance from start to goal of the plotted episode
Policy = Callable[["Episodes", torch.Generator], Tensor]  # episodes -> actions in [-1, 1], [E, 2]
# held-out ticks of the goals, [E], and a renderer -> policies by name
MakePolicies = Callable[[np.ndarray, Renderer], Mapping[str, Policy]]


@dataclass(frozen=True)
class PlanningConfig:
    """Episodes, and planning by the cross-entropy method; agents plan again after each action."""

    episodes: int = 100  # of each condition and direction
    ticks: int = 10  # of an episode
    success_distance: float = 0.15  # largest final distance to the goal, positions from -1 to 1
    strength: float = 1.0  # the largest action, in standard deviations of the scene's own actions
    horizon: int = 6  # ticks of a plan
    population: int = 100  # plans drawn in a round
    elite: int = 10  # best plans of a round, which the next round is drawn around
    rounds: int = 4

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that plan nothing."""
        if min(self.episodes, self.ticks, self.horizon, self.rounds) < 1:
            raise ValueError(f"episodes, ticks, horizon and rounds must be at least 1, got {self}")
        if not 2 <= self.elite <= self.population:
            raise ValueError(
                f"elite={self.elite} must be at least 2 and at most population={self.population}"
            )
        if not (0 < self.strength < np.inf and self.success_distance > 0):
            raise ValueError(
                f"strength={self.strength} and success_distance={self.success_distance} must be above 0"
            )


def check_plans(setup: AgentSetup, fit_ticks: int, planning: PlanningConfig) -> None:
    """Raise ValueError, naming the setting, where agents have too few ticks for predictors or episodes."""
    if not 2 <= fit_ticks <= setup.training.replay_ticks:
        raise ValueError(
            f"fit_ticks={fit_ticks} must lie between 2 and setup.training.replay_ticks="
            f"{setup.training.replay_ticks}: predictors are fitted on consecutive ticks of training"
        )
    held = setup.negotiation.pool_ticks * setup.stride - planning.ticks
    if 2 * planning.episodes > held:
        raise ValueError(
            f"planning.episodes={planning.episodes}: every episode needs a start and a goal among {held} "
            "ticks"
        )


class Episodes:
    """Many copies of the scene, each started at another tick, in which the first object is steered."""

    def __init__(self, scene: Scene, starts: np.ndarray, strength: float) -> None:
        """Start at the scene's own states at these ticks, [E]."""
        self.scene, self.ticks, self.strength = scene, np.array(starts), strength
        self.steered = scene.factors(self.ticks)[:, :STEERED].copy()

    @property
    def autocorrelations(self) -> np.ndarray:
        """Autocorrelations rho of the steered coordinates, [2]."""
        return np.array(self.scene.config.coordinate_autocorrelations[:STEERED])

    def step(self, actions: np.ndarray) -> None:
        """Apply actions, [E, 2], and advance one tick."""
        rho = self.autocorrelations
        noise = np.sqrt(1 - rho**2) * self.strength * actions
        self.steered, self.ticks = rho * self.steered + noise, self.ticks + 1

    def render(self, renderer: Renderer, recording: CoreRecording) -> np.ndarray:
        """Return the views of an agent's camera, uint8 [E, H, W, 3]."""
        others = self.scene.factors(self.ticks)[:, STEERED:]
        factors, name = np.concatenate([self.steered, others], 1), recording.agent.name
        frames = []
        for tick, row in zip(self.ticks.tolist(), factors, strict=True):
            pose = self.scene.camera_pose(recording.pose, name, tick)
            state = self.scene.state_from_factors(tick, row)
            frames.append(record_frame(self.scene, renderer, state, pose, name))
        return np.stack(frames)


def plan(
    predict: Predict, latents: Tensor, goals: Tensor, directions: Tensor, config: PlanningConfig,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Return the first action of the plan whose predictions stay nearest to the goals (Rubinstein 1999).

    Args:
        predict: Predictor one tick ahead, given actions [..., 2].
        latents: Current latents of each episode, [E, d].
        goals: Goal latents, [E, d].
        directions: Directions that distances count along, [d, m]: those that actions can change.
        config: Settings of the search.
        generator: Draws the plans.

    Returns:
        Actions in [-1, 1], [E, 2].
    """
    mean = torch.zeros(len(latents), 1, config.horizon, STEERED, dtype=torch.float64)
    deviation = torch.full_like(mean, 0.7)
    shape = (len(latents), config.population, config.horizon, STEERED)
    targets = (goals @ directions)[:, None]
    for _ in range(config.rounds):
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        actions = (mean + deviation * drawn).clamp(-1, 1)  # [E, P, H, 2]
        starts = latents[:, None].expand(-1, config.population, -1)
        ahead = roll_out(predict, starts, config.strength * actions)  # [H, E, P, d]
        cost = (ahead @ directions - targets).square().sum((0, -1))  # [E, P]
        best = cost.topk(config.elite, largest=False).indices[..., None, None]
        elite = actions.take_along_dim(best, 1)
        mean, deviation = elite.mean(1, keepdim=True), elite.std(1, keepdim=True)
    return mean[:, 0, 0]


def planning_policy(
    recording: CoreRecording, renderer: Renderer, predict: Predict, goals: Tensor, config: PlanningConfig
) -> Policy:
    """Return the policy of an agent that encodes its view and plans towards goals in its core, [E, d]."""
    directions = action_directions(predict, goals.shape[1], STEERED)

    @torch.inference_mode()
    def act(episodes: Episodes, generator: torch.Generator) -> Tensor:
        views = torch.from_numpy(episodes.render(renderer, recording))
        latents = recording.agent.basis.core(recording.agent.model.encode(views))
        return plan(predict, latents, goals, directions, config, generator)

    return act


def true_state_policy(goals: np.ndarray, config: PlanningConfig) -> Policy:
    """Return the policy that plans with the true state and the true dynamics: the ceiling."""
    directions, targets = torch.eye(STEERED, dtype=torch.float64), torch.from_numpy(goals)

    def act(episodes: Episodes, generator: torch.Generator) -> Tensor:
        rho = torch.from_numpy(episodes.autocorrelations)

        def predict(state: Tensor, actions: Tensor) -> Tensor:
            return rho * state + (1 - rho.square()).sqrt() * actions

        state = torch.from_numpy(episodes.steered)
        return plan(predict, state, targets, directions, config, generator)

    return act


def random_policy(episodes: Episodes, generator: torch.Generator) -> Tensor:
    """Return uniformly random actions."""
    return 2 * torch.rand(episodes.steered.shape, generator=generator, dtype=torch.float64) - 1


def run_policy(episodes: Episodes, policy: Policy, ticks: int, generator: torch.Generator) -> np.ndarray:
    """Run a policy for some ticks; return the steered factors at each tick, [ticks + 1, E, 2]."""
    path = [episodes.steered]
    for _ in range(ticks):
        episodes.step(policy(episodes, generator).numpy())
        path.append(episodes.steered)
    return np.stack(path)


def goal_distances(path: np.ndarray, goals: np.ndarray, scene: Scene) -> np.ndarray:
    """Return the true distances of the object from its goal, positions in [-1, 1]; for evaluation only.

    Args:
        path: The object's factors, [T, E, 2].
        goals: Its factors at the goal, [E, 2].
        scene: The scene.

    Returns:
        [T, E].
    """
    positions, targets = (scene.unit_positions(rows) for rows in (path, goals))
    return np.linalg.norm(positions - targets, axis=-1)


def draw_episodes(
    rng: np.random.Generator, ticks: int, config: PlanningConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return the held-out ticks at which episodes start, [E], and those of their goals, [E]; all differ."""
    drawn = rng.permutation(ticks - config.ticks)[: 2 * config.episodes]
    starts, goals = drawn.reshape(2, -1)
    return starts, goals


def run_policies(
    policies: Mapping[str, Policy], scene: Scene, starts: np.ndarray, goals: np.ndarray,
    config: PlanningConfig, words: Sequence[int],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:  # fmt: skip
    """Run each policy from the same starts towards the same goals.

    Args:
        policies: Policies by name.
        scene: The scene.
        starts: Ticks, [E].
        goals: Ticks, [E].
        config: Settings of the episodes.
        words: Words of the seed that all policies draw their plans with.

    Returns:
        By policy, the object's factors [T, E, 2], and its distances from the goal [T, E].
    """
    targets, paths = scene.factors(goals)[:, :STEERED], {}
    for name, policy in policies.items():
        seed = int(np.random.default_rng(list(words)).integers(2**62))
        episodes = Episodes(scene, starts, config.strength)
        paths[name] = run_policy(episodes, policy, config.ticks, torch.Generator().manual_seed(seed))
    return paths, {name: goal_distances(path, targets, scene) for name, path in paths.items()}


def success_scores(distances: Mapping[str, np.ndarray], success_distance: float) -> dict[str, Score]:
    """Return the scores of policies from their distances to the goal, by policy [T, E].

    Returns:
        Success as the policy's name, the distance at the end as "distance: POLICY", and as "1 - success ratio
        of POLICY" one minus the ratio of success to that of the policy "own goal".
    """
    ends = {name: found[-1] for name, found in distances.items()}
    successes = {name: (end < success_distance).astype(float) for name, end in ends.items()}
    scores = {name: Score.mean(success) for name, success in successes.items()}
    scores |= {f"distance: {name}": Score.mean(end) for name, end in ends.items()}
    own = successes["own goal"]
    return scores | {f"1 - success ratio of {name}": Score(found, own) for name, found in successes.items()}


def planning_scores(
    peer: CoreRecording, receiver: CoreRecording, make_policies: MakePolicies, config: PlanningConfig,
    rng: np.random.Generator, words: Sequence[int], plotted: Sequence[str],
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:  # fmt: skip
    """Run the receiver's policies from the same held-out ticks towards goals at other held-out ticks.

    Args:
        peer: Agent whose view of the goal is plotted beside the receiver's.
        receiver: Agent that plans.
        make_policies: Returns its policies towards the goals at these ticks, "own goal" among them.
        config: Settings of the episodes.
        rng: Draws starts and goals.
        words: Words of the seed that all policies draw their plans with.
        plotted: Policies whose episode is plotted, if they are run.

    Returns:
        (`success_scores` of the policies; arrays of the plots: the mean distance from the goal at each tick
        [T] as "distance: POLICY", and the frames of one episode, see `_episode_frames`).
    """
    scene = receiver.agent.scene
    starts, goals = draw_episodes(rng, len(receiver.heldout), config)
    with closing(share_renderer(scene.config)) as renderer:
        policies = make_policies(goals, renderer)
        paths, distances = run_policies(policies, scene, starts, goals, config, words)
        chosen = int((distances["own goal"][0] > MIN_PLOT_DISTANCE).argmax())  # by its start alone
        one_path = {name: paths[name][:, chosen] for name in plotted if name in paths}
        frames = _episode_frames(peer, receiver, renderer, goals[chosen], starts[chosen], one_path)
    means = {f"distance: {name}": found.mean(1) for name, found in distances.items()}
    return success_scores(distances, config.success_distance), means | frames


def _episode_frames(
    peer: CoreRecording, receiver: CoreRecording, renderer: Renderer, goal: int, start: int,
    paths: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return frames of one episode, uint8.

    Args:
        peer: Agent that also saw the goal.
        receiver: Agent that plans.
        renderer: A renderer of the scene.
        goal: Tick of the goal.
        start: Tick of the start.
        paths: By policy, the object's factors at each tick, [T, 2].

    Returns:
        The goal as both saw it, "peer's goal frame" and "own goal frame", [1, H, W, 3], and the receiver's
        views as "frames: POLICY", [T, H, W, 3].
    """
    scene = receiver.agent.scene
    at_goal = Episodes(scene, np.array([goal]), 1.0)
    arrays = {
        "peer's goal frame": at_goal.render(renderer, peer),
        "own goal frame": at_goal.render(renderer, receiver),
    }
    for name, path in paths.items():
        episode = Episodes(scene, start + np.arange(len(path)), 1.0)
        episode.steered = path
        arrays[f"frames: {name}"] = episode.render(renderer, receiver)
    return arrays


def average_directions(
    directions: Sequence[tuple[Mapping[str, Score], Mapping[str, np.ndarray]]],
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return the mean scores of both directions between two agents, and one set of arrays for the plots.

    Args:
        directions: Of each direction the scores, and the arrays of `planning_scores`.

    Returns:
        (mean scores; the arrays of the first direction, with mean distances).
    """
    scores, arrays = zip(*directions, strict=True)
    mean_scores = {name: Score.average([each[name] for each in scores]) for name in scores[0]}
    distances = {
        name: np.mean([each[name] for each in arrays], axis=0)
        for name in arrays[0]
        if name.startswith("distance: ")
    }
    return mean_scores, {**arrays[0], **distances}

"""Sentences of the methods paragraphs that experiments share, with every number from their settings."""

from agents.models.settings import ModelConfig
from agents.training.settings import GAP
from env.scene import SceneConfig
from social_jepa.experiments.common.trained_agents import AgentSetup

OBJECTIVES = {
    "whitened": "whitened prediction: latents of consecutive frames, whitened in each batch, are to predict "
    "each other linearly",
    "vicreg": "prediction of the next frame's latent with VICReg's variance and covariance terms",
    "sigreg": "prediction of the next frame's latent with SIGReg",
    "log_det": "prediction of the next frame's latent with a log-determinant barrier on the covariance",
    "ema": "prediction of the next frame's latent as a slowly moving copy of the encoder emits it",
}


def describe_scene(scene: SceneConfig) -> str:
    """Return what is seen, with the motion of the default dynamics: objects, their motion and the frames."""
    rates = scene.autocorrelation
    rate = f"{rates[0]:g}" if len(rates) == 1 else ", ".join(f"{value:g}" for value in rates)
    count = f"{scene.objects} colored box" + "es" * (scene.objects > 1)
    drawn = "MiniWorld (OpenGL)" if scene.renderer == "miniworld" else f"the renderer {scene.renderer}"
    return (
        f"The scene is a room of {scene.room_size:g} m with {count} that pass through each other. Each of "
        f"the {2 * scene.objects} coordinates follows an Ornstein-Uhlenbeck process of its own, with "
        f"autocorrelation {rate} from tick to tick; the position is {scene.object_range:g} "
        f"tanh({scene.tanh_gain:g} z) m. Frames have {scene.frame_size} by {scene.frame_size} pixels in "
        f"color, drawn by {drawn}."
    )


def describe_encoder(model: ModelConfig) -> str:
    """Return the encoder of an agent."""
    return (
        f"The encoder has three strided convolutions of {model.width}, {2 * model.width} and "
        f"{2 * model.width} channels, a hidden layer of {model.hidden} units and a latent of {model.dim} "
        "dimensions; frames are centered by the agent's own mean frame."
    )


def describe_training(setup: AgentSetup, schedule: str = "") -> str:
    """Return how an agent is trained; `schedule` replaces the number of steps."""
    training = setup.training
    steps = schedule or f"{training.steps} steps"
    where = (
        "each agent on a stretch of ticks of its own"
        if training.own_ticks
        else "all agents on the same ticks"
    )
    return (
        f"Training takes {steps} of {training.segments} segments of {training.segment_ticks} consecutive "
        f"ticks from {training.replay_ticks:,} ticks, {where}, with AdamW (peak learning rate "
        f"{training.learning_rate:g}, warm-up over {training.warmup:.0%} of the steps, then a cosine to 0; "
        f"weight decay {training.weight_decay:g}; gradients clipped at a norm of "
        f"{training.grad_clip_norm:g})."
    )


def describe_objective(setup: AgentSetup) -> str:
    """Return the loss of the default agents, and how many encoders they train."""
    model, text = setup.model, f"The objective is {OBJECTIVES[setup.model.objective]}."
    if model.objective != "whitened" or model.stages == 1:
        return text
    return (
        f"{text} Up to {model.stages} encoders are trained: a further one, for "
        f"{setup.training.steps_of_stage} steps, as long as it finds axes that those before do not predict."
    )


def describe_splits(setup: AgentSetup) -> str:
    """Return the ticks that maps are fitted and scored on."""
    pool, gap = setup.negotiation.pool_ticks, max(GAP, setup.scene.decorrelation_ticks)
    return (
        f"Maps and probes are fitted on {pool:,} anchor ticks and scored on {pool:,} held-out ticks, each "
        f"{setup.stride} ticks apart; these two ranges and those of training are disjoint and at least {gap} "
        "ticks apart."
    )


def describe_agents(setup: AgentSetup) -> str:
    """Return data, model, training and splits of agents that are trained as in a run."""
    return " ".join((
        describe_scene(setup.scene),
        "Agents share no weights, no random stream and no order of data; each sees the scene from its own "
        "camera.",
        describe_encoder(setup.model), describe_objective(setup), describe_training(setup),
        describe_splits(setup),
    ))  # fmt: skip

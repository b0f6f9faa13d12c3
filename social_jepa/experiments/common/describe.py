"""Sentences of the methods paragraphs that experiments share, with every number from their settings."""

from agents.models.settings import ModelConfig
from agents.training.ticks import range_gap
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
    """Return a description of the scene: objects, their motion and the frames, or where frames come from."""
    size = f"{scene.frame_size} by {scene.frame_size} pixels in color"
    if scene.source:
        return (
            f"No scene is rendered: frames come from the source {scene.source}, with the views "
            f"{', '.join(scene.frames.views)}, and have {size}."
        )
    drawn = "MiniWorld (OpenGL)" if scene.renderer == "miniworld" else f"the renderer {scene.renderer}"
    return (
        f"The scene is a room of {scene.room_size:g} m with {_objects(scene)}{_motion(scene)} Frames have "
        f"{size}, drawn by {drawn}."
    )


def _objects(scene: SceneConfig) -> str:
    """Return the objects: their number and shapes, and when these change."""
    one, several = ("object", "objects") if len(scene.shapes) > 1 else (_words(scene.shapes[0]), "")
    noun = one if scene.objects == 1 else several or one + ("es" if one.endswith("x") else "s")
    text = f"{scene.objects} colored {noun}"
    if len(scene.shapes) > 1:
        text += f" of the shapes {', '.join(map(_words, scene.shapes))}"
    return text + (f" (drawn anew every {scene.identity_ticks} ticks)" if scene.identity_ticks else "")


def _motion(scene: SceneConfig) -> str:
    """Return the motion of objects: the end of the sentence that names them, and one with the numbers."""
    rate = ", ".join(f"{value:g}" for value in scene.autocorrelation)
    count, where = 2 * scene.objects, f"up to {scene.object_range:g} m from the center along each axis"
    position = f"the position is {scene.object_range:g} tanh({scene.tanh_gain:g} z) m."
    if scene.object_areas:
        where = "each in an area of its own"
        position = (
            f"the position in an object's own area is its half-width times tanh({scene.tanh_gain:g} z)."
        )
    alone = scene.objects == 1
    through = "" if alone else " that pass through each other"
    moving = " that moves" if alone else f"{through} and move"
    return {
        "ornstein_uhlenbeck": f"{through}. Each of the {count} coordinates follows an Ornstein-Uhlenbeck "
        f"process of its own, with autocorrelation {rate} from tick to tick; {position}",
        "coupled": f"{through}. The {count} coordinates together follow a linear process that white noise "
        f"drives, with a coupling of {scene.coupling:g} and eigenvalues {rate}; {position}",
        "collide": f" that collide elastically with each other and with the walls, {where}.",
        "bounce": f"{moving} at constant speed to and fro, {where}.",
        "static": f" that never move{'s' * alone}, {where}.",
    }.get(scene.dynamics, f" whose motion is that of the class {scene.dynamics}, {where}.")


def _words(name: str) -> str:
    """Return the name of a shape in words."""
    return name.replace("_", " ")


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
    pool, gap = setup.negotiation.pool_ticks, range_gap(setup.scene.decorrelation_ticks)
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

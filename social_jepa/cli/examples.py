"""An example or more of every command, and a short glossary: what --help shows below the options."""

from collections.abc import Iterable

import typer

EXAMPLES = {
    "demo": ("social-jepa demo", "social-jepa demo --scene miniworld --out runs/demo"),
    "run": (
        "social-jepa run --quick",
        "social-jepa run seed=3 agents.count=6 scene.objects=2 --out runs/six",
        'social-jepa run \'agents.kinds=["jepa", "jepa", "seq_jepa", "p_jepa"]\'',
    ),
    "resume": (
        "social-jepa resume",
        "social-jepa resume --run six",
        "social-jepa resume --run six training.steps=900",
    ),
    "graph": (
        "social-jepa graph",
        "social-jepa graph --matrix",
        "social-jepa graph --sort r2 --min-r2 0.9",
        "social-jepa graph --run six --as-of '10 minutes ago'",
        "social-jepa graph --json",
    ),
    "query": (
        "social-jepa query --from agent-0 --to agent-2 --tick 40",
        "social-jepa query --from agent-0 --to agent-2 --tick 40 --via best --picture view.png",
        "social-jepa query --from agent-1 --to agent-2 --vector 0.1,0,0,0,0,0 --json",
    ),
    "report": ("social-jepa report --run six",),
    "doctor": ("social-jepa doctor", "social-jepa doctor --address 10.0.0.1:6379"),
    "check-scene": ("social-jepa check-scene scene.renderer=toy scene.dynamics=collide",),
    "align": (
        "social-jepa align clip.npy dino.npy",
        "social-jepa align clip.csv dino.csv --ids names.txt --out maps.safetensors --picture edge.svg",
    ),
    "up": (
        "social-jepa up agents.count=3",
        "social-jepa up --quick --wait --timeout 600 --out runs/live",
    ),
    "status": ("social-jepa status", "social-jepa status --watch", "social-jepa status --run live --json"),
    "add-agent": (
        "social-jepa add-agent",
        "social-jepa add-agent --pose 3.4,3.2,3.4,135,-35 --wait",
        "social-jepa add-agent --teacher agent-0 model.dim=8",
    ),
    "move-agent": ("social-jepa move-agent agent-1 --pose 0,3.2,4.8,90,-35 --wait",),
    "remove-agent": ("social-jepa remove-agent agent-2",),
    "pause": ("social-jepa pause", "social-jepa pause agent-2 --run live"),
    "resume-learning": ("social-jepa resume-learning", "social-jepa resume-learning agent-2"),
    "topology": ("social-jepa topology ring", "social-jepa topology 'k_regular(6)' --run live"),
    "edge": ("social-jepa edge agent-0 agent-1", "social-jepa edge agent-0 agent-1 --history --run live"),
    "wait": ("social-jepa wait", "social-jepa wait agent-3 --timeout 600"),
    "down": ("social-jepa down", "social-jepa down --run live"),
    "list": ("social-jepa list", "social-jepa list /data/runs --json"),
    "compare": ("social-jepa compare six 2026-11-21-143000", "social-jepa compare runs/a runs/b --json"),
    "fork": (
        "social-jepa fork --run six --out runs/longer training.steps=900",
        "social-jepa fork negotiation.anchors=64",
    ),
    "scalars": (
        "social-jepa scalars --run six --tensorboard curves/six",
        "social-jepa scalars --jsonl history.jsonl",
    ),
    "export": (
        "social-jepa export",
        "social-jepa export --run six --format csv --out edges.csv",
        "social-jepa export --format safetensors --anchors --out six.safetensors",
    ),
    "import": ("social-jepa import six.safetensors --out runs/imported",),
    "serve": (
        "social-jepa serve",
        "social-jepa serve --run six --port 9000",
        "social-jepa serve six seven",
        "social-jepa serve runs",
    ),
    "experiment": (
        "social-jepa experiment --list",
        "social-jepa experiment isometry --quick",
        "social-jepa experiment all --redraw",
    ),
    "reproduce": (
        "social-jepa reproduce",
        "social-jepa reproduce rotation --quick",
        "social-jepa reproduce migration-85 --json",
    ),
    "peer start": (
        "social-jepa peer start --out a --name agent-0 --listen 0.0.0.0:7000 agents.count=2",
        "social-jepa peer start --out b --name agent-1 --connect 10.0.0.1:7000 agents.count=2",
        "social-jepa peer start --out c --embeddings clip.npy --ids names.txt --connect 10.0.0.1:7000",
    ),
    "peer status": ("social-jepa peer status --run a", "social-jepa peer status --run a --watch"),
    "peer graph": ("social-jepa peer graph --run a", "social-jepa peer graph --run c --json"),
    "peer query": (
        "social-jepa peer query --run a --from agent-1 --vector 0.1,-0.7,0.3,1.2,0,0.4",
        "social-jepa peer query --run c --from dino --id 3f6c",
    ),
    "wire inspect": ("social-jepa wire inspect captured.bin",),
    "key show": ("social-jepa key show a/agents/agent-0/identity.key --name agent-0",),
    "key rotate": ("social-jepa key rotate a/agents/agent-0/identity.key --name agent-0",),
    "key revoke": ("social-jepa key revoke a/agents/agent-0/identity.key --name agent-0",),
    "evidence verify": ("social-jepa evidence verify runs/six/evidence/agent-3-4f0c2d.evidence",),
    "evidence compare": ("social-jepa evidence compare a b",),
}
GLOSSARY = {
    "run": "a folder with settings, ledger, checkpoints, graph; RUN is its path, or its name below ./runs",
    "simulation": "a run that stays up: agents join, move, leave and are queried",
    "agent": "a process with a camera pose and a world model that no other agent shares",
    "tick": "whole-numbered time of the scene that all cameras look at",
    "latent": "what a world model makes of a view; an embedding is a latent that leaves its agent",
    "core": "the leading dimensions of a latent: the factors that predict themselves",
    "anchors": "the embeddings of agreed ticks, on which two peers fit and score a map",
    "edge": "the map from one agent's core into another's with its scores; accepted, refused, failed, stale",
    "R2": "held-out share of variance that a map explains: 1 is perfect, 0 no better than the mean",
    "shared": "the directions of two cores that agree more than at any shift in time",
    "universe": "the common space of all agents, with one map each",
}
RUN_HINT = "; name a run with --run"


class Commands(typer.core.TyperGroup):
    """The commands; a run that is given as an argument, which none takes, is answered with --run."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except usage_error() as error:
            below = getattr(error, "ctx", None)
            takes_run = below is not None and any("--run" in each.opts for each in below.command.params)
            if takes_run and "unexpected extra argument" in str(error.message):
                error.message += RUN_HINT
            raise


def usage_error() -> type[typer.BadParameter]:
    """Return the class of mistakes in the words of a command, which typer does not export."""
    return typer.BadParameter.__base__  # type: ignore[return-value]


def add_examples(app: typer.Typer, above: str = "") -> None:
    """Show below the help of every command its examples."""
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        command.epilog = _lines("examples", EXAMPLES.get(above + name, ()))
    for group in app.registered_groups:
        assert group.typer_instance is not None
        prefix = f"{group.name} " if isinstance(group.name, str) else ""
        add_examples(group.typer_instance, above + prefix)


def glossary() -> str:
    """Return the glossary as the epilogue of a page of help."""
    width = max(map(len, GLOSSARY)) + 2
    return _lines("words", [f"{word:{width}}{meaning}" for word, meaning in GLOSSARY.items()])


def _lines(title: str, lines: Iterable[str]) -> str:
    """Return an epilogue; square brackets are escaped, which typer reads as markup."""
    rows = [line.replace("[", "\\[") for line in lines]
    return "\n".join([f"{title}:", *rows]) if rows else ""

"""The commands of a living simulation; each is thin over `social_jepa.runtime.simulation.Simulation`."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from social_jepa.cli.options import Address, AsJson, ConfigFile, Out, Settings, new_run, print_json

app = typer.Typer(pretty_exceptions_enable=False)

OwnSettings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="What it has otherwise than the others, for example model.dim=8.",
        show_default=False,
    ),
]
Run = Annotated[
    Path | None,
    typer.Option("--run", help="Run folder; the latest below ./runs by default.", show_default=False),
]
Name = Annotated[str, typer.Argument(metavar="AGENT", help="Name of an agent.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when all of its edges are settled.")]
PoseText = Annotated[
    str, typer.Option("--pose", help='"x,y,z,yaw,pitch[,fov]" in metres and degrees.', show_default=False)
]


@app.command()
def up(
    settings: Settings = None,
    config: ConfigFile = None,
    out: Out = None,
    address: Address = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller agents that learn faster.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a simulation that stays up: agents go on learning, and may come, move and leave."""
    folder, address = new_run(config, settings, out, address, quick)
    start(folder, address, False, as_json)


def start(folder: Any, address: str | None, again: bool, as_json: bool) -> None:
    """Bring a simulation up, or up again, and say how to reach it."""
    from social_jepa.runtime.simulation import Simulation

    with contextlib.redirect_stdout(sys.stderr):
        if again:
            simulation = Simulation.resume(folder, address)
        else:
            simulation = Simulation.up(folder.config(), folder, address)
    if as_json:
        print_json({"run": str(folder.path), "agents": simulation.status()})
        return
    typer.echo(f"up          {folder.path}")
    typer.echo("watch it    social-jepa status --watch")
    typer.echo("look at it  social-jepa serve")
    typer.echo("end it      social-jepa down")


@app.command()
def status(
    run: Run = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the agents: phase, step, loss, device, node, last checkpoint, incarnation."""
    from rich.live import Live

    from social_jepa.cli.status_table import make_status

    simulation = _reach(run)
    if as_json:
        print_json({"run": str(simulation.folder.path), "agents": simulation.status()})
        return
    from social_jepa.cli.tables import make_console

    console = make_console()
    if not watch:
        console.print(make_status(simulation.status()))
        return
    with (
        Live(make_status(simulation.status()), console=console) as live,
        contextlib.suppress(KeyboardInterrupt),
    ):
        while True:
            time.sleep(1.0)
            live.update(make_status(simulation.status()))


@app.command("add-agent")
def add_agent(
    settings: OwnSettings = None,
    pose: PoseText = "",
    name: Annotated[str, typer.Option(help='By default "agent-" and a number that is free.')] = "",
    model: Annotated[str, typer.Option(help="Kind of world model; by default that of the others.")] = "",
    teacher: Annotated[
        str, typer.Option(help="Peer from whose embeddings it learns first.", show_default=False)
    ] = "",
    wait: Wait = False,
    run: Run = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Let an agent join: it learns its view alone, or taught by a peer, then negotiates with everybody."""
    simulation = _reach(run)
    agent = simulation.add_agent(
        pose, name=name, kind=model, teacher=teacher, settings=settings or [], wait=wait
    )
    if as_json:
        print_json(agent)
        return
    if agent["waiting_for"]:
        typer.echo(
            f"{agent['name']} waits for {agent['waiting_for']}; social-jepa remove-agent ends the wait"
        )
    else:
        place = ", ".join(f"{round(float(number), 3) + 0.0:g}" for number in agent["pose"].split(","))
        typer.echo(f"{agent['name']} joined at {place}" + (", and is understood" if wait else ""))
    if wait and teacher:
        from social_jepa.report.distillation_savings import saving, told

        typer.echo(told(teacher, agent, saving(simulation.results(), agent["name"])))


@app.command("move-agent")
def move_agent(
    name: Name, pose: PoseText, wait: Wait = False, run: Run = None, as_json: AsJson = False
) -> None:
    """Turn an agent's camera to another view: its edges go stale and are negotiated anew."""
    agent = _reach(run).move_agent(name, pose, wait)
    if as_json:
        print_json(agent)
    else:
        typer.echo(f"{name} looks from {agent['pose']}" + ("" if wait else " and learns its new view"))


@app.command("remove-agent")
def remove_agent(name: Name, run: Run = None, as_json: AsJson = False) -> None:
    """Let an agent leave; its edges end with a tombstone, and no path leads through it any more."""
    _reach(run).remove_agent(name)
    if as_json:
        print_json({"removed": name})
    else:
        typer.echo(f"{name} left")


@app.command()
def edge(
    source: Name, target: Name,
    run: Run = None,
    history: Annotated[bool, typer.Option("--history", help="Every edge that the pair ever had.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show the edge between two agents: figures, versions, verdict."""
    from social_jepa.cli.status_table import print_edges
    from social_jepa.graph.results import load_results
    from social_jepa.storage.ledger import Ledger
    from social_jepa.storage.run_folder import find

    folder = find(run)
    results = load_results(folder)
    if history:
        ledger = Ledger(folder.ledger_file, read_only=True)
        try:
            found = ledger.history(source, target)
        finally:
            ledger.close()
    else:
        results.graph.edge(source, target)
        found = [e for e in results.document.edges if (e.source, e.target) == (source, target)]
    if as_json:
        print_json(found if history else found[0])
    else:
        print_edges(found)


@app.command()
def down(run: Run = None, as_json: AsJson = False) -> None:
    """Save and end a simulation and everything that it started; resume brings it back."""
    from social_jepa.runtime.errors import NotUpError
    from social_jepa.runtime.simulation import Simulation, clean_up
    from social_jepa.storage.run_folder import find

    folder = find(run)
    try:
        Simulation.attach(folder).down()
    except NotUpError:
        if not folder.simulation_file.exists():
            raise
        clean_up(folder)
    if as_json:
        print_json({"down": str(folder.path)})
    else:
        typer.echo(f"down        {folder.path}\nbring back  social-jepa resume {folder.path}")


def _reach(run: Path | None) -> Any:
    from social_jepa.runtime.simulation import Simulation
    from social_jepa.storage.run_folder import find_running

    return Simulation.attach(find_running(run))

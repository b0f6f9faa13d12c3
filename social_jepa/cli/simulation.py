"""Commands of a simulation that stays up; each calls a method of `Simulation`."""

import contextlib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from social_jepa.cli.completion import complete_agent, complete_setting
from social_jepa.cli.hints import hint, work_on
from social_jepa.cli.options import (
    Address,
    AsJson,
    ConfigFile,
    Nice,
    Out,
    Run,
    RunUp,
    Settings,
    check_timeout,
    create_run,
    print_json,
    print_unsaved,
    wait_progress,
    with_nice,
)
from social_jepa.cli.status_display import show_peer, show_status, watch_json, watch_status
from social_jepa.cli.status_options import AgentChoice, AgentOrder
from social_jepa.cli.working import working

if TYPE_CHECKING:
    from social_jepa.records import AgentStatus

app = typer.Typer(pretty_exceptions_enable=False)

AgentSettings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        autocompletion=complete_setting,
        help="Settings of this agent alone, for example model.dim=8.",
        show_default=False,
    ),
]
Name = Annotated[
    str, typer.Argument(metavar="AGENT", autocompletion=complete_agent, help="Name of an agent.")
]
SomeName = Annotated[
    str,
    typer.Argument(
        metavar="[AGENT]", autocompletion=complete_agent, show_default=False,
        help="Name of an agent; default: all.",
    ),
]  # fmt: skip
Wait = Annotated[bool, typer.Option("--wait", help="Return when all edges of the agent are settled.")]
Timeout = Annotated[
    float, typer.Option(min=0.0, help="Seconds to wait; default: without limit.", show_default=False)
]
PoseText = Annotated[
    str,
    typer.Option(
        "--pose", help='"x,y,z,yaw,pitch[,fov]" in meters and degrees, or view=NUMBER.', show_default=False
    ),
]


@app.command()
def up(
    settings: Settings = None,
    config: ConfigFile = None,
    out: Out = None,
    address: Address = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller agents that train faster.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when all edges are settled.")] = False,
    timeout: Timeout = math.inf,
    nice: Nice = None,
    as_json: AsJson = False,
) -> None:
    """Start a simulation that stays up: agents keep training, and may join, move and leave."""
    check_timeout(wait, timeout)
    folder, address = create_run(config, with_nice(settings, nice), out, address, quick)
    start(folder, address, False, as_json, timeout if wait else None)


def start(
    folder: Any, address: str | None, resumed: bool, as_json: bool, wait_seconds: float | None = None
) -> None:
    """Bring a simulation up, for the first time or again, and print the commands to use it.

    Args:
        folder: Its run folder.
        address: Ray cluster to join; None: a local Ray is started.
        resumed: Whether it was up before.
        as_json: Whether to print one JSON document.
        wait_seconds: Seconds to wait until all edges are settled; None: it is not waited for.
    """
    from social_jepa.runtime.agent_notes import agent_notes
    from social_jepa.runtime.logs import log_to_file
    from social_jepa.runtime.simulation import Simulation

    work_on(folder.path)
    log_to_file(folder.path, "driver")
    with contextlib.redirect_stdout(sys.stderr):  # for what Ray prints: stdout holds results only
        bring_up = Simulation.resume if resumed else Simulation.start
        with working(f"{f'joining {address}' if address else 'starting Ray'}, then the agents"):
            simulation = bring_up(folder, address)
        if wait_seconds is not None:
            simulation.wait(timeout=wait_seconds, progress=wait_progress())
    if as_json:
        print_json({"run": str(folder.path), "agents": simulation.status()})
        return
    typer.echo(f"up       {folder.path}")
    for note in agent_notes(simulation.status()):
        typer.echo(f"note     {note}")
    typer.echo(f"status   {hint('status', '--watch')}")
    typer.echo(f"page     {hint('serve')}")
    typer.echo(f"stop     {hint('down')}")


@app.command()
def status(
    run: RunUp = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second until Ctrl-C.")] = False,
    sort: Annotated[
        AgentOrder, typer.Option(help="Order of the agents; of numbers the largest first.")
    ] = AgentOrder.INDEX,
    phase: Annotated[str, typer.Option(help="Show agents in this phase only, such as failed.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Show so many agents at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show phase, step, loss, device, node, last checkpoint and incarnation of each agent.

    With --run FOLDER of a peer without Ray: its peers, its edges, and who is unreachable.
    """
    choice = AgentChoice(sort, phase, limit)
    if run is not None and show_peer(run, watch, as_json, choice):
        return
    simulation = _attach(run)
    if watch:
        watch_json(simulation, choice) if as_json else watch_status(simulation, choice)
        return
    if trouble := show_status(simulation, as_json, choice):
        typer.echo(f"social-jepa: {trouble}; this is what the ledger has", err=True)
        raise typer.Exit(1)


@app.command("add-agent")
def add_agent(
    settings: AgentSettings = None,
    pose: PoseText = "",
    name: Annotated[str, typer.Option(help='Name; default: "agent-" and the next free number.')] = "",
    model: Annotated[str, typer.Option(help="Kind of world model; default: that of the other agents.")] = "",
    teacher: Annotated[
        str,
        typer.Option(
            autocompletion=complete_agent, show_default=False,
            help="Peer to distill from before training alone.",
        ),
    ] = "",
    wait: Wait = False,
    timeout: Timeout = math.inf,
    run: RunUp = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Add an agent: it trains alone, or distills from a teacher first, then negotiates with all peers."""
    check_timeout(wait, timeout)
    simulation = _attach(run)
    agent = simulation.add_agent(
        pose, name=name, kind=model, teacher=teacher, settings=settings or [], wait=wait, timeout=timeout,
        progress=wait_progress(),
    )  # fmt: skip
    if as_json:
        print_json(agent)
        return
    if agent.waiting_for:
        typer.echo(
            f"{agent.name} waits for {agent.waiting_for}; {hint('remove-agent', agent.name)} cancels it"
        )
    else:
        understood = f", {_understood(simulation, agent.name)}" if wait else ""
        typer.echo(f"{agent.name} joined at {_place(agent.pose)}{understood}")
    if wait and teacher:
        from social_jepa.report.distillation_savings import describe_savings, distillation_savings

        savings = distillation_savings(simulation.results(), agent.name)
        typer.echo(describe_savings(teacher, agent, savings))


def _place(pose: str) -> str:
    """Return a pose with rounded numbers."""
    if "=" in pose:
        return pose
    return ", ".join(f"{round(float(number), 3) + 0.0:g}" for number in pose.split(","))


@app.command("move-agent")
def move_agent(
    name: Name, pose: PoseText, wait: Wait = False, timeout: Timeout = math.inf, run: RunUp = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Move an agent's camera: its edges go stale until it has trained on the new view."""
    check_timeout(wait, timeout)
    simulation = _attach(run)
    agent = simulation.move_agent(name, pose, wait, timeout, wait_progress())
    if as_json:
        print_json(agent)
    else:
        typer.echo(
            f"{name} moved to {agent.pose}, "
            + (_understood(simulation, name) if wait else "training on the new view")
        )


@app.command()
def pause(name: SomeName = "", run: RunUp = None, as_json: AsJson = False) -> None:
    """Let training of an agent, or of all, wait until resume-learning; it still replies to peers."""
    agents = _attach(run).pause(name)
    _show_training(agents, lambda each: f"pauses: {hint('resume-learning', each)} lets it train on", as_json)


@app.command("resume-learning")
def resume_learning(name: SomeName = "", run: RunUp = None, as_json: AsJson = False) -> None:
    """Let a paused agent, or all, train on."""
    _show_training(_attach(run).resume_learning(name), lambda _: "trains on", as_json)


def _show_training(agents: "Sequence[AgentStatus]", text: Callable[[str], str], as_json: bool) -> None:
    if as_json:
        print_json(agents)
    else:
        for agent in agents:
            typer.echo(f"{agent.name} {text(agent.name)}")


@app.command()
def topology(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TOPOLOGY", show_default=False,
            help="all, ring, k_regular(K), hubs(H) or tree, see negotiation.topology.",
        ),
    ],
    run: RunUp = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Change which pairs negotiate; the others translate along paths or through the universe."""
    edges = _attach(run).set_topology(text)
    if as_json:
        print_json({"topology": text, "edges": edges})
    else:
        typer.echo(f"the topology is {text}: {edges} edges; those of other pairs have ended")


@app.command("remove-agent")
def remove_agent(name: Name, run: RunUp = None, as_json: AsJson = False) -> None:
    """Remove an agent; its edges end with a tombstone, and no path leads through it."""
    _attach(run).remove_agent(name)
    if as_json:
        print_json({"removed": name})
    else:
        typer.echo(f"{name} left")


@app.command()
def edge(
    source: Name, target: Name,
    run: Run = None,
    history: Annotated[bool, typer.Option("--history", help="All edges that the pair has had.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show the edge between two agents: scores, versions, verdict."""
    from social_jepa.cli.status_table import print_edges
    from social_jepa.graph.edge_lookup import edge_history, find_edge
    from social_jepa.graph.results import load_results
    from social_jepa.storage.ledger import Ledger
    from social_jepa.storage.run_folder import find

    folder = find(run)
    results = load_results(folder)
    if history:
        with contextlib.closing(Ledger(folder.ledger_file, read_only=True)) as ledger:
            found = edge_history(ledger, source, target)
    else:
        found = [find_edge(results, source, target)]
    if as_json:
        print_json(found if history else found[0])
    else:
        print_edges(found)


@app.command()
def wait(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[AGENT]",
            autocompletion=complete_agent,
            help="Name of an agent; default: all.",
            show_default=False,
        ),
    ] = "",
    timeout: Timeout = math.inf,
    run: RunUp = None,
    as_json: AsJson = False,
) -> None:
    """Wait until an agent, or every agent, has settled its edges with all peers."""
    simulation = _attach(run)
    simulation.wait(name, timeout, wait_progress())
    if as_json:
        print_json({"run": str(simulation.folder.path), "agents": simulation.status()})
    else:
        typer.echo(f"{name or 'all agents'}: {_understood(simulation, name) if name else 'edges settled'}")


def _understood(simulation: Any, name: str) -> str:
    """Return by how many peers an agent is understood: those whose edge from it is accepted."""
    from alignment.status import Status

    edges = [edge for edge in simulation.results().document.edges if edge.source == name]
    accepted = sum(edge.status is Status.ACCEPTED for edge in edges)
    return f"edges settled, understood by {accepted} of {len(edges)} peers"


@app.command()
def down(run: RunUp = None, as_json: AsJson = False) -> None:
    """Save checkpoints and end all processes of a simulation; resume brings it back."""
    from social_jepa.runtime.errors import NotUpError
    from social_jepa.runtime.presence import remove_leftovers
    from social_jepa.runtime.simulation import Simulation
    from social_jepa.storage.run_folder import find_running

    folder = find_running(run)
    try:
        with working("agents save their checkpoints, then their processes end"):
            unsaved = Simulation.attach(folder).down()
    except NotUpError as error:
        if not error.ended:
            raise
        remove_leftovers(folder)
        unsaved = ["its processes had ended before: resume continues from the checkpoints that there are"]
    if as_json:
        print_json({"down": str(folder.path), "unsaved": unsaved})
    else:
        typer.echo(f"down     {folder.path}\nresume   {hint('resume', run=folder.path)}")
    if print_unsaved(unsaved):
        raise typer.Exit(1)


def _attach(run: Path | None) -> Any:
    from social_jepa.runtime.simulation import Simulation
    from social_jepa.storage.run_folder import find_running

    folder = find_running(run)
    work_on(folder.path)
    return Simulation.attach(folder)

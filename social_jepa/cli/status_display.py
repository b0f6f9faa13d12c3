"""What `status` shows of a simulation and of a peer without Ray, once or again and again."""

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from social_jepa.cli.options import CommandError, print_json
from social_jepa.cli.status_options import AgentChoice

if TYPE_CHECKING:
    from social_jepa.records.peer import PeerStatus

STATUS_TIMEOUT = 4.0  # seconds for a reply of the supervisor; then the ledger answers


def show_status(simulation: Any, as_json: bool, choice: AgentChoice) -> str:
    """Print the status of a simulation; return why it is only what the ledger has, empty if it is current.

    Raises:
        NotUpError: The simulation is not up any more.
    """
    agents, trouble = _status(simulation)
    if as_json:
        print_json(_document(simulation, choice, agents, trouble))
    else:
        from social_jepa.cli.status_table import make_status
        from social_jepa.cli.tables import make_console

        make_console().print(make_status(agents, _anchor_seed(simulation), choice))
    return trouble


def _document(simulation: Any, choice: AgentChoice, agents: Any, trouble: str) -> dict[str, Any]:
    """Return the status of a simulation as --json prints it."""
    run_path, seed = str(simulation.folder.path), _anchor_seed(simulation)
    return {"run": run_path, "agents": choice.of(agents), "trouble": trouble, "anchor_seed": seed}


def show_peer(folder: Path, watch: bool, as_json: bool, choice: AgentChoice | None = None) -> bool:
    """Show the state of a peer without Ray; return false where the folder is none of one.

    Args:
        folder: Its folder, or its name below ./runs.
        watch: Whether to print it again when it changes, until it is down or Ctrl-C.
        as_json: Whether to print JSON documents, one on each line if there are several.
        choice: Agents to show, which one peer has none of.
    """
    from social_jepa.cli.peer_tables import print_peer_status
    from social_jepa.storage.peer_status import DOWN, find_peer, read_status

    place = find_peer(folder)
    status = read_status(place) if place is not None else None
    if place is None or status is None:
        return False
    if choice not in (None, AgentChoice()):
        raise CommandError(f"{folder} is of one peer: --sort, --phase and --limit choose among agents")

    def show(found: "PeerStatus") -> None:
        print_json(found, one_line=watch) if as_json else print_peer_status(found)

    show(status)
    with contextlib.suppress(KeyboardInterrupt):
        while watch and status.phase != DOWN:
            time.sleep(1.0)
            found = read_status(place) or status
            if (found.phase, found.peers) != (status.phase, status.peers):
                if not as_json:
                    typer.echo()
                show(found)
            status = found
    return True


def _anchor_seed(simulation: Any) -> int | None:
    seed: int | None = simulation.folder.config().negotiation.public_seed
    return seed


def _status(simulation: Any) -> tuple[Any, str]:
    """Return the status of all agents, and why it is only what the ledger has; empty: it is current.

    Raises:
        NotUpError: The simulation is not up any more.
    """
    from social_jepa.cli.errors import describe
    from social_jepa.runtime.errors import SupervisorUnavailableError
    from social_jepa.runtime.last_known import last_known
    from social_jepa.runtime.presence import find_simulation

    try:
        return simulation.status(STATUS_TIMEOUT), ""
    except SupervisorUnavailableError as error:
        find_simulation(simulation.folder)
        return last_known(simulation.folder), describe(error)


def watch_status(simulation: Any, choice: AgentChoice) -> None:
    """Show the status once a second until Ctrl-C, or until the simulation is down."""
    from rich.live import Live

    from social_jepa.cli.status_table import make_status
    from social_jepa.cli.tables import make_console
    from social_jepa.runtime.errors import NotUpError

    anchor_seed, (agents, trouble) = _anchor_seed(simulation), _status(simulation)
    with (
        Live(make_status(agents, anchor_seed, choice), console=make_console()) as live,
        contextlib.suppress(KeyboardInterrupt),
    ):
        while True:
            time.sleep(1.0)
            try:
                agents, trouble = _status(simulation)
            except NotUpError as error:
                live.console.print(str(error), markup=False, soft_wrap=True)
                return
            table = make_status(agents, anchor_seed, choice)
            if trouble:
                table.title, table.title_justify = escape(trouble), "left"
            live.update(table)


def watch_json(simulation: Any, choice: AgentChoice) -> None:
    """Print the status once a second, one JSON document on each line, as long as `watch_status` shows it."""
    from social_jepa.runtime.errors import NotUpError

    found = _status(simulation)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            print_json(_document(simulation, choice, *found), one_line=True)
            time.sleep(1.0)
            try:
                found = _status(simulation)
            except NotUpError as error:
                typer.echo(f"social-jepa: {error}", err=True)
                return

"""Commands of peers without Ray: run one agent or a table of embeddings, and look at it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from social_jepa.cli.hints import work_on
from social_jepa.cli.options import AsJson, CommandError, ConfigFile, Settings, print_unsaved
from social_jepa.cli.peer_display import PeerDisplay

if TYPE_CHECKING:
    from agents.protocol.transports.faults import Faults
    from agents.protocol.transports.tcp import TcpOptions
    from alignment.embeddings.table import EmbeddingTable
    from social_jepa.runtime.peer_connections import NetworkOptions
    from social_jepa.storage.run_folder import RunFolder

START = "start"
HELDOUT = 0.5  # share of the anchors that only scores the maps


class PeerGroup(TyperGroup):
    """Commands about peers; without the name of one, `start` is meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # typer has its own copy of click
        """Put `start` before anything that is no command."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = [START, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=PeerGroup, pretty_exceptions_enable=False, no_args_is_help=True)

PeerPath = Annotated[Path, typer.Option("--run", metavar="FOLDER", help="Folder of the peer, its --out.")]
Watch = Annotated[bool, typer.Option("--watch", help="Print it again when it changes, until Ctrl-C.")]
Folder = Annotated[Path, typer.Option("--out", help="Its run folder; one that exists is continued.")]
Name = Annotated[
    str,
    typer.Option(
        "--name", help="Its name; of an agent one of agent-0, agent-1 …, of a table by default its file's."
    ),
]
Embeddings = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Negotiate about this table: .npy, .npz, .safetensors or .csv; nothing is trained.",
    ),
]
Ids = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Ids of its rows, one in each line, or .npy; the same for all peers."),
]
Anchors = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The ids that all peers have agreed on; default: all of the table."),
]
Announce = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST:PORT", help="Where others reach it, if not where it listens. Repeatable."),
]
TimeOrder = Annotated[
    bool, typer.Option("--time-order", help="Rows are consecutive ticks: the null shifts them in time.")
]
Heldout = Annotated[
    float | None,
    typer.Option(help=f"Share of the anchors that only scores the maps; by default {HELDOUT}."),
]
StopAfter = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="End by itself when the edges with so many peers are settled."),
]
Listen = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST:PORT", help="Accept connections here; port 0 is any free one. Repeatable."),
]
Connect = Annotated[
    list[str] | None, typer.Option(metavar="HOST:PORT", help="Keep a connection to a peer. Repeatable.")
]
Key = Annotated[
    Path | None, typer.Option(help="Its key file; default: identity.key in its folder, made when missing.")
]
Trust = Annotated[
    Path | None,
    typer.Option(help="Keys of the only peers to talk to; default: the first key that each shows is kept."),
]
Session = Annotated[str, typer.Option(help="A word that keeps groups of peers apart.")]
FaultText = Annotated[
    str,
    typer.Option("--faults", help="For tests: drop=0.3,dup=0.3,reorder=32,delay=0.1,partition=A|B."),
]
TlsCert = Annotated[Path | None, typer.Option(help="Certificate (PEM): accept TLS connections only.")]
TlsKey = Annotated[Path | None, typer.Option(help="Private key (PEM) of --tls-cert.")]
TlsCa = Annotated[Path | None, typer.Option(help="Certificates (PEM) to trust: dial with TLS.")]


@app.callback()
def about() -> None:
    """Run one agent, or a table of embeddings, as a process without Ray, and look at it.

    `social-jepa peer --out FOLDER …` is `social-jepa peer start --out FOLDER …`, which lists the options.
    """


@app.command(START)
def start(
    out: Folder, settings: Settings = None, name: Name = "",
    embeddings: Embeddings = None, ids: Ids = None, anchors: Anchors = None,
    listen: Listen = None, connect: Connect = None, announce: Announce = None,
    config: ConfigFile = None, key: Key = None, trust: Trust = None, session: Session = "",
    online: Annotated[bool, typer.Option("--online", help="Keep training after the schedule.")] = False,
    time_order: TimeOrder = False,
    heldout: Heldout = None, stop_after: StopAfter = 0, faults: FaultText = "",
    tls_cert: TlsCert = None, tls_key: TlsKey = None, tls_ca: TlsCa = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each change as one JSON document.")] = False,
) -> None:  # fmt: skip
    """Run one agent, or a table of embeddings, as a process without Ray; it meets peers over TCP.

    It prints what changes, one line each. Ctrl-C saves and ends it; the same command continues it.
    """
    from social_jepa.runtime.peer_connections import NetworkOptions

    tcp = _tcp_options(listen or [], connect or [], announce or [], tls_cert, tls_key, tls_ca)
    network, display = (
        NetworkOptions(tcp, key, trust, session, _faults(faults)),
        PeerDisplay(as_json, stop_after),
    )
    if embeddings is None:
        of_table = {
            "--ids": ids,
            "--anchors": anchors,
            "--time-order": time_order,
            "--heldout": heldout is not None,
            "--stop-after": stop_after,
        }
        _refuse(of_table, "is for a table of embeddings: give --embeddings too")
        _run_agent(_open_folder(out, config, settings or []), name or "agent-0", network, online, display)
    else:
        of_agent = {"KEY=VALUE": settings, "--config": config, "--online": online}
        _refuse(of_agent, "is for an agent that trains: leave it out, or --embeddings")
        table = _read_table(embeddings, name, ids, anchors)
        compare = (HELDOUT if heldout is None else heldout, time_order)
        _run_embeddings(out, table, network, compare, display)


@app.command()
def status(folder: PeerPath, watch: Watch = False, as_json: AsJson = False) -> None:
    """Show a peer, its peers, the edges from them, and who is unreachable; as status --run FOLDER."""
    from social_jepa.cli.status_display import show_peer

    if not show_peer(folder, watch, as_json):
        raise CommandError(
            f"{folder} is no folder of a peer: start one there with social-jepa peer --out {folder}"
        )


@app.command()
def graph(folder: PeerPath, as_json: AsJson = False) -> None:
    """Show the edges into a peer, from its ledger; as graph --run FOLDER."""
    from social_jepa.cli import graph as commands

    commands.graph(folder, as_json=as_json)


@app.command()
def query(
    folder: PeerPath,
    source: Annotated[str, typer.Option("--from", help="Peer whose embedding is translated.")] = "",
    anchor: Annotated[str, typer.Option("--id", help="Its anchor; the start of the id is enough.")] = "",
    vector: Annotated[str | None, typer.Option(help="An embedding: numbers separated by commas.")] = None,
    top: Annotated[int, typer.Option(min=1, max=100, help="Number of nearest anchors to show.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Translate an embedding of another peer, and find the nearest anchors; as query --run FOLDER."""
    from social_jepa.cli import graph as commands
    from social_jepa.storage.peer_status import find_peer, read_status

    own = read_status(find_peer(folder) or folder)
    target = own.name if own else ""
    commands.query(
        folder, source=source, target=target, anchor=anchor, vector=vector, top=top, as_json=as_json
    )


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Raise CommandError for the first option that was given."""
    for option, value in given.items():
        if value:
            raise CommandError(f"{option} {why}")


def _faults(text: str) -> "Faults":
    from agents.protocol.transports.faults import Faults

    return Faults.parse(text)


def _run_agent(
    folder: "RunFolder", name: str, network: "NetworkOptions", online: bool, display: PeerDisplay
) -> None:
    from social_jepa.runtime.peer import Peer, PeerOptions

    work_on(folder.path)
    peer = Peer(folder, PeerOptions(name, network, online))
    try:
        peer.run(display.agent)
    finally:
        print_unsaved(peer.unsaved)


def _run_embeddings(
    out: Path, table: "EmbeddingTable", network: "NetworkOptions", compare: tuple[float, bool],
    display: PeerDisplay,
) -> None:  # fmt: skip
    """Serve a table until Ctrl-C, or until it has settled enough.

    Args:
        out: Its folder.
        table: The table.
        network: How it meets others.
        compare: Share of anchors that scores, and whether rows are in the order of time.
        display: Prints what changes.
    """
    from alignment.embeddings.pairs import AlignSettings
    from social_jepa.runtime.logs import log_to_file
    from social_jepa.runtime.networked_peer import NetworkedPeer

    peer = NetworkedPeer(table, out, network, AlignSettings(heldout=compare[0], time_order=compare[1]))
    work_on(peer.folder.path)
    log_to_file(peer.folder.path, table.name)
    try:
        peer.start()
        peer.serve(display.embeddings)
    finally:
        peer.close()
        unsaved = print_unsaved(peer.unsaved)
    if unsaved:  # it ended by itself
        raise typer.Exit(1)


def _read_table(path: Path, name: str, ids: Path | None, anchors: Path | None) -> "EmbeddingTable":
    """Return the table of --embeddings: of all of its rows, or of those that --anchors names.

    Raises:
        CommandError: It lacks one of those, or its name cannot be that of a peer.
        AlignmentError: A file cannot be used.
    """
    from agents.common.names import is_name
    from alignment.embeddings.files import read_ids, read_table
    from alignment.embeddings.peer import EmbeddingPeer

    name = name or path.stem
    if not is_name(name):
        raise CommandError(f"--name {name}: choose 1 to 64 letters, digits, '.', '-' or '_'")
    table = read_table(path, name, read_ids(ids) if ids else None)
    if anchors is None or table.ids is None:
        return table
    wanted, row = read_ids(anchors), {each: number for number, each in enumerate(table.ids)}
    missing = [each for each in wanted if each not in row]
    if missing:
        raise CommandError(
            f"{path} lacks {len(missing)} of the {len(wanted)} anchors of {anchors}, {missing[0]} first: "
            "embed them, or agree on fewer"
        )
    return EmbeddingPeer(name, wanted, table.vectors[[row[each] for each in wanted]])


def _open_folder(out: Path, config: Path | None, settings: list[str]) -> "RunFolder":
    """Return the run folder, new or to be continued.

    Raises:
        CommandError: It holds a run with other settings.
    """
    from social_jepa.config.run_config import load_config
    from social_jepa.storage.run_folder import RunFolder, create

    resolved = load_config(config, settings)
    if not (out / "config.toml").exists():
        return create(resolved, out)
    folder = RunFolder.at(out)
    if (config or settings) and folder.config() != resolved:
        raise CommandError(
            f"{out} was started with other settings: give none to continue it, or another --out"
        )
    return folder


def _tcp_options(
    listen: list[str], connect: list[str], announce: list[str], tls_cert: Path | None, tls_key: Path | None,
    tls_ca: Path | None,
) -> "TcpOptions":  # fmt: skip
    """Return the addresses to listen at and to dial, and their TLS.

    Raises:
        CommandError: An option is missing, or a file cannot be used.
    """
    import ssl  # here: the page of help needs no TLS

    from agents.protocol.transports.address import PeerAddress, PeerAddressError
    from agents.protocol.transports.tcp import TcpOptions

    if not listen and not connect:
        raise CommandError("give --listen HOST:PORT, --connect HOST:PORT, or both: else it meets no peer")
    try:
        addresses = [tuple(map(PeerAddress.parse, texts)) for texts in (listen, connect, announce)]
    except PeerAddressError as error:
        raise CommandError(f"--listen, --connect and --announce: {error}") from error
    if (tls_cert is None) != (tls_key is None):
        raise CommandError("--tls-cert and --tls-key are given together")
    server = client = None
    try:
        if tls_cert is not None:
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.load_cert_chain(tls_cert, tls_key)
        if tls_ca is not None:
            client = ssl.create_default_context(cafile=str(tls_ca))
    except OSError as error:  # an SSLError is one too
        reason = getattr(error, "reason", None) or error.strerror or error
        raise CommandError(f"--tls-cert, --tls-key or --tls-ca: {reason}") from error
    return TcpOptions(addresses[0], addresses[1], announce=addresses[2], server_tls=server, client_tls=client)

"""The command that runs one agent without Ray."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from social_jepa.cli.hints import hint, work_on
from social_jepa.cli.options import CommandError, ConfigFile, Settings

if TYPE_CHECKING:
    from agents.protocol.transports.tcp import TcpOptions
    from social_jepa.runtime.peer import Peer
    from social_jepa.storage.run_folder import RunFolder

app = typer.Typer(pretty_exceptions_enable=False)

Folder = Annotated[Path, typer.Option("--out", help="Its run folder; one that exists is continued.")]
Name = Annotated[str, typer.Option("--name", help="Its name, one of agent-0, agent-1 and so on.")]
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
Session = Annotated[str, typer.Option(help="A word that keeps groups of peers with the same scene apart.")]
FaultText = Annotated[
    str,
    typer.Option("--faults", help="For tests: drop=0.3,dup=0.3,reorder=32,delay=0.1,partition=A|B."),
]
TlsCert = Annotated[Path | None, typer.Option(help="Certificate (PEM): accept TLS connections only.")]
TlsKey = Annotated[Path | None, typer.Option(help="Private key (PEM) of --tls-cert.")]
TlsCa = Annotated[Path | None, typer.Option(help="Certificates (PEM) to trust: dial with TLS.")]


@app.command()
def peer(
    out: Folder,
    settings: Settings = None,
    name: Name = "agent-0",
    listen: Listen = None,
    connect: Connect = None,
    config: ConfigFile = None,
    key: Key = None,
    trust: Trust = None,
    session: Session = "",
    online: Annotated[bool, typer.Option("--online", help="Keep training after the schedule.")] = False,
    faults: FaultText = "",
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Run one agent as an ordinary process, without Ray; it meets its peers over TCP. Ctrl-C ends it."""
    from agents.protocol.transports.faults import Faults
    from social_jepa.runtime.peer import Peer, PeerOptions

    tcp = _tcp_options(listen or [], connect or [], tls_cert, tls_key, tls_ca)
    found_faults = Faults.parse(faults)
    folder = _open_folder(out, config, settings or [])
    work_on(folder.path)
    opened = Peer(
        folder,
        PeerOptions(
            name=name, tcp=tcp, key=key, trust=trust, session=session, faults=found_faults, online=online
        ),
    )
    opened.run(_Display())


class _Display:
    """Prints what changes, one line each."""

    def __init__(self) -> None:
        """Start with nothing printed."""
        self._shown: dict[str, Any] = {}

    def __call__(self, peer: "Peer") -> None:
        """Print what has changed."""
        transport = peer.connections.transport
        for address in transport.addresses:
            self._show(f"listens {address}", "listens", str(address))
        status = peer.status()
        self._show("phase", "phase", status.phase)
        self._show("note", "note", status.note)
        self._show("connected", "connected", ", ".join(transport.connected()) or "with no peer")
        key = f"edges {status.checkpoint}"
        if key not in self._shown and peer.settled():  # which reads every edge from the ledger
            self._show(key, "settled", f"all edges; {hint('graph')} shows those into it")

    def _show(self, key: str, title: str, text: str) -> None:
        if text != self._shown.get(key, ""):
            self._shown[key] = text
            typer.echo(f"{title:10} {text}")


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
    listen: list[str], connect: list[str], tls_cert: Path | None, tls_key: Path | None, tls_ca: Path | None
) -> "TcpOptions":
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
        addresses = [tuple(map(PeerAddress.parse, texts)) for texts in (listen, connect)]
    except PeerAddressError as error:
        raise CommandError(f"--listen and --connect: {error}") from error
    if (tls_cert is None) != (tls_key is None):
        raise CommandError("--tls-cert and --tls-key are given together")
    server = client = None
    try:
        if tls_cert is not None:
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.load_cert_chain(tls_cert, tls_key)
        if tls_ca is not None:
            client = ssl.create_default_context(cafile=str(tls_ca))
    except ssl.SSLError as error:
        raise CommandError(f"--tls-cert, --tls-key or --tls-ca: {error.reason or error}") from error
    return TcpOptions(listen=addresses[0], connect=addresses[1], server_tls=server, client_tls=client)

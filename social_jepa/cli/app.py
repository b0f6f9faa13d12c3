"""The command line: parse, run, print. Heavy libraries are imported by the commands that use them."""

import codecs
import contextlib
import io
import logging
import sys
import threading
from importlib import import_module
from signal import Signals
from typing import Annotated, Any

import typer

from social_jepa.cli.align import app as align
from social_jepa.cli.demo import app as demo
from social_jepa.cli.evidence import app as evidence
from social_jepa.cli.examples import Commands, add_examples, glossary
from social_jepa.cli.experiment import app as experiment
from social_jepa.cli.graph import app as graph
from social_jepa.cli.graph import print_document
from social_jepa.cli.hints import work_on
from social_jepa.cli.key import app as key
from social_jepa.cli.options import (
    Address,
    AsJson,
    ChangedSettings,
    ConfigFile,
    Nice,
    Out,
    Run,
    Settings,
    create_run,
    is_quiet,
    print_json,
    print_unsaved,
    with_nice,
)
from social_jepa.cli.peer import app as peer
from social_jepa.cli.reproduce import app as reproduce
from social_jepa.cli.runs import app as runs
from social_jepa.cli.serve import app as serve
from social_jepa.cli.simulation import app as simulation
from social_jepa.cli.simulation import start
from social_jepa.cli.wire import app as wire
from social_jepa.runtime.logs import log_to_stderr
from social_jepa.system.check import UnfitMachineError, require
from social_jepa.system.host_checks import check_system
from social_jepa.system.imports import check_imports
from social_jepa.system.matplotlib_cache import set_matplotlib_cache
from social_jepa.system.signals import raise_on_signals, signal_of

app = typer.Typer(
    name="social-jepa",
    no_args_is_help=True,
    cls=Commands,
    pretty_exceptions_enable=False,
    help="Train JEPA world models of one scene separately, and translate between them by small linear maps.",
    epilog=glossary(),
)

app.add_typer(demo)
app.add_typer(align)
app.add_typer(simulation)
app.add_typer(runs)
app.add_typer(graph)
app.add_typer(serve)
app.add_typer(experiment)
app.add_typer(reproduce)
app.add_typer(peer, name="peer")
app.add_typer(wire, name="wire")
app.add_typer(key, name="key")
app.add_typer(evidence, name="evidence")


def _print_versions(wanted: bool) -> None:
    if not wanted:
        return
    from social_jepa.system.versions import PROGRAM, commit, versions

    found = versions()
    source = f" (commit {known})" if (known := commit()) else ""
    typer.echo(f"{PROGRAM} {found[PROGRAM]}{source}")
    typer.echo("\n".join(f"{name} {found[name]}" for name in ("python", "torch", "ray")))
    raise typer.Exit


@app.callback()
def configure(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_versions, is_eager=True, help="Print versions and exit."),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Log to stderr what is going on."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing to stderr but errors.")] = False,
) -> None:
    """Set what is written to stderr, and refuse to run where nothing can work; doctor says why in full."""
    if context.invoked_subcommand != "doctor":
        require(check_system(), check_imports())
    set_matplotlib_cache()
    if verbose and quiet:
        raise typer.BadParameter("choose --verbose or --quiet, not both")
    log_to_stderr(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)


@app.command()
def run(
    settings: Settings = None,
    config: ConfigFile = None,
    out: Out = None,
    address: Address = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller run that still shows an isometry.")
    ] = False,
    nice: Nice = None,
    as_json: AsJson = False,
) -> None:
    """Train agents separately, then negotiate the translation graph between them."""
    folder, address = create_run(config, with_nice(settings, nice), out, address, quick, batch=True)
    _run_batch(folder.config(), folder, address, False, as_json)


@app.command()
def resume(
    settings: ChangedSettings = None,
    run: Run = None,
    address: Address = None,
    nice: Nice = None,
    as_json: AsJson = False,
) -> None:
    """Continue a run that was stopped, or bring a simulation up again, from the agents' checkpoints."""
    from social_jepa.runtime.new_run import cluster_address
    from social_jepa.runtime.preflight import check_before_start
    from social_jepa.runtime.presence import was_simulation
    from social_jepa.storage.run_folder import find

    folder, address = find(run), cluster_address(address)
    if changed := with_nice(settings, nice):
        from social_jepa.runtime.continuation import change_settings

        change_settings(folder, changed, address)
    if was_simulation(folder):
        start(folder, address, True, as_json)
        return
    check_before_start(folder.config(), address)
    _run_batch(folder.config(), folder, address, True, as_json)


@app.command()
def report(run: Run = None, as_json: AsJson = False) -> None:
    """Write a run's report.html again."""
    from social_jepa.graph.results import load_results
    from social_jepa.report.page import write_report
    from social_jepa.storage.run_folder import find

    path = write_report(load_results(find(run)))
    if as_json:
        print_json({"report": str(path)})
    else:
        typer.echo(path)


@app.command()
def doctor(address: Address = None, as_json: AsJson = False) -> None:
    """Check this machine, and the Ray cluster if one is named; print a remedy for each failed check."""
    from social_jepa.cli.tables import print_checks
    from social_jepa.system.doctor import checks

    if as_json:
        found = list(checks(address))
        print_json({"checks": [check.__dict__ for check in found]})
    else:
        found = print_checks(checks(address))
    raise typer.Exit(0 if all(check.ok for check in found) else 1)


@app.command("check-scene")
def check_scene(settings: Settings = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check the dynamics and the renderer of a scene, or a source of frames, against their contracts."""
    from env.custom_scenes.checker import check_scene as check
    from env.scene import Scene
    from env.sources.checker import check_source
    from social_jepa.config.run_config import load_config

    run = load_config(config, settings or ())
    if run.scene.source:
        check_source(run.scene.source, run.scene.frames, run.scene.frame_size)
        scene = Scene(run.scene, run.seed)
        assert scene.source is not None
        found = {"source": run.scene.source, "ticks": scene.source.ticks, "views": scene.source.views}
    else:
        check(run.scene, run.seed, run.poses())
        found = {"dynamics": run.scene.dynamics, "renderer": run.scene.renderer}
    found |= {
        "decorrelation_ticks": run.scene.decorrelation_ticks,
        "fingerprint": Scene(run.scene, run.seed).fingerprint,
    }
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(f"{name:20} {value}" for name, value in found.items()))
        typer.echo("the scene meets its contract")


def _run_batch(config: Any, folder: Any, address: str | None, resumed: bool, as_json: bool) -> None:
    from rich.console import Console

    from agents.common.niceness import raise_niceness
    from social_jepa.runtime.batch_run import BatchRun
    from social_jepa.runtime.console_progress import ProgressDisplay
    from social_jepa.runtime.logs import log_to_file

    raise_niceness(config.agents.nice)  # scoring and the report are work of this process
    work_on(folder.path)
    log_to_file(folder.path, "driver")
    display = ProgressDisplay(Console(stderr=True, quiet=is_quiet()))
    batch = BatchRun(config, folder, display, resumed)
    import_module("concurrent.futures.thread")  # for torch: after Ctrl-C it can no longer be imported
    # Meanwhile Ray starts. No daemon: a process that exits in the midst of such an import may crash.
    threading.Thread(target=_import_report).start()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # for what Ray prints: stdout holds results only
            document = batch.run(address)
            display.phase("writing the report")
            from social_jepa.graph.results import load_results
            from social_jepa.report.page import write_report

            write_report(load_results(folder), document)
    except Exception:
        display.close()
        print_unsaved(batch.unsaved)
        raise
    finally:
        display.close()
    print_document(document, as_json)
    if not as_json:
        typer.echo(f"run folder  {folder.path}\nreport      {folder.report_file}")
    if print_unsaved(batch.unsaved):
        raise typer.Exit(1)


def _import_report() -> None:
    """Import what the end of a run needs: torch and matplotlib take seconds."""
    with contextlib.suppress(ImportError):  # it is raised where a run needs it
        import_module("social_jepa.report.page")


def _make_output_encodable() -> None:
    """Let stdout and stderr take every character: one that their encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where a test or a notebook has replaced it
            if (
                codecs.lookup(stream.encoding).name == "ascii"
            ):  # no locale is set: bytes of names pass as they are
                stream.reconfigure(encoding="utf-8", errors="surrogateescape")
            else:
                stream.reconfigure(errors="backslashreplace")


def _interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the KeyboardInterrupt that typer has turned into an exit, or None."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return error
        error = error.__cause__ or error.__context__
    return None


def main() -> None:
    """Run the command line; an error becomes one sentence on stderr and an exit status."""
    _make_output_encodable()
    raise_on_signals()
    work_on(None)
    add_examples(app)
    try:
        app()
    except SystemExit as exit_:
        if (interrupt := _interrupt_behind(exit_)) is None:
            raise
        number = signal_of(interrupt)
        typer.echo(f"social-jepa: interrupted by {Signals(number).name}", err=True)
        sys.exit(128 + number)
    except UnfitMachineError as error:  # first: the modules that describe other errors may not be importable
        typer.echo(f"social-jepa: {error}", err=True)
        sys.exit(1)
    except ImportError as error:  # a package of ours or of others was overwritten or half removed
        typer.echo(f"social-jepa: {error}: run social-jepa doctor, or install it again", err=True)
        sys.exit(1)
    except (
        ValueError,
        LookupError,
        RuntimeError,
        OSError,
    ) as error:  # bases of our errors
        from social_jepa.cli.errors import describe, exit_status

        typer.echo(f"social-jepa: {describe(error)}", err=True)
        sys.exit(exit_status(error))

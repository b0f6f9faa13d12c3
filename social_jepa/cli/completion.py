"""What a shell completes: runs, agents, settings, experiments, claims. An error completes to nothing."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer


def complete_run(incomplete: str) -> list[str]:
    """Return the names of runs in ./runs, and the folders whose path begins with what was typed."""
    return _matching(incomplete, _runs(incomplete, "config.toml"))


def complete_running(incomplete: str) -> list[str]:
    """Return the runs whose simulation is up, or was when its processes were killed."""
    return _matching(incomplete, _runs(incomplete, "simulation.json"))


def _runs(incomplete: str, file: str) -> Iterator[str]:
    from social_jepa.storage.run_folder import RUNS

    for entry in sorted(RUNS.glob(f"*/{file}"), reverse=True):  # names are dates: the newest first
        yield entry.parent.name
    if incomplete:
        typed = Path(incomplete)
        above = typed if incomplete.endswith("/") else typed.parent
        for entry in sorted(above.glob(f"*/{file}")):
            yield str(entry.parent)


def complete_agent(context: typer.Context, incomplete: str) -> list[str]:
    """Return the agents of the run that --run names, by default of the latest one."""
    return _matching(incomplete, _agents(context.params.get("run")))


def _agents(run: Path | str | None) -> Iterator[str]:
    from social_jepa.storage.ledger import Ledger
    from social_jepa.storage.run_folder import find

    folder = find(Path(run) if run else None)
    with contextlib.closing(Ledger(folder.ledger_file, read_only=True, quick=True)) as ledger:
        yield from ledger.incarnations()


def complete_setting(incomplete: str) -> list[str]:
    """Return the settings whose name begins with what was typed, up to the equals sign."""
    return _matching(incomplete, _settings())


def _settings() -> Iterator[str]:
    from social_jepa.config.overrides import keys
    from social_jepa.config.run_config import RunConfig

    yield from (f"{key}=" for key in keys(RunConfig))


def complete_experiment(incomplete: str) -> list[str]:
    """Return the names of experiments."""
    return _matching(incomplete, _experiments())


def _experiments() -> Iterator[str]:
    from social_jepa.experiments.framework.registry import EXPERIMENTS

    yield from EXPERIMENTS
    yield "all"


def complete_claim(incomplete: str) -> list[str]:
    """Return the names of claims of the papers."""
    return _matching(incomplete, _claims())


def _claims() -> Iterator[str]:
    from social_jepa.experiments.claims.papers import CLAIMS

    yield from CLAIMS


def _matching(incomplete: str, words: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    with contextlib.suppress(OSError, ValueError, LookupError, RuntimeError):  # of a run that cannot be read
        found |= dict.fromkeys(word for word in words if word.startswith(incomplete))
    return list(found)

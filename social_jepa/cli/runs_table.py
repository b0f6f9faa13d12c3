"""Tables about several runs."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from social_jepa.cli.fitted_table import FittedTable
from social_jepa.cli.tables import make_console, make_table

if TYPE_CHECKING:
    from social_jepa.graph.comparison import RunComparison
    from social_jepa.records import RunRecord

SHOWN_SETTINGS = 4  # of a run in the list; --json has all


def make_runs(runs: Iterable["RunRecord"]) -> FittedTable:
    """Return a table with one row for each run."""
    # the graph accepts fewer where a majority contradicts an agent, which takes its maps to know
    table = FittedTable(spare=("started", "agents", "peers accept"), prose=("settings, or what is wrong",))
    table.add_texts("run", "state")
    table.add_numbers("agents", "peers accept", "R2")
    table.add_texts("started", "settings, or what is wrong")
    for run in runs:
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.time))
        table.add_row(
            run.name, run.state, _known(run.agents),
            "" if run.edges is None else f"{run.accepted} of {run.edges}",
            _score(run.r2_shared), started, _remark(run),
        )  # fmt: skip
    return table


def _remark(run: "RunRecord") -> str:
    """Return why a run is damaged or was stopped, or the first of its settings that are not the default."""
    if run.state == "damaged":
        return run.reason
    words = [f"{name}={setting_text(value)}" for name, value in run.settings.items()]
    more = len(words) - SHOWN_SETTINGS
    text = " ".join(words[:SHOWN_SETTINGS]) + (f" and {more} more" if more > 0 else "")
    return f"({run.reason}) {text}" if run.reason else text


def setting_text(value: object) -> str:
    """Return the value of a setting as `run` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _known(value: int | None) -> str:
    return "" if value is None else str(value)


def print_comparison(found: "RunComparison", console: Console | None = None) -> None:
    """Print two runs side by side: means, settings, agents, edges."""
    console = console or make_console()
    for letter, path, mean in zip("AB", found.runs, found.mean_r2, strict=True):
        score = "no accepted edge" if mean is None else f"mean R2 {mean:.3f}"
        console.print(escape(f"{letter}  {path}  {score}"), soft_wrap=True)
    if found.mean_difference is not None:
        console.print(f"B - A over edges that both accept: mean R2 {found.mean_difference:+.3f}")
    if not found.same_scene:
        console.print("The scenes differ: R2 are of different worlds.")
    if not found.settings:
        console.print("No setting differs.")
    tables = (_settings(found.settings), _compared_agents(found), _compared_edges(found))
    for table in tables if found.settings else tables[1:]:
        console.print()
        console.print(table)


def _settings(settings: Mapping[str, tuple[object, object]]) -> FittedTable:
    table = make_table("settings that differ", ("setting", "A", "B"), ())
    for name, values in settings.items():
        table.add_row(name, *map(setting_text, values))
    return table


def _compared_agents(found: "RunComparison") -> FittedTable:
    table = make_table(
        "agents", ("agent", "kind A", "kind B"), ("core A", "core B", "probe A", "probe B"),
        spare=("probe A", "probe B", "core A", "core B"),
    )  # fmt: skip
    for agent in found.agents:
        sides = (agent.first, agent.second)
        kinds = ("absent" if side is None else side.kind for side in sides)
        cores = (_known(_field(side, "core_dim")) for side in sides)
        table.add_row(agent.name, *kinds, *cores, *(_score(_field(side, "probe_r2")) for side in sides))
    return table


def _compared_edges(found: "RunComparison") -> FittedTable:
    table = make_table(
        "edges: held-out R2 and number of shared directions",
        ("edge", "verdict A", "verdict B"),
        ("R2 A", "R2 B", "B - A", "shared A", "shared B", "shared B - A"),
        spare=("shared B - A", "shared A", "shared B"),
    )
    for edge in found.edges:
        sides = (edge.first, edge.second)
        table.add_row(
            f"{edge.source} > {edge.target}", *("none" if side is None else side.status for side in sides),
            *(_score(_field(side, "r2_shared")) for side in sides),
            "" if edge.r2_difference is None else f"{edge.r2_difference:+.3f}",
            *(_known(_field(side, "shared_dim")) for side in sides),
            "" if edge.shared_difference is None else f"{edge.shared_difference:+d}",
        )  # fmt: skip
    return table


def _field(side: object, name: str) -> Any:
    """Return a field of a side, or None where that run lacks the agent or edge."""
    return None if side is None else getattr(side, name)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"

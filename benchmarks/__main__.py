"""``python -m benchmarks``: run some or all of them and print one table, or one JSON document."""

import argparse
import contextlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

from benchmarks.harness import Effort, Metric, brief, say


@dataclass(frozen=True)
class Benchmark:
    """One file of this folder: what it answers, whether it takes minutes, and whether it is a soak."""

    question: str
    long: bool = False
    soak: bool = False


BENCHMARKS: Mapping[str, Benchmark] = {
    "training": Benchmark("how many frames an agent learns from, by core second"),
    "rendering": Benchmark("how many views are drawn, by core second"),
    "wire": Benchmark("what an edge costs in bytes and seconds"),
    "startup": Benchmark("how long the command line takes to say hello"),
    "whole_run": Benchmark("what a whole run takes, and what comes of it", long=True),
    "seeds": Benchmark("whether it works again: other seeds, other scenes, the same seed", long=True),
    "living_join": Benchmark("what a newcomer costs, by the number of its peers", soak=True),
    "living_disturbance": Benchmark("how much others are held up who go on learning", soak=True),
    "living_kills": Benchmark("how soon a killed agent is back, and what is lost", soak=True),
    "living_nodes": Benchmark("how soon the agents of a lost node are back", soak=True),
    "living_churn": Benchmark("what stays behind of those who came and left", soak=True),
    "living_api": Benchmark("how fast questions are answered, and what nonsense does", soak=True),
    "living_resume": Benchmark("whether a killed agent learns the same", soak=True),
    "living_taught": Benchmark("what being taught by a peer saves", soak=True),
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what the person asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)}")
    parser.add_argument("--full", action="store_true", help="the long ones as well")
    parser.add_argument(
        "--soak", action="store_true", help="those of a living simulation, which take minutes"
    )
    parser.add_argument("--list", action="store_true", help="name them and stop")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=Effort.rounds, help="turns of ours and the reference")
    parser.add_argument("--size", type=float, default=Effort.size, help="share of the usual work in a round")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for every run; repeat it"
    )  # fmt: skip
    parsed = parser.parse_args(arguments)
    unknown = [name for name in parsed.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}: choose from {', '.join(BENCHMARKS)}")
    return parsed


def chosen(names: Sequence[str], full: bool, soak: bool = False) -> list[str]:
    """Return the benchmarks to run: those named, else the short ones or the soak; the long ones if wanted."""
    usual = {name for name, each in BENCHMARKS.items() if each.soak == soak and not each.long}
    wanted = {name for name, each in BENCHMARKS.items() if each.long and full} | set(names or usual)
    return [name for name in BENCHMARKS if name in wanted]


def measure(names: Sequence[str], effort: Effort) -> tuple[dict[str, list[Metric]], dict[str, str]]:
    """Return the figures of each benchmark, and why those failed that did."""
    found: dict[str, list[Metric]] = {}
    failed: dict[str, str] = {}
    for name in names:
        say(f"{name}: {BENCHMARKS[name].question}")
        try:
            found[name] = import_module(f"benchmarks.{name}").figures(effort)
        except Exception as error:  # one that fails costs only its own figures
            failed[name] = str(error) or type(error).__name__
            say(f"  failed: {error}")
    return found, failed


def machine() -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    packages = ("torch", "numpy", "ray", "miniworld")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0],
        **{name: metadata.version(name) for name in packages},
    }


def print_table(found: Mapping[str, Sequence[Metric]]) -> None:
    """Print all figures, each beside its reference."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="ratio = ours / reference, both measured in this run")
    for name in ("figure", "ours", "unit", "reference", "its value", "ratio", "goal", "met"):
        table.add_column(name, justify="right" if name in ("ours", "its value", "ratio") else "left")
    verdicts = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}
    for benchmark, figures in found.items():
        table.add_section()
        table.add_row(f"[bold]{benchmark}[/]")
        for each in figures:
            table.add_row(
                each.name, brief(each.value), each.unit, each.reference, brief(each.reference_value),
                brief(each.ratio), str(each.goal or ""), verdicts[each.met],
            )  # fmt: skip
    console = Console()
    Console(width=max(console.width, 140)).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit status tells whether all of it could be measured."""
    asked = parse(sys.argv[1:] if arguments is None else arguments)
    if asked.list:
        for name, each in BENCHMARKS.items():
            print(f"{name:20}{each.question}{' (minutes)' if each.long or each.soak else ''}")
        return 0
    effort = Effort(asked.rounds, asked.size, tuple(asked.set))
    before = machine()
    with contextlib.redirect_stdout(sys.stderr):  # where Ray says who died, among others
        found, failed = measure(chosen(asked.names, asked.full, asked.soak), effort)
    if asked.json:
        figures = [
            {"benchmark": name} | each.as_dict() for name, figures in found.items() for each in figures
        ]
        print(json.dumps({"machine": before, "figures": figures, "failed": failed}, indent=2))
    else:
        print_table(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

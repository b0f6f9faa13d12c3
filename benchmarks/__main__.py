"""``python -m benchmarks``: run some or all benchmarks and print one table, or one JSON document."""

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

from benchmarks.harness import Effort, Metric, format_number, log


@dataclass(frozen=True)
class Benchmark:
    """One module of benchmarks/GROUP: its group and what it measures.

    The groups are speed (components), scale (whole runs, minutes), soak (a live simulation, minutes) and gpu
    (one GPU, minutes).

    Attributes:
        group: Its group.
        description: What it measures.
        by_name: Whether it runs only where it is named, not with its group.
    """

    group: str
    description: str
    by_name: bool = False


BENCHMARKS: Mapping[str, Benchmark] = {
    "training": Benchmark("speed", "frames trained on per CPU second"),
    "rendering": Benchmark("speed", "views rendered per CPU second"),
    "renderers": Benchmark("speed", "views recorded per CPU second by each renderer, and their similarity"),
    "wire": Benchmark("speed", "bytes and seconds per edge"),
    "transports": Benchmark("speed", "seconds of a negotiation over TCP and in memory"),
    "startup": Benchmark("speed", "seconds until the command line prints its help"),
    "whole_run": Benchmark("scale", "duration, memory and quality of a whole run"),
    "profile": Benchmark("scale", "where the seconds of the default run go, in CPU time and in wall time"),
    "three_hosts": Benchmark(
        "scale", "a cluster of three hosts that share no disk; as root, and only by its name", by_name=True
    ),
    "peer_hosts": Benchmark(
        "scale",
        "three peers on three hosts over TCP, a link cut; as root, and only by its name",
        by_name=True,
    ),
    "turns": Benchmark("scale", "time, memory and messages of up to 1,000 agents that take turns"),
    "per_actor": Benchmark("scale", "time and memory of 16 agents, 1, 4 or 8 in a process"),
    "supervision": Benchmark(
        "scale", "supervisor and status of 1,000 agents, and a ledger of a million edge versions"
    ),
    "seeds": Benchmark("scale", "reproducibility: other seeds, other scenes, the same seed twice"),
    "join": Benchmark("soak", "cost of a joiner by the number of its peers"),
    "disturbance": Benchmark("soak", "slowdown of an agent while others join and leave"),
    "cpu_share": Benchmark("soak", "CPU and replies of a learning agent beside busy programs"),
    "kills": Benchmark("soak", "recovery time of killed agents, and lost edges"),
    "nodes": Benchmark("soak", "recovery time of the agents of a lost node"),
    "churn": Benchmark("soak", "resources that agents leave behind after joining and leaving"),
    "api": Benchmark("soak", "latency of HTTP requests, and replies to malformed ones"),
    "resume": Benchmark("soak", "difference between the losses of a killed and an undisturbed agent"),
    "chaos": Benchmark("soak", "what signals at random moments of ups and downs leave behind"),
    "distillation": Benchmark("soak", "savings of distillation from a peer"),
    "gpu_tests": Benchmark("gpu", "tests that only run where there is a GPU"),
    "mfu": Benchmark("gpu", "FLOPs of the training step by second, and the peak of the GPU"),
    "gpu_run": Benchmark("gpu", "the default run, its agents sharing one GPU"),
    "gpu_agents": Benchmark("gpu", "runs of 16 and 64 agents that share one GPU"),
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    parser.add_argument(
        "--full", action="store_true", help="run the scale benchmarks too, which take minutes"
    )
    parser.add_argument("--soak", action="store_true", help="run the soak benchmarks, which take minutes")
    parser.add_argument("--gpu", action="store_true", help="run those of one GPU, which take eight minutes")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and exit")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=Effort.rounds, help="rounds of ours and the reference")
    parser.add_argument("--size", type=float, default=Effort.size, help="share of the usual work in a round")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="setting of every run; repeatable"
    )  # fmt: skip
    parsed = parser.parse_args(arguments)
    unknown = [name for name in parsed.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}: choose from {', '.join(BENCHMARKS)}")
    return parsed


def select(names: Sequence[str], full: bool, soak: bool = False, gpu: bool = False) -> list[str]:
    """Return the named benchmarks, or those of groups soak and gpu as asked for, speed by default.

    Args:
        names: Names; where there are any, soak and gpu do not count.
        full: Adds group scale to them.
        soak: Group soak.
        gpu: Group gpu.
    """
    groups = {group for group, wanted in (("soak", soak), ("gpu", gpu)) if wanted} or {"speed"}
    selected = set(names) or {name for name, each in BENCHMARKS.items() if each.group in groups}
    if full:
        selected |= {name for name, each in BENCHMARKS.items() if each.group == "scale" and not each.by_name}
    return [name for name in BENCHMARKS if name in selected]


def measure(names: Sequence[str], effort: Effort) -> tuple[dict[str, list[Metric]], dict[str, str]]:
    """Return the metrics of each benchmark, and the error of each one that failed."""
    found: dict[str, list[Metric]] = {}
    failed: dict[str, str] = {}
    for name in names:
        benchmark = BENCHMARKS[name]
        log(f"{name}: {benchmark.description}")
        try:
            found[name] = import_module(f"benchmarks.{benchmark.group}.{name}").metrics(effort)
        except Exception as error:  # the other benchmarks still run
            failed[name] = str(error) or type(error).__name__
            log(f"  failed: {error}")
    return found, failed


def machine() -> dict[str, Any]:
    """Return the versions, the number of CPUs and the load that metrics depend on."""
    packages = ("torch", "numpy", "ray", "miniworld")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0],
        **{name: metadata.version(name) for name in packages},
    }


def print_table(found: Mapping[str, Sequence[Metric]]) -> None:
    """Print all metrics, each beside its reference."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="ratio = ours / reference, both measured in this run")
    for name in ("metric", "ours", "unit", "reference", "its value", "ratio", "threshold", "met"):
        table.add_column(name, justify="right" if name in ("ours", "its value", "ratio") else "left")
    verdicts = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}
    for benchmark, metrics in found.items():
        table.add_section()
        table.add_row(f"[bold]{benchmark}[/]")
        for each in metrics:
            table.add_row(
                each.name, format_number(each.value), each.unit, each.reference,
                format_number(each.reference_value), format_number(each.ratio), str(each.threshold or ""),
                verdicts[each.met],
            )  # fmt: skip
    console = Console()
    Console(width=max(console.width, 140)).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks of the command line; return 1 if any failed, else 0."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.list:
        for name, each in BENCHMARKS.items():
            print(
                f"{name:20}{each.description}{'' if each.group == 'speed' else f' ({each.group}, minutes)'}"
            )
        return 0
    effort = Effort(options.rounds, options.size, tuple(options.set))
    before = machine()
    with contextlib.redirect_stdout(sys.stderr):  # Ray prints messages of workers to stdout
        found, failed = measure(select(options.names, options.full, options.soak, options.gpu), effort)
    if options.json:
        metrics = [
            {"benchmark": name} | each.as_dict() for name, metrics in found.items() for each in metrics
        ]
        print(json.dumps({"machine": before, "metrics": metrics, "failed": failed}, indent=2))
    else:
        print_table(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Copy a run and benchmark results into evidence/, and regenerate the tables of the README.

    python scripts/update_readme.py --run runs/2026-01-01-120000 --bench bench.json --soak soak.json

Without options it only regenerates the README from evidence/.
"""

import argparse
import io
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from social_jepa.cli.tables import PLAIN_WIDTH, print_graph
from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.table import format_interval, format_number, result_row

ROOT = Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / "evidence"
DEMO = EVIDENCE / "demo"
BENCH = EVIDENCE / "bench.json"
SOAK = EVIDENCE / "soak.json"


def demo_block() -> str:
    """Return the graph of the demo's run as `social-jepa graph` prints it."""
    text = io.StringIO()
    console = Console(file=text, width=PLAIN_WIDTH, highlight=False)
    print_graph(json.loads((DEMO / "graph.json").read_text()), console)
    lines = "\n".join(line.rstrip() for line in text.getvalue().splitlines())
    return f"```text\n{lines}\n```"


def bench_block() -> str:
    """Return the benchmarks as a table."""
    document = json.loads(BENCH.read_text())
    rows = ["| | metric | ours | reference | its value | threshold | met |", "|---|---|---|---|---|---|---|"]
    for metric in document["metrics"]:
        cells = (
            metric["benchmark"], metric["name"], _with_unit(metric, "value"), metric["reference"],
            _number(metric["reference_value"]), _threshold(metric["threshold"]), _met(metric["met"]),
        )  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", _note(document["machine"])])


def soak_block() -> str:
    """Return the soak benchmarks as a table, each value in one cell with its reference."""
    document = json.loads(SOAK.read_text())
    rows = ["| metric | threshold | measured | met |", "|---|---|---|---|"]
    for metric in document["metrics"]:
        measured = (
            f"{_with_unit(metric, 'value')} ({metric['reference']}: {_with_unit(metric, 'reference_value')})"
        )
        cells = metric["name"], _threshold(metric["threshold"]), measured, _met(metric["met"])
        rows.append(f"| {' | '.join(cells)} |")
    rows += [f"| {name} | | failed | **no** |" for name in document["failed"]]
    return "\n".join([*rows, "", _note(document["machine"])])


def merged(paths: Sequence[Path]) -> dict[str, Any]:
    """Return one document of several; the last run of each benchmark counts."""
    first, *later = (json.loads(path.read_text()) for path in paths)
    for document in later:
        repeated = {metric["benchmark"] for metric in document["metrics"]}
        for name in repeated:
            new = [metric for metric in document["metrics"] if metric["benchmark"] == name]
            place = next((k for k, m in enumerate(first["metrics"]) if m["benchmark"] == name), None)
            kept = [metric for metric in first["metrics"] if metric["benchmark"] != name]
            place = len(kept) if place is None else place
            first["metrics"] = [*kept[:place], *new, *kept[place:]]
            first["failed"].pop(name, None)
    return first


def experiments_block() -> str:
    """Return the experiments' metrics that have thresholds as one table."""
    rows = ["| experiment | metric | value | threshold | met |", "|---|---|---|---|---|"]
    for document in find_documents(EVIDENCE):
        link = f"[{document['name']}](evidence/{document['name']}/README.md)"
        for metric in (metric for metric in document["metrics"] if metric["threshold"] is not None):
            interval = f" ({text})" if (text := format_interval(metric)) else ""
            cells = (
                metric["name"], f"{format_number(metric['value'])}{interval}", metric["threshold"],
                "yes" if metric["met"] else "no",
            )  # fmt: skip
            rows.append(f"| {link} {result_row(cells)}")
            link = ""
    note = (
        "Mean over seeds, with the 95 % interval of a bootstrap over seeds and held-out samples; it is too "
        "narrow where three seeds differ ([how much](docs/how_to/experiment.md))."
    )
    return "\n".join([*rows, "", note])


def _note(machine: dict[str, Any]) -> str:
    return f"Measured on {machine['cpus']} CPUs, Python {machine['python']}, torch {machine['torch']}."


def _met(met: bool | None) -> str:
    return {True: "yes", False: "**no**", None: ""}[met]


def _with_unit(metric: dict[str, Any], key: str) -> str:
    return f"{_number(metric[key])} {metric['unit']}".strip()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _threshold(threshold: dict[str, Any] | None) -> str:
    if threshold is None:
        return ""
    sign = "≥" if threshold["is_minimum"] else "≤"
    return f"{sign} {_number(threshold['bound'])}{' times' if threshold['of_ratio'] else ''}"


def replace_block(text: str, name: str, block: str) -> str:
    """Return the text with the block between a name's two markers replaced.

    Raises:
        ValueError: The markers are missing.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the README has no <!-- {name} --> … <!-- /{name} --> markers")
    return pattern.sub(lambda match: f"{match[1]}{block}\n{match[2]}", text)


def readme(text: str) -> str:
    """Return the README's text with its blocks regenerated from evidence/."""
    text = replace_block(replace_block(text, "demo", demo_block()), "bench", bench_block())
    text = replace_block(text, "soak", soak_block()) if SOAK.exists() else text
    return replace_block(text, "experiments", experiments_block()) if find_documents(EVIDENCE) else text


def main() -> None:
    """Copy the given results into evidence/, then write the README."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--run", type=Path, help="run folder whose graph becomes the demo")
    parser.add_argument("--bench", type=Path, help="output of python -m benchmarks --json")
    parser.add_argument(
        "--soak", type=Path, nargs="+",
        help="output of python -m benchmarks --soak --json, and later runs of single benchmarks",
    )  # fmt: skip
    chosen = parser.parse_args()
    DEMO.mkdir(parents=True, exist_ok=True)
    if chosen.run:
        for name in ("graph.json", "graph.svg"):
            shutil.copyfile(chosen.run / name, DEMO / name)
    if chosen.bench:
        shutil.copyfile(chosen.bench, BENCH)
    if chosen.soak:
        SOAK.write_text(json.dumps(merged(chosen.soak), indent=2) + "\n")
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text()))


if __name__ == "__main__":
    main()

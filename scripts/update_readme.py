"""Write a run and the benchmarks into evidence/ and the README: its tables are generated, never typed.

    python scripts/update_readme.py --run runs/2026-01-01-120000 --bench bench.json

Without options it only writes the README again from what lies in evidence/.
"""

import argparse
import io
import json
import re
import shutil
from pathlib import Path

from rich.console import Console

from social_jepa.tables import PLAIN_WIDTH, print_graph

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "evidence" / "demo"
BENCH = ROOT / "evidence" / "bench.json"


def demo_block() -> str:
    """Return what the demo's run printed, as `social-jepa graph` prints it."""
    text = io.StringIO()
    console = Console(file=text, width=PLAIN_WIDTH, highlight=False)
    print_graph(json.loads((DEMO / "graph.json").read_text()), console)
    lines = "\n".join(line.rstrip() for line in text.getvalue().splitlines())
    return f"```text\n{lines}\n```"


def bench_block() -> str:
    """Return the benchmarks as a table."""
    document = json.loads(BENCH.read_text())
    rows = ["| figure | measured | reference | goal | met |", "|---|---|---|---|---|"]
    for figure in document["figures"]:
        reference = figure["reference"] or ""
        if figure["reference_value"] is not None:
            reference = f"{reference}: {figure['reference_value']:,.4g}"
        goal = "" if figure["goal"] is None else str(figure["goal"])
        met = {True: "yes", False: "**no**", None: ""}[figure["met"]]
        value = f"{figure['value']:,.4g} {figure['unit']}"
        rows.append(f"| {figure['name']} | {value} | {reference} | {goal} | {met} |")
    return "\n".join(rows)


def replace_block(text: str, name: str, block: str) -> str:
    """Return the text with what stands between a name's two marks replaced.

    Raises:
        ValueError: The marks are not there.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the README has no <!-- {name} --> … <!-- /{name} --> marks")
    return pattern.sub(lambda marks: f"{marks[1]}{block}\n{marks[2]}", text)


def readme(text: str) -> str:
    """Return the README's text with its generated blocks as evidence/ has them."""
    return replace_block(replace_block(text, "demo", demo_block()), "bench", bench_block())


def main() -> None:
    """Take over what is given, then write the README."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--run", type=Path, help="run folder whose graph becomes the demo")
    parser.add_argument("--bench", type=Path, help="what python -m benchmarks --json printed")
    chosen = parser.parse_args()
    DEMO.mkdir(parents=True, exist_ok=True)
    if chosen.run:
        for name in ("graph.json", "graph.svg"):
            shutil.copyfile(chosen.run / name, DEMO / name)
    if chosen.bench:
        shutil.copyfile(chosen.bench, BENCH)
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text()))


if __name__ == "__main__":
    main()

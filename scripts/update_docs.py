"""Write recorded results into the README and docs/: their tables are generated, never typed.

    python scripts/update_docs.py --run runs/2026-01-01-120000 --bench bench.json --soak soak.json

The alignments in evidence/align/ are what the commands in docs/how_to/embeddings.md print with --json, and
evidence/edge_bytes.json is what python -m benchmarks.edge_bytes --seeds 103 104 --json writes,
and evidence/robustness.json what python -m benchmarks.robustness --json writes, and evidence/privacy.json
what python -m benchmarks.privacy --json writes, and evidence/courses.json what
python -m benchmarks.courses --seeds 103 104 --json writes; evidence/peer_hosts.json is what
python -m benchmarks peer_hosts --json prints, evidence/turns.json what python -m benchmarks turns --json
prints, evidence/profile.json what python -m benchmarks profile --json prints, and evidence/renderers.json
what python -m benchmarks renderers --json prints; evidence/supervision.json is what
python -m benchmarks supervision --json prints, and evidence/per_actor.json what
python -m benchmarks per_actor --json prints.
Without options it only writes the pages of recorded experiments and the generated blocks again, from
evidence/, examples/ and the settings' source.
"""

import argparse
import ast
import dataclasses
import inspect
import io
import json
import re
import shutil
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from agents.protocol.envelope import Envelope, Kind, seal, session_id
from agents.protocol.identity import Identity
from agents.protocol.messages import AnchorReply, AnyMessage, Hello, encode
from agents.protocol.states import OFFER_STEPS, SOURCE_STEPS, TARGET_STEPS
from social_jepa.cli.alignment_table import print_alignment
from social_jepa.cli.tables import print_graph
from social_jepa.config.run_config import RunConfig
from social_jepa.experiments.claims.papers import CLAIMS, PAPERS
from social_jepa.experiments.claims.reproduce import recorded_finding, recorded_results
from social_jepa.experiments.claims.table import markdown_claims
from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.budget import expect
from social_jepa.experiments.framework.document import MetricRow, ResultsDocument
from social_jepa.experiments.framework.methods import methods_paragraph
from social_jepa.experiments.framework.registry import EXPERIMENTS, load
from social_jepa.experiments.framework.runs import plan_run
from social_jepa.experiments.framework.table import (
    escape_markdown,
    format_interval,
    format_met,
    format_number,
    format_self_test,
    markdown_page,
    markdown_row,
    result_row,
)
from social_jepa.experiments.framework.verdict import headline, self_tests, tally, with_threshold
from social_jepa.experiments.worlds.settings import WORLDS
from social_jepa.records import FullGraphDocument, decode
from social_jepa.records.alignment import AlignmentRecord

ROOT = Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / "evidence"
DEMO = EVIDENCE / "demo"
ALIGN = EVIDENCE / "align"
PLAIN_WIDTH = 110  # columns of what commands print
MEANS = (
    "Mean over seeds, with the 95 % interval of Student's t over seeds; *geometric*: the mean and the "
    "interval of the logarithm; *trials*: the interval of a rate over so many."
)
ALIGNED = ("convnet-perceptron", "convnet-components")
BENCH = EVIDENCE / "bench.json"
SOAK = EVIDENCE / "soak.json"
CLUSTER = EVIDENCE / "cluster.json"
EDGE_BYTES = EVIDENCE / "edge_bytes.json"
ROBUSTNESS = EVIDENCE / "robustness.json"
PRIVACY = EVIDENCE / "privacy.json"
PEER_HOSTS = EVIDENCE / "peer_hosts.json"
PER_ACTOR = EVIDENCE / "per_actor.json"
TURNS = EVIDENCE / "turns.json"
PROFILE = EVIDENCE / "profile.json"
RENDERERS = EVIDENCE / "renderers.json"
COURSES = EVIDENCE / "courses.json"
SUPERVISION = EVIDENCE / "supervision.json"
EXAMPLES = ROOT / "examples"
HIGHLIGHTS = (
    ("worlds", "default: R2 shared"),
    ("worlds", "worlds of 8 that meet both in a seed"),
    ("time-or-jepa", "worst JEPA minus temporal InfoNCE at equal state R2, free map"),
    ("time-or-jepa", "worst JEPA minus temporal InfoNCE at equal state R2, rotation"),
    ("native-isometry", "worst objective: share of R2 kept by a similarity transform"),
    ("native-isometry", "worst objective: kappa of W, strong directions"),
    ("path-integration", "R2: scene views, 7 actions, minus action only"),
)  # (experiment, metric) as recorded, whatever their verdicts


def demo_block() -> str:
    """Return the graph of the demo's run as `social-jepa graph` prints it."""
    return _printed(print_graph, decode((DEMO / "graph.json").read_bytes(), FullGraphDocument))


def align_block(name: str) -> str:
    """Return a recorded alignment as `social-jepa align` prints it."""
    return _printed(print_alignment, decode((ALIGN / f"{name}.json").read_bytes(), AlignmentRecord))


def _printed(write: Callable[[Any, Console], None], document: Any) -> str:
    """Return a block with the text that a command prints of a document."""
    text = io.StringIO()
    write(document, Console(file=text, width=PLAIN_WIDTH, highlight=False))
    lines = "\n".join(line.rstrip() for line in text.getvalue().splitlines())
    return f"```text\n{lines}\n```"


def bench_block() -> str:
    """Return the benchmarks as a table."""
    document = json.loads(BENCH.read_text(encoding="utf-8"))
    rows = ["| | metric | ours | reference | its value | threshold | met |", "|---|---|---|---|---|---|---|"]
    for metric in document["metrics"]:
        cells = (
            metric["benchmark"], metric["name"], _with_unit(metric, "value"), metric["reference"],
            _number(metric["reference_value"]), _threshold(metric["threshold"]), _met(metric["met"]),
        )  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", _note(document["machine"])])


def soak_block() -> str:
    """Return the soak benchmarks as a table."""
    return _measured(SOAK)


def cluster_block() -> str:
    """Return the benchmark of three hosts as a table."""
    return _measured(CLUSTER)


def edge_bytes_block() -> str:
    """Return R2 of an edge against its bytes, on the recorded seeds that no setting was searched on."""
    document = json.loads(EDGE_BYTES.read_text(encoding="utf-8"))
    seeds = sorted(set(document["seeds"]) - set(document["searched_seeds"]))
    lines = [
        "| `negotiation.anchors` | `heldout` | `dims` | `precision` | bytes of an edge, at most "
        "| of these, embeddings | shared directions | R², mean | R², worst edge |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    small: list[tuple[float, dict[str, Any]]] = []
    for row in document["rows"]:
        edges = [edge for edge in row["edges"] if edge["seed"] in seeds]
        size, shared = max(edge["bytes"] for edge in edges), [edge["shared"] for edge in edges]
        scores = [edge["r2"] for edge in edges]
        if size <= document["small_bytes"]:
            small.append((fmean(scores), row))
        cells = (
            row["anchors"], row["heldout"], row["dims"], row["precision"], f"{size:,}",
            f"{edges[0]['embeddings']:,}", " to ".join(map(str, sorted({min(shared), max(shared)}))),
            f"{fmean(scores):.3f}", f"{min(scores):.3f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    searched = ", ".join(map(str, document["searched_seeds"]))
    note = (
        f"Both edges of a pair of agents on each of the seeds {', '.join(map(str, seeds))}; anchors, "
        f"dimensions and precision were searched on {searched}, which do not count here. "
    )
    return "\n".join([*lines, "", note + _smallest(small, document["small_bytes"])])


def courses_block() -> str:
    """Return R2 of an edge against the cost of training, by course."""
    sys.path.insert(0, str(ROOT))  # benchmarks are not installed
    from benchmarks.courses import cells

    document = json.loads(COURSES.read_text(encoding="utf-8"))
    head = (
        "`model.width`", "`model.hidden`", "`training.replay_ticks`", "`training.steps`",
        "`training.learning_rate`", "recording, CPU", "training, CPU", "TFLOP", "R² of a probe of the state",
        "R², 64 pairs", "R², 256 pairs", "R² of all dimensions",
    )  # fmt: skip
    rows = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *map(cells, document["rows"]))]
    seeds, searched = (", ".join(map(str, document[name])) for name in ("seeds", "searched_seeds"))
    note = (
        f"Mean over both agents, both edges and the seeds {seeds}; courses were tried before on the seeds "
        f"{searched}. Seconds of one thread, for each agent."
    )
    return "\n".join([*rows, "", note])


def robustness_block() -> str:
    """Return what lies do to edges and graphs, as `benchmarks.robustness` printed it."""
    return "\n".join(json.loads(ROBUSTNESS.read_text(encoding="utf-8"))["table"])


def privacy_block() -> str:
    """Return what embeddings give away, as `benchmarks.privacy` printed it."""
    document = json.loads(PRIVACY.read_text(encoding="utf-8"))
    seeds = ", ".join(map(str, document["seeds"]))
    note = (
        f"Seeds {seeds}; 95 % intervals of a bootstrap over agents and ticks. Of an agent of each seed "
        "held-out embeddings are inverted; membership is that of both agents of a seed, of "
        f"{document['members']:,} ticks of either kind."
    )
    sys.path.append(str(ROOT))  # benchmarks/ is not installed
    from benchmarks.privacy import summarize

    return "\n".join([*summarize(document), "", note])


def peer_hosts_block() -> str:
    """Return the benchmark of three peers on three hosts as a table."""
    return _measured(PEER_HOSTS)


def benchmark_block(path: Path) -> str:
    """Return a recorded benchmark as a table, or how to record it."""
    if not path.exists():
        return f"Not recorded yet: `python -m benchmarks {path.stem} --json`."
    return _measured(path)


def _smallest(small: list[tuple[float, dict[str, Any]]], limit: int) -> str:
    """Return a sentence on the best of the rows whose edges all fit into a number of bytes, (R2, row)."""
    if not small:
        return f"No row keeps every edge within {limit:,} bytes."
    score, best = max(small, key=lambda scored: scored[0])
    return (
        f"Of the {len(small)} rows that keep every edge within {limit:,} bytes, the best has "
        f"{best['anchors']} anchors and {best['heldout']} held out and reaches {score:.3f}, the worst "
        f"{min(score for score, _ in small):.3f}; the best was picked on these edges."
    )


def _measured(path: Path) -> str:
    """Return benchmarks as a table, each value in one cell with its reference."""
    document = json.loads(path.read_text(encoding="utf-8"))
    rows = ["| metric | threshold | measured | met |", "|---|---|---|---|"]
    for metric in document["metrics"]:
        measured = _with_unit(metric, "value")
        if metric["reference"]:
            measured += f" ({metric['reference']}: {_with_unit(metric, 'reference_value')})"
        cells = metric["name"], _threshold(metric["threshold"]), measured, _met(metric["met"])
        rows.append(f"| {' | '.join(cells)} |")
    rows += [f"| {name} | | failed | **no** |" for name in document["failed"]]
    return "\n".join([*rows, "", _note(document["machine"])])


def merged(paths: Sequence[Path]) -> dict[str, Any]:
    """Return one document of several; the last run of each benchmark counts."""
    first, *later = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
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
        named = _link(document, headline(document, document.name))
        for metric in with_threshold(document.metrics):
            rows.append(_experiment_row(named, metric))
            named = ""
    return "\n".join([*rows, "", MEANS])


def self_tests_block() -> str:
    """Return the experiments' self-tests as one table."""
    rows = [
        "| experiment | self-test | value | bound | holds | why it cannot fail |",
        "|---|---|---|---|---|---|",
    ]
    for document in find_documents(EVIDENCE):
        named = _link(document, document.name)
        for metric in self_tests(document.metrics):
            rows.append(f"| {named} {markdown_row(format_self_test(metric))}")
            named = ""
    return "\n".join(rows)


def _link(document: ResultsDocument, text: str) -> str:
    """Return a link to a recorded experiment's page."""
    return f"[{text}](../evidence/{document.name}/README.md)"


def methods_block() -> str:
    """Return each experiment's question, what it costs, its record, and its methods with default settings."""
    recorded = {document.name: document for document in find_documents(EVIDENCE)}
    lines: list[str] = []
    for name in EXPERIMENTS:
        experiment, document = load(name), recorded.get(name)
        budget = expect(plan_run(name))
        assert budget is not None
        link = "not recorded yet" if document is None else _link(document, str(tally(document)))
        lines += [
            f"## {name if document is None else headline(document, name)}", "", experiment.question, "",
            f"Record: {link}. Expected cost: {budget.cpu_minutes:.0f} CPU-minutes "
            f"({'; '.join(budget.sources)}).", "",
            escape_markdown(methods_paragraph(experiment, experiment.settings(), experiment.seeds)), "",
        ]  # fmt: skip
    return "\n".join(lines[:-1])


def write_pages() -> None:
    """Write the page of each recorded experiment from its results."""
    for document in find_documents(EVIDENCE):
        page = EVIDENCE / document.name / "README.md"
        page.write_text(markdown_page(document), encoding="utf-8")


def claims_block() -> str:
    """Return the papers' claims with what the recorded evidence says of each."""
    documents = recorded_results(EVIDENCE)
    findings = {name: recorded_finding(claim, documents) for name, claim in CLAIMS.items()}
    return "\n".join(markdown_claims(CLAIMS, findings, PAPERS, "../evidence"))


def worlds_block() -> str:
    """Return what the edges of each world found, as recorded by the experiment worlds."""
    found = {document.name: document for document in find_documents(EVIDENCE)}.get("worlds")
    if found is None:
        return "Not recorded yet: `social-jepa experiment worlds`."
    metrics = {(metric.group.partition(";")[0], metric.name): metric for metric in found.metrics}
    rows = [
        "| world | | shared directions, by seed | true | R2 shared | untrained | pixel PCA | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, world in WORLDS.items():
        number = metrics["number of shared directions", name]
        r2 = metrics["R2 on the shared directions", f"{name}: R2 shared"]
        cells = (
            name, world.title, ", ".join(map(format_number, number.by_seed)), format_number(number.baseline),
            f"{format_number(r2.value)} ({format_interval(r2)})", format_number(r2.untrained),
            format_number(r2.pixel_pca), format_met(r2),
        )  # fmt: skip
        rows.append(result_row(cells))
    return "\n".join(rows)


def settings_block() -> str:
    """Return every setting of a run as one table for each group: key, default, meaning."""
    lines: list[str] = []
    for group, kind, default in _groups(RunConfig, RunConfig()):
        comments = _comments(kind)
        values = {entry.name: getattr(default, entry.name) for entry in dataclasses.fields(kind)}
        rows = [
            f"| `{group}{name}` | `{_literal(value)}` | {comments.get(name, '')} |"
            for name, value in values.items()
            if not dataclasses.is_dataclass(value)
        ]
        lines += ["| key | default | meaning |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join(lines).rstrip()


def _groups(kind: type, default: Any, prefix: str = "") -> Iterator[tuple[str, type, Any]]:
    """Yield (prefix, dataclass, its defaults) of a group of settings and of every group inside it."""
    yield prefix, kind, default
    for entry in dataclasses.fields(kind):
        value = getattr(default, entry.name)
        if dataclasses.is_dataclass(value):
            yield from _groups(type(value), value, f"{prefix}{entry.name}.")


def _comments(kind: type) -> dict[str, str]:
    """Return the comment beside or above each field of a dataclass and of the classes that it extends."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        lines = inspect.getsource(base).splitlines()
        for number, line in enumerate(lines):
            field = re.match(r"    (\w+): ", line)
            if field:
                found[field[1]] = _comment_of(lines, number)
    return {name: text.replace("|", "\\|") for name, text in found.items()}


def _comment_of(lines: Sequence[str], number: int) -> str:
    end = next(k for k in range(number, len(lines)) if _closed("\n".join(lines[number : k + 1])))
    beside = [line.partition("  # ")[2] for line in lines[number : end + 1] if "  # " in line]
    above = []
    while not beside and number and lines[number - 1].lstrip().startswith("# "):
        number -= 1
        above.insert(0, lines[number].strip().removeprefix("# "))
    return " ".join(beside or above)


def _closed(text: str) -> bool:
    """Return whether the statement ends in this text."""
    try:
        ast.parse(text.strip())
    except SyntaxError:
        return False
    return True


def _literal(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _experiment_row(name: str, metric: MetricRow) -> str:
    interval = f" ({text})" if (text := format_interval(metric)) else ""
    cells = (
        metric.name, f"{format_number(metric.value)}{interval}", metric.threshold or "", format_met(metric),
    )  # fmt: skip
    return f"| {name} {result_row(cells)}"


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


def render_png(svg: Path, png: Path, width: int = 760) -> None:
    """Render an SVG file as PNG with the system's Chromium, at twice its size and in light colors."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(
            device_scale_factor=2, color_scheme="light", viewport={"width": width, "height": 100}
        )
        page.set_content(f"<style>body {{ margin: 0 }}</style>{svg.read_text(encoding='utf-8')}")
        page.locator("svg").screenshot(path=png)
        browser.close()


def replace_block(text: str, name: str, block: str) -> str:
    """Return the text with the block between a name's two markers replaced.

    Raises:
        ValueError: The markers are missing.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the text has no <!-- {name} --> … <!-- /{name} --> markers")
    return pattern.sub(lambda match: f"{match[1]}{block}\n{match[2]}", text)


def highlights_block() -> str:
    """Return the metrics that the README shows, with their thresholds."""
    documents = {document.name: document for document in find_documents(EVIDENCE)}
    rows = ["| experiment | metric | value | threshold | met |", "|---|---|---|---|---|"]
    for experiment, name in HIGHLIGHTS:
        metrics = documents[experiment].metrics
        metric = next(metric for metric in metrics if metric.name == name and metric.threshold is not None)
        rows.append(_experiment_row(f"[{experiment}](evidence/{experiment}/README.md)", metric))
    judged = Counter(
        format_met(metric)
        for document in documents.values() for metric in document.metrics if metric.threshold is not None
    )  # fmt: skip
    met, opened, missed = (judged[word] for word in ("yes", "open", "no"))
    rest = f"{met} are met, {opened} open and {missed} missed"
    return "\n".join(rows) + f"\n\nOf all {judged.total()} metrics with a threshold, {rest}."


def example_block(file: str) -> str:
    """Return an example."""
    return f"```python\n{(EXAMPLES / file).read_text(encoding='utf-8').strip()}\n```"


VECTORS: tuple[tuple[str, AnyMessage, dict[str, Any]], ...] = (
    ("a hello", Hello(source="agent-0", target="agent-1", round=0, checkpoint="c0de"), {}),
    (
        "embeddings of two ticks, (1, 2) and (3, -4)",
        AnchorReply(
            source="agent-0", target="agent-1", round=1, digest=b"0123456789abcdef", rows=2, dim=2,
            precision="float32", noise=0, data=struct.pack("<4f", 1, 2, 3, -4), metric=b"",
        ),
        {"sequence": 258, "incarnation": 3, "recipient_incarnation": 2},
    ),
)  # fmt: skip


def vectors_block() -> str:
    """Return signed envelopes with their keys, as hexadecimal digits; the same at every call."""
    identities = {f"agent-{k}": Identity(bytes(range(32 * k, 32 * k + 32))) for k in range(2)}
    lines = ["```text"]
    for name, identity in identities.items():
        lines += [f"public key of {name}", identity.public_key.hex(), ""]
    for title, message, changes in VECTORS:
        identity = identities[message.sender]
        fields: dict[str, Any] = {
            "kind": Kind.MESSAGE, "sender": message.sender, "recipient": message.receiver,
            "session": session_id("vectors"), "incarnation": 1, "recipient_incarnation": 1, "sequence": 1,
            "time": 1_700_000_000_000_000, "key_id": identity.key_id, "body": encode(message), **changes,
        }  # fmt: skip
        digits = seal(Envelope(**fields), identity).hex()
        lines += [title, *(digits[start : start + 96] for start in range(0, len(digits), 96)), ""]
    return "\n".join([*lines[:-1], "```"])


def states_block() -> str:
    """Return the steps of both ends of an edge, and those of announcements, as the negotiation reads them."""
    lines: list[str] = []
    for title, steps in (
        ("What the target of an edge receives", TARGET_STEPS),
        ("What the source of an edge receives", SOURCE_STEPS),
        ("What makes the source offer its model, or offer it again", OFFER_STEPS),
    ):
        lines += [f"{title}:", "", "| state | received | action | next state |", "|---|---|---|---|"]
        lines += [
            f"| {state} | {received} | {step.action.replace('_', ' ')} | {step.state} |"
            for (state, received), step in steps.items()  # type: ignore[attr-defined]
        ]
        lines.append("")
    return "\n".join(lines[:-1])


BLOCKS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"highlights": highlights_block},
    "docs/tutorial.md": {"demo": demo_block},
    "docs/how_to/model.md": {"example": partial(example_block, "custom_world_model.py")},
    "docs/how_to/scene.md": {
        "renderers": partial(benchmark_block, RENDERERS),
        "example": partial(example_block, "custom_scene.py"),
    },
    "docs/how_to/source.md": {"example": partial(example_block, "own_data.py")},
    "docs/how_to/many_agents.md": {
        path.stem: partial(benchmark_block, path) for path in (PER_ACTOR, TURNS, SUPERVISION)
    },
    "docs/how_to/embeddings.md": {name: partial(align_block, name) for name in ALIGNED},
    "docs/results.md": {
        "claims": claims_block,
        "experiments": experiments_block,
        "self_tests": self_tests_block,
        "worlds": worlds_block,
        "bench": bench_block,
        "profile": partial(benchmark_block, PROFILE),
        "courses": courses_block,
        "edge_bytes": edge_bytes_block,
        "soak": soak_block,
        "cluster": cluster_block,
        "peer_hosts": peer_hosts_block,
    },
    "docs/experiments.md": {"methods": methods_block},
    "docs/security.md": {"privacy": privacy_block, "robustness": robustness_block},
    "docs/wire.md": {"states": states_block, "vectors": vectors_block},
    "docs/reference/settings.md": {"settings": settings_block},
}  # by file, the blocks between <!-- name --> marks


def update(file: str, text: str) -> str:
    """Return the text of a documentation file with its generated blocks as the recorded results have them."""
    for name, make in BLOCKS[file].items():
        text = replace_block(text, name, make())
    return text


def main() -> None:
    """Copy the given results into evidence/, then write every generated block."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--run", type=Path, help="run folder whose graph becomes the demo")
    parser.add_argument("--bench", type=Path, help="output of python -m benchmarks --json")
    parser.add_argument(
        "--soak", type=Path, nargs="+",
        help="output of python -m benchmarks --soak --json, and later runs of single benchmarks",
    )  # fmt: skip
    parser.add_argument("--cluster", type=Path, help="output of python -m benchmarks three_hosts --json")
    chosen = parser.parse_args()
    DEMO.mkdir(parents=True, exist_ok=True)
    if chosen.run:
        shutil.copyfile(chosen.run / "graph.json", DEMO / "graph.json")
        render_png(chosen.run / "graph.svg", DEMO / "graph.png")
    if chosen.bench:
        shutil.copyfile(chosen.bench, BENCH)
    if chosen.cluster:
        shutil.copyfile(chosen.cluster, CLUSTER)
    if chosen.soak:
        SOAK.write_text(json.dumps(merged(chosen.soak), indent=2) + "\n", encoding="utf-8")
    write_pages()
    for file in BLOCKS:
        path = ROOT / file
        path.write_text(update(file, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Write what experiments are expected to cost, static/budgets.json: from recorded results, or estimated.

    python scripts/write_budgets.py --quick runs/quick-evidence

Full runs cost what evidence/ has recorded. What was never run in full with its present conditions is
estimated from the agents of another experiment: these seconds are typed by hand, in ESTIMATES. Where the
recorded agents had another course of training than the present default, the source says so. Quick runs cost
what their results say, in the folder that --quick names; costs of quick runs that are not there stay as they
are.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.budget import FULL, QUICK
from social_jepa.experiments.framework.document import ResultsDocument
from social_jepa.experiments.framework.registry import EXPERIMENTS, load
from social_jepa.experiments.framework.tasks import plain_settings

ROOT = Path(__file__).resolve().parent.parent
BUDGETS = ROOT / "social_jepa/experiments/framework/static/budgets.json"
RECORDED = "recorded in evidence/{course}, wall time of tasks of one thread"
ESTIMATED = (
    "estimated from an agent of evidence/{name}{course}, as no full run with its present conditions "
    "is recorded"
)
RENAMED = {  # conditions whose evidence was recorded under another name
    "society": "ring", "taught-5": "distilled-5", "others": "cameras", "glances": "scene views",
    "rotation": "object rotations",
}  # fmt: skip
# Seconds by condition, typed, and the recorded experiment whose agents they are estimated from.
ESTIMATES: Mapping[str, tuple[Mapping[str, float], str]] = {
    "embodied": ({"pan, tilt and walk": 400}, "isometry"),
    "heterogeneous": (
        {
            **dict.fromkeys(("jepa", "jepa-twin", "half-dim", "double-dim", "quadruple-dim"), 62),
            "narrow": 43,
            "wide": 86,
            "vicreg": 50,
            "log-det": 44,
            "ema": 46,
            "patch-mixer": 68,
            "p-jepa-positions": 50,
            "p-jepa-random": 59,
            "seq-jepa": 182,
            "frozen-encoder": 70,
            "untrained": 175,
        },
        "isometry",
    ),
    "counting": (
        {
            **dict.fromkeys(("joint", "three-heads", "random-target", "detached"), 300),
            "dynamics-only": 280,
            "reward-only": 200,
            "three-heads-only": 200,
            "untrained": 5,
        },
        "counting",
    ),
}


def course(settings: Mapping[str, Any]) -> str:
    """Return the course of training of the agents of an experiment; "" where it has no such agents."""
    setup = settings.get("setup") or settings.get("upbringing")  # its name in earlier versions
    if setup is None:
        return ""
    training = setup["training"]
    ticks = training.get("replay_ticks") or training["window"]
    return f"{training['steps']} steps, {ticks:,} ticks, {setup['model']['width']} channels"


def other_course(document: ResultsDocument, name: str) -> str:
    """Return the course of training of a recorded run beside an experiment's present one; "" where alike."""
    then, now = course(document.settings), course(plain_settings(load(name).settings()))
    return "" if then == now else f" with the former course of training ({then}; now {now})"


def recorded_costs(document: ResultsDocument, source: str) -> dict[str, Any]:
    """Return the costs of one seed of a recorded run, under the conditions' names of now."""
    seconds = {RENAMED.get(name, name): costs.seconds for name, costs in document.conditions.items()}
    return {"seconds": seconds, "source": source}


def has_present_conditions(document: ResultsDocument, name: str) -> bool:
    """Return whether a recorded run has the conditions of the experiment as it is now."""
    experiment = load(name)
    recorded = {RENAMED.get(condition, condition) for condition in document.conditions}
    return recorded == set(experiment.conditions(experiment.settings()))


def quick_source(document: ResultsDocument) -> str:
    """Return where the costs of a quick run come from."""
    return (
        f"CPU time of a quick run, Python {document.versions['python']}, torch {document.versions['torch']}"
    )


def main() -> None:
    """Write the file."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--quick", type=Path, help="folder above the results of quick runs")
    chosen = parser.parse_args()
    full = {document.name: document for document in find_documents(ROOT / "evidence")}
    quick = {document.name: document for document in find_documents(chosen.quick)} if chosen.quick else {}
    before = json.loads(BUDGETS.read_text(encoding="utf-8"))
    costs: dict[str, dict[str, Any]] = {}
    for name in EXPERIMENTS:
        if name in full and has_present_conditions(full[name], name):
            source = RECORDED.format(course=other_course(full[name], name))
            found = recorded_costs(full[name], source)
        else:
            seconds, origin = ESTIMATES[name]
            source = ESTIMATED.format(name=origin, course=other_course(full[origin], name))
            found = {"seconds": dict(seconds), "source": source}
        costs[name] = {FULL: found}
        if name in quick:
            costs[name][QUICK] = recorded_costs(quick[name], quick_source(quick[name]))
        elif QUICK in before.get(name, {}):
            costs[name][QUICK] = before[name][QUICK]
    BUDGETS.write_text(json.dumps(costs, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

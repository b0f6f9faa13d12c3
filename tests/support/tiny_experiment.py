"""Whether means are means.

A real experiment, small enough to run in a blink. Protocol: draw numbers, <average> them.
- good: normal numbers around 3;
- bad: the same, but asked to it does not work out.

Goals were set before `anything` ran.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Metric, Threshold
from social_jepa.experiments.framework.score import Score


@dataclass(frozen=True)
class Noise:
    spread: float = 1.0


@dataclass(frozen=True)
class Settings:
    samples: int = 200
    sizes: tuple[int, ...] = (1, 2)
    label: str = "plain"
    trouble: str = ""
    slow: float = 0.0  # seconds of each part
    log: str = ""  # file that gets a line for each unit that runs
    noise: Noise = field(default_factory=Noise)

    def __post_init__(self):
        if self.samples < 1:
            raise ValueError(f"samples={self.samples}: at least 1 is needed")


def run(part, seed, settings, say):
    sys.stdout.write("a part that prints\n")
    if settings.log:
        with Path(settings.log).open("a") as file:
            file.write(f"{part} {seed} {'torch' in sys.modules} {os.environ['OMP_NUM_THREADS']}\n")
    say(f"begins with {settings.samples} samples")
    time.sleep(settings.slow)
    if part == "bad" and seed == 0:
        trouble(settings.trouble)
    rng = np.random.default_rng([seed, {"good": 1, "bad": 2}[part]])
    values = 3 + settings.noise.spread * rng.standard_normal(settings.samples)
    target = rng.standard_normal((settings.samples, 2))
    measures = {"mean": Score.mean(values), "r2 of it": Score.r2(target + 0.1, target)}
    return ConditionResult(measures, {"values": values, "words": np.array(["a", "bc"])}, flops=10.0)


def trouble(kind):
    if kind == "raises":
        raise RuntimeError("it does <not> work out")
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exits":
        raise SystemExit(3)


def figures(results, settings):
    if settings.trouble == "figures":
        raise KeyError("no such measure")
    good, bad = (results.estimate(part, "mean") for part in ("good", "bad"))
    return [
        Metric(
            "mean of <good>",
            good,
            null=0.0,
            baseline=2.5,
            threshold=Threshold(">=", 2.5),
            group="means & more",
        ),
        Metric("mean of bad", bad, threshold=Threshold("<", 0), group="means & more"),
        Metric("difference", good - bad),
    ]


def pictures(results, settings):
    from matplotlib.figure import Figure  # the parts do without

    picture = Figure(figsize=(3, 2))
    picture.subplots().scatter(*np.tile(results.array("good", "values"), (2, 5)))
    return {"values": picture}


EXPERIMENT = Experiment(
    name="tiny", question="Are means <means>?", settings=Settings,
    quick={"samples": 20, "noise": {"spread": 0.5}},
    conditions=lambda settings: ("good", "bad"), run=run, metrics=figures, plots=pictures,
    notes=lambda results, settings: [f"{settings.samples} samples are <few>, `really`."],
)  # fmt: skip

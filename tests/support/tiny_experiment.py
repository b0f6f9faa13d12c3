"""Whether means are means.

A real experiment that runs within a second. Protocol: draw numbers, <average> them.
- good: normal numbers around 3;
- bad: the same, but it can be made to fail.

Thresholds were set before `anything` ran.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Metric
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.framework.threshold import Threshold


@dataclass(frozen=True)
class Noise:
    scale: float = 1.0


@dataclass(frozen=True)
class Settings:
    samples: int = 200
    sizes: tuple[int, ...] = (1, 2)
    label: str = "plain"
    failure: str = ""
    slow: float = 0.0  # seconds of each task
    log: str = ""  # file that gets a line for each task that runs
    noise: Noise = field(default_factory=Noise)

    def __post_init__(self):
        if self.samples < 1:
            raise ValueError(f"samples={self.samples}: at least 1 is needed")


def run(condition, seed, settings, log):
    sys.stdout.write("a condition that prints\n")
    if settings.log:
        with Path(settings.log).open("a") as file:
            file.write(f"{condition} {seed} {'torch' in sys.modules} {os.environ['OMP_NUM_THREADS']}\n")
    log(f"starts with {settings.samples} samples")
    time.sleep(settings.slow)
    if condition == "bad" and seed == 0:
        fail(settings.failure)
    rng = np.random.default_rng([seed, {"good": 1, "bad": 2}[condition]])
    values = 3 + settings.noise.scale * rng.standard_normal(settings.samples)
    target = rng.standard_normal((settings.samples, 2))
    scores = {"mean": Score.mean(values), "R2 of it": Score.r2(target + 0.1, target)}
    frames = rng.integers(256, size=(2, 4, 4, 3), dtype=np.uint8)
    arrays = {"values": values, "words": np.array(["a", "bc"]), "frames": frames}
    return ConditionResult(scores, arrays, flops=10.0)


def fail(kind):
    if kind == "raises":
        raise RuntimeError("it does <not> work out")
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exits":
        raise SystemExit(3)


def metrics(results, settings):
    if settings.failure == "metrics":
        raise KeyError("no such score")
    good, bad = (results.estimate(condition, "mean") for condition in ("good", "bad"))
    return [
        Metric("mean of <good>", good, 0.0, 2.5, Threshold(">=", 2.5), "means & more"),
        Metric("mean of bad", bad, threshold=Threshold("<", 0), group="means & more"),
        Metric("difference", good - bad),
    ]


def plots(results, settings):
    from matplotlib.figure import Figure  # tasks do not load it

    from social_jepa.experiments.common.plotting import draw_bars, draw_frame_grid

    values, difference = Figure(figsize=(3, 2)), Figure(figsize=(3, 2))
    values.subplots().scatter(*np.tile(results.array("good", "values"), (2, 5)))
    good, bad = (results.estimate(condition, "mean") for condition in results.conditions)
    draw_bars(difference.subplots(), [good, bad, good - bad], 0, 1, "mean", "C0")
    frames = Figure(figsize=(3, 2))
    draw_frame_grid(frames, results.array("bad", "frames")[None], ["bad"], "frames")
    return {"values": values, "difference": difference, "frames": frames}


EXPERIMENT = Experiment(
    name="tiny", question="Are means <means>?", settings=Settings,
    quick={"samples": 20, "noise": {"scale": 0.5}},
    conditions=lambda settings: ("good", "bad"), run=run, metrics=metrics, plots=plots,
    notes=lambda results, settings: [f"{settings.samples} samples are <few>, `really`."],
)  # fmt: skip

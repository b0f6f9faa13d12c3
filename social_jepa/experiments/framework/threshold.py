"""Threshold of a metric, set before the run, and what a confidence interval says about it."""

import math
from dataclasses import dataclass

from social_jepa.experiments.framework.score import Estimate

SIGNS = (">=", "<=", ">", "<", "==")


@dataclass(frozen=True)
class Threshold:
    """Threshold of a metric, set before the run; NaN never meets it."""

    sign: str  # one of SIGNS
    value: float

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown sign."""
        if self.sign not in SIGNS:
            raise ValueError(f"a threshold compares by >=, <=, >, < or ==, got {self.sign!r}")

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """Return the threshold of its text, for example ">= 0.5".

        Raises:
            ValueError: The text is not a sign and a number.
        """
        sign, _, value = text.partition(" ")
        return cls(sign, float(value))

    def met(self, value: float) -> bool:
        """Return whether a value meets the threshold."""
        return {
            ">=": value >= self.value, "<=": value <= self.value, ">": value > self.value,
            "<": value < self.value, "==": value == self.value,
        }[self.sign]  # fmt: skip

    def verdict(self, low: float, high: float) -> bool | None:
        """Return whether an interval meets the threshold: True if all of it does, False if none of it does.

        None where a part of it does, or there is no interval.
        """
        if not low <= high:  # NaN
            return None
        if self.met(low) and self.met(high):
            return True
        inside = self.sign == "==" and low <= self.value <= high
        return None if inside or self.met(low) or self.met(high) else False

    def decide(self, estimate: Estimate) -> bool | None:
        """Return whether the scores of an estimate meet the threshold, by their 95 % interval.

        Scores of two seeds or more of which one is not finite miss it: what a seed never reached has no
        interval, and was not reached. Equality is no matter of intervals: every seed has it, or one refutes
        it. One seed alone leaves a threshold open, None.
        """
        seeds = estimate.seeds
        if len(seeds) > 1 and not all(map(math.isfinite, seeds)):
            return False
        if len(seeds) > 1 and self.sign == "==":
            return all(map(self.met, seeds))
        return self.verdict(*estimate.interval)

    def __str__(self) -> str:
        """Return the sign and the value, for example ">= 0.5"."""
        return f"{self.sign} {self.value:g}"

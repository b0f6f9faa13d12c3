"""A small results document."""

from social_jepa.experiments.framework.document import ConditionCosts, MetricRow, ResultsDocument

PLAIN = ResultsDocument(
    format=1, name="tiny", question="Why?", protocol="First.\n\nSecond\nline.", quick=False, seeds=(0, 1),
    settings={"steps": 3}, notes=("A note.",), plots=(),
    conditions={"condition": ConditionCosts(seconds=60.0, flops=2e12)}, versions={"torch": "2"},
    environment={"cpus": 2}, source_fingerprints=("a",), command="social-jepa experiment tiny",
    metrics=(
        MetricRow(name="one", group="g", value=0.5, low=0.4, high=0.6, by_seed=(0.49213, 0.50787),
                  null=0.0, baseline=0.3, threshold=">= 0.7", met=False),
        MetricRow(name="two", group="", value=None, low=None, high=None, by_seed=(None, None),
                  null=None, baseline=None, threshold=None, met=None),
        MetricRow(name="three", group="g", value=-1e-9, low=-1e-9, high=-1e-9, by_seed=(-1e-9, -1e-9),
                  null=None, baseline=None, threshold="< 1", met=True),
    ),
)  # fmt: skip

import logging
from types import SimpleNamespace

from ray.util.metrics import Gauge

from social_jepa.runtime.ray_metrics import Metrics

REPORT = SimpleNamespace(progress=None, events=SimpleNamespace(incarnation=1, edges=[]))


def test_a_run_whose_name_is_not_ascii_is_recorded(caplog):
    Metrics("Übung").record("agent-0", REPORT)

    assert not caplog.records


def test_metrics_that_ray_refuses_are_logged_once_and_harm_no_agent(caplog, monkeypatch):
    metrics = Metrics("run")
    monkeypatch.setattr(Gauge, "set", lambda *_: {}["no such metric"])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            metrics.record("agent-0", REPORT)

    assert [record.message for record in caplog.records] == [
        "metrics cannot be recorded: KeyError: 'no such metric'"
    ]

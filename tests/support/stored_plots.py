"""Plots of an experiment, drawn from the data that its results document keeps."""

import json

from social_jepa.experiments.framework.plot_data import PlotData, record


def stored_plots(experiment, results, settings):
    """Return the figures that `experiment.plots` draws after a round trip of its data through JSON."""
    document = {
        "seeds": list(results.seeds),
        "conditions": dict.fromkeys(results.conditions),
        "plot_data": record(experiment, results, settings),
    }
    text = json.dumps(document, allow_nan=False)
    assert len(text) < 300_000
    return experiment.plots(PlotData(json.loads(text)), settings)

"""Plots of an experiment, drawn from the data that its results document keeps."""

import json

from social_jepa.experiments.framework.plot_data import PlotData, record


def stored_plots(experiment, results, settings):
    """Return the figures that `experiment.plots` draws after a round trip of its data through JSON."""
    text = json.dumps(record(experiment, results, settings), allow_nan=False)
    assert len(text) < 300_000
    return experiment.plots(PlotData(json.loads(text), results.conditions, results.seeds), settings)

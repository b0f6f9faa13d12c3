"""An HTTP API and a page over a run folder, whether its simulation is up or down; `app` puts it together."""

"""The experiment universe: see `run` for its question, protocol and thresholds."""

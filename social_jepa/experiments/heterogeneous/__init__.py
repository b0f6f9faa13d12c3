"""The experiment heterogeneous: see `run` for its question, protocol and thresholds."""

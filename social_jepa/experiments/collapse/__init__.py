"""The experiment collapse: see `run` for its question, protocol and thresholds."""

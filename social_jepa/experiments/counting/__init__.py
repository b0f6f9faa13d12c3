"""The experiment counting: see `run` for its question, protocol and thresholds."""

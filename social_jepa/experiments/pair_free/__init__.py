"""The experiment pair-free: see `run` for its question, protocol and thresholds."""

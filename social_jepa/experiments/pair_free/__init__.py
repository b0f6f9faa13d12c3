"""The experiment pair-free; its question, protocol and thresholds are in `run`."""
